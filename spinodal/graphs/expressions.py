r"""Couplings as text: sums of powers of y, sin(m y) and tanh(m y), with parameters in their coefficients.

An expression is a dictionary {(atom, parameters): number}: the atoms are ("y", k), ("sin", m) and
("tanh", m), and parameters is a sorted tuple of (name, power). All of it is exact, the derivative with
respect to a parameter too, and nothing of the text is ever executed.
"""

import ast
from collections import defaultdict

from spinodal.errors import InputError

Atom = tuple[str, int | float]
Powers = tuple[tuple[str, int], ...]
Expression = dict[tuple[Atom, Powers], float]

ONE: Atom = ("y", 0)
RESERVED = {"mu": "the strength of the drive", "gamma": "the stiffness of the anchor"}
LONGEST = 400  # letters
HIGHEST = 31  # power of y


def parse_expression(text: str) -> Expression:
    """The expression that a text means: `y**3 - lam*y`, `sin(y) + 0.5*sin(2*y)`, `2*tanh(y)`."""
    if len(text) > LONGEST:
        raise InputError(f"`coupling` of {len(text)} letters: at most {LONGEST}", field="coupling")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        raise InputError(
            f"`coupling` {text!r} is no formula; examples: sin, y**3 - y, sin(y) + lam*sin(2*y)",
            field="coupling",
        ) from None
    try:
        return expression_of_node(tree.body)
    except InputError as error:
        raise InputError(f"`coupling` {text!r}: {error}", field="coupling") from None
    except (OverflowError, ZeroDivisionError):
        raise InputError(f"`coupling` {text!r}: a number in it is not finite", field="coupling") from None


def expression_of_node(node: ast.expr) -> Expression:
    """The expression that a node of Python's syntax tree stands for."""
    match node:
        case ast.Constant(value=int() | float() as given) if not isinstance(given, bool):
            return {(ONE, ()): float(given)}
        case ast.Name(id="y"):
            return {(("y", 1), ()): 1.0}
        case ast.Name(id=name):
            if name in RESERVED:
                raise InputError(f"{name} is taken, it is {RESERVED[name]}; choose another name")
            return {(ONE, ((name, 1),)): 1.0}
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return product({(ONE, ()): -1.0}, expression_of_node(inner))
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return expression_of_node(inner)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return total(expression_of_node(left), expression_of_node(right))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return total(expression_of_node(left), product({(ONE, ()): -1.0}, expression_of_node(right)))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return product(expression_of_node(left), expression_of_node(right))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return product(
                expression_of_node(left), {(ONE, ()): 1 / number(expression_of_node(right), "a divisor")}
            )
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return power(expression_of_node(left), number(expression_of_node(right), "an exponent"))
        case ast.Call(func=ast.Name(id="sin" | "tanh" as name), args=[inner], keywords=[]):
            return wave(name, expression_of_node(inner))
    raise InputError(
        f"{ast.unparse(node)} is none of numbers, y, parameters, + - * / **, sin(m*y), tanh(m*y)"
    )


def total(*parts: Expression) -> Expression:
    """The sum of expressions, without terms that cancel."""
    summed: dict[tuple[Atom, Powers], float] = defaultdict(float)
    for part in parts:
        for key, coefficient in part.items():
            summed[key] += coefficient
    return {key: coefficient for key, coefficient in summed.items() if coefficient != 0}


def product(left: Expression, right: Expression) -> Expression:
    """The product of two expressions; InputError where it is not a sum of powers, sines and tanhs."""
    parts = [
        {(multiply_atoms(a, b), multiply_powers(p, q)): c * d}
        for (a, p), c in left.items()
        for (b, q), d in right.items()
    ]
    return total(*parts)


def multiply_atoms(a: Atom, b: Atom) -> Atom:
    if a[0] == b[0] == "y":
        if a[1] + b[1] > HIGHEST:
            raise InputError(f"y**{a[1] + b[1]:g} is above the highest power, {HIGHEST}")
        return ("y", a[1] + b[1])
    if ONE in (a, b):
        return b if a == ONE else a
    raise InputError(f"{a[0]} times {b[0]}: products of y, sin and tanh are not known here, sums are")


def multiply_powers(p: Powers, q: Powers) -> Powers:
    powers: dict[str, int] = defaultdict(int)
    for name, exponent in (*p, *q):
        powers[name] += exponent
    return tuple(sorted(powers.items()))


def power(base: Expression, exponent: float) -> Expression:
    """A whole power of an expression."""
    if exponent != int(exponent) or not 0 <= exponent <= HIGHEST:
        raise InputError(f"the exponent {exponent:g} is no whole number from 0 to {HIGHEST}")
    result: Expression = {(ONE, ()): 1.0}
    for _ in range(int(exponent)):
        result = product(result, base)
    return result


def number(expression: Expression, what: str) -> float:
    """The value of an expression that is a number; InputError for any other."""
    if not expression:
        return 0.0
    if set(expression) != {(ONE, ())}:
        raise InputError(f"{what} must be a number")
    return expression[ONE, ()]


def wave(name: str, inner: Expression) -> Expression:
    """sin(m y) or tanh(m y), m > 0: both are odd, so that the sign of m goes in front."""
    if set(inner) != {(("y", 1), ())}:
        raise InputError(f"{name}(...) takes a number times y, such as {name}(2*y)")
    m = inner[("y", 1), ()]
    if name == "sin" and m != round(m):
        raise InputError(f"sin({m:g}*y): harmonics are whole numbers, so that 2 pi is a period; rescale y")
    return {((name, abs(m)), ()): 1.0 if m > 0 else -1.0}


def derivative(expression: Expression, name: str) -> Expression:
    """d/d(name), exactly."""
    parts: list[Expression] = []
    for (atom, powers), coefficient in expression.items():
        exponents = dict(powers)
        exponent = exponents.pop(name, 0)
        if exponent:
            rest = exponents | ({name: exponent - 1} if exponent > 1 else {})
            parts.append({(atom, tuple(sorted(rest.items()))): exponent * coefficient})
    return total(*parts)
