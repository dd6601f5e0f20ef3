r"""Couplings as text: sums of powers of y, sines, tanhs and y / (1 + s y^2), with parameters in their coefficients.

An expression is a dictionary {(atom, parameters): number}, and parameters is a sorted tuple of (name, power). All of
it is exact, the derivative with respect to a parameter too, and nothing of the text is ever executed. Products of sines
and cosines are sums of them; a fraction is divided until its numerator is y. Degrees and numbers of terms are bounded
before anything is expanded.

    atom          function
    ("y", k)      y^k
    ("sin", m)    sin(m y), and ("cos", m) likewise; m is a number, or a parameter that has its value by then
    ("tanh", m)   tanh(m y)
    ("ratio", s)  y / (1 + s y^2), s > 0
"""

import ast
import math
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache

from spinodal.errors import InputError

Atom = tuple[str, int | float]
Powers = tuple[tuple[str, int], ...]
Expression = dict[tuple[Atom, Powers], float]

ONE: Atom = ("y", 0)
RESERVED = {"mu": "the strength of the drive", "gamma": "the stiffness of the anchor"}
LONGEST = 400  # letters
HIGHEST = 31  # power of y
DEGREE = 100  # of a parameter
TERMS = 500  # of an expression
PAIRS = 3000  # of terms that one product multiplies


@lru_cache(maxsize=256)
def syntax(text: str) -> ast.expr:
    """Python's syntax tree of a formula; ^ is a power."""
    if len(text) > LONGEST:
        raise InputError(f"`coupling` of {len(text)} letters: at most {LONGEST}", field="coupling")
    try:
        return ast.parse(text.strip().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(
            f"`coupling` {text!r} is no formula; examples: sin, y**3 - y, sin(y) + lam*sin(2*y), y/(1 + y**2)",
            field="coupling",
        ) from None


@lru_cache(maxsize=256)
def frequencies(text: str) -> tuple[str, ...]:
    """The parameters that stand inside of a sine or a tanh."""
    calls = [node for node in ast.walk(syntax(text)) if isinstance(node, ast.Call)]
    inside = [node for call in calls for part in call.args for node in ast.walk(part)]
    functions = {id(node.func) for node in ast.walk(syntax(text)) if isinstance(node, ast.Call)}
    return tuple(sorted({n.id for n in inside if isinstance(n, ast.Name) and id(n) not in functions} - {"y"}))


def parse_expression(text: str, values: Mapping[str, float] | None = None) -> Expression:
    """The expression that a text means: `y**3 - lam*y`, `sin(y) + 0.5*sin(2*y)`, `2*tanh(y)`, `y/(1 + y**2)`.

    `values` are those of the parameters that stand inside of a sine or a tanh.
    """
    try:
        return expression_of_node(syntax(text), values or {})
    except InputError as error:
        raise InputError(f"`coupling` {text!r}: {error}", field="coupling") from None
    except (OverflowError, ZeroDivisionError):
        raise InputError(f"`coupling` {text!r}: a number in it is not finite", field="coupling") from None


def expression_of_node(node: ast.expr, values: Mapping[str, float]) -> Expression:
    """The expression that a node of Python's syntax tree stands for."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return combination(op, expression_of_node(left, values), expression_of_node(right, values), node)
        case ast.Constant(value=int() | float() as given) if not isinstance(given, bool):
            return {(ONE, ()): float(given)}
        case ast.Name(id="y"):
            return {(("y", 1), ()): 1.0}
        case ast.Name(id=name):
            if name in RESERVED:
                raise InputError(f"{name} is taken, it is {RESERVED[name]}; choose another name")
            return {(ONE, ((name, 1),)): 1.0}
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return product({(ONE, ()): -1.0}, expression_of_node(inner, values))
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return expression_of_node(inner, values)
        case ast.Call(func=ast.Name(id="sin" | "cos" | "tanh" as name), args=[inner], keywords=[]):
            return wave(name, expression_of_node(inner, values), values)
    raise unknown(node)


def combination(op: ast.operator, left: Expression, right: Expression, node: ast.expr) -> Expression:
    """left op right for + - * / **."""
    match op:
        case ast.Add():
            return total(left, right)
        case ast.Sub():
            return total(left, product({(ONE, ()): -1.0}, right))
        case ast.Mult():
            return product(left, right)
        case ast.Div():
            return quotient(left, right)
        case ast.Pow():
            return power(left, number(right, "an exponent"))
    raise unknown(node)


def unknown(node: ast.expr) -> InputError:
    return InputError(
        f"{ast.unparse(node)} is none of numbers, y, parameters, + - * / **, sin(m*y), cos(m*y), tanh(m*y), "
        "y/(k + c*y**2)"
    )


def total(*parts: Expression) -> Expression:
    """The sum of expressions, without terms that cancel."""
    summed: dict[tuple[Atom, Powers], float] = defaultdict(float)
    for part in parts:
        for key, coefficient in part.items():
            summed[key] += coefficient
    if not all(map(math.isfinite, summed.values())):
        raise OverflowError
    if len(summed) > TERMS:
        raise InputError(f"it expands to {len(summed)} terms: at most {TERMS}")
    return {key: coefficient for key, coefficient in summed.items() if coefficient != 0}


def product(left: Expression, right: Expression) -> Expression:
    """The product of two expressions; InputError where it is not a sum of atoms, or has too many terms."""
    if len(left) * len(right) > PAIRS:
        raise InputError(
            f"a product of {len(left)} and {len(right)} terms is too large to expand: at most {PAIRS} in all"
        )
    parts: dict[tuple[Atom, Powers], float] = defaultdict(float)
    for (a, p), c in left.items():
        for (b, q), d in right.items():
            powers = multiply_powers(p, q)
            for atom, factor in multiply_atoms(a, b).items():
                parts[atom, powers] += factor * c * d
    return total(parts)


def multiply_atoms(a: Atom, b: Atom) -> dict[Atom, float]:
    """The product of two atoms as a sum of atoms."""
    if ONE in (a, b):
        return {b if a == ONE else a: 1.0}
    if a[0] == b[0] == "y":
        if a[1] + b[1] > HIGHEST:
            raise InputError(f"y**{a[1] + b[1]:g} is above the highest power, {HIGHEST}")
        return {("y", a[1] + b[1]): 1.0}
    if {a[0], b[0]} <= {"sin", "cos"}:
        return multiply_waves(a, b)
    raise InputError(
        f"{a[0]} times {b[0]}: of products those of powers, of sines and of cosines are known here"
    )


def multiply_waves(a: Atom, b: Atom) -> dict[Atom, float]:
    """2 sin a sin b = cos(a - b) - cos(a + b), and what else sines and cosines make."""
    if a[0] == "cos" and b[0] == "sin":
        a, b = b, a
    m, n = a[1], b[1]
    kind, sign = ("sin", 1.0) if a[0] != b[0] else ("cos", -1.0 if a[0] == "sin" else 1.0)
    found: dict[Atom, float] = defaultdict(float)
    for frequency, factor in ((m - n, 0.5), (m + n, 0.5 * sign)):
        if kind == "cos":
            found["cos", abs(frequency)] += factor
        elif frequency:
            found["sin", abs(frequency)] += factor if frequency > 0 else -factor
    return {ONE if atom == ("cos", 0) else atom: factor for atom, factor in found.items()}


def multiply_powers(p: Powers, q: Powers) -> Powers:
    powers: dict[str, int] = defaultdict(int)
    for name, exponent in (*p, *q):
        powers[name] += exponent
        if powers[name] > DEGREE:
            raise InputError(f"{name}**{powers[name]} is above the highest power of a parameter, {DEGREE}")
    return tuple(sorted(powers.items()))


def quotient(left: Expression, right: Expression) -> Expression:
    """left / right, where right is a number, or k + c y^2 with k c > 0 under odd powers of y."""
    square: Atom = ("y", 2)
    k, c = right.get((ONE, ()), 0.0), right.get((square, ()), 0.0)
    if set(right) <= {(ONE, ())}:
        return product(left, {(ONE, ()): 1 / number(right, "a divisor")})
    if set(right) != {(ONE, ()), (square, ())} or k * c <= 0:
        raise InputError("a divisor must be a number, or k + c*y**2 with numbers k and c of one sign")
    parts: list[Expression] = []
    for ((kind, j), powers), coefficient in left.items():
        if kind != "y" or j % 2 == 0:
            raise InputError("over k + c*y**2 odd powers of y are known here")
        coefficient /= k
        while j > 1:  # y^j / (1 + s y^2) = (y^(j - 2) - y^(j - 2) / (1 + s y^2)) / s
            j, coefficient = j - 2, coefficient * k / c
            parts.append({(("y", j), powers): coefficient})
            coefficient = -coefficient
        parts.append({(("ratio", c / k), powers): coefficient})
    return total(*parts)


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


def wave(name: str, inner: Expression, values: Mapping[str, float]) -> Expression:
    """sin(m y), cos(m y) or tanh(m y), m > 0: the sign of m goes in front of those that are odd."""
    if not inner or {atom for atom, _ in inner} != {("y", 1)}:
        raise InputError(f"{name}(...) takes a number times y, or a parameter times y: {name}(2*y)")
    m = sum(c * math.prod(values[name] ** k for name, k in powers) for (_, powers), c in inner.items())
    if not m:
        return {(ONE, ()): 1.0} if name == "cos" else {}
    return {((name, abs(m)), ()): 1.0 if m > 0 or name == "cos" else -1.0}


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
