r"""Odd couplings: the force along an edge, with its potential, its slopes and its zeros.

An odd f makes the pull of j on i the opposite of the pull of i on j, so that the whole has an energy.
Here f is a finite sum of c_k y^k, b_m sin(m y), t_m tanh(m y) and r_s y / (1 + s y^2), whose derivatives of
every order and whose integral are known in closed form. Oddness is what everything else rests on: it is checked on
samples, and a coupling that is not odd is refused.

    symbol  meaning
    y       difference of the two ends of an edge
    f       coupling, odd
    F       potential, int_0^y f, even
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Chebyshev, Polynomial

from spinodal.errors import InputError
from spinodal.graphs import expressions
from spinodal.graphs.atoms import FUNCTIONS
from spinodal.graphs.expressions import Expression

NAMES = {"sin": "sin(y)", "tanh": "tanh(y)", "identity": "y", "id": "y"}
SAMPLES = np.linspace(0.1, 3.1, 31)
CELLS = 20_000  # of the search for zeros
DENOMINATOR = 1000  # of frequencies with a common period
MERGED = 1e-4  # zeros nearer than this are one multiple zero


@dataclass(frozen=True, eq=False)
class Coupling:
    """f(y), an odd function; f(y, order=k) is its k-th derivative, and order=-1 its potential F with F(0) = 0.

    The force between two neighbours as a function of their difference. Made by `coupling("y**3 - lam*y", lam=1.0)`,
    `trigonometric_series` or `odd_polynomial`; `by` are parameters that the formula is differentiated with respect to.
    """

    text: str  # the formula in y
    parameters: dict[str, float] = field(default_factory=dict)  # the values of its other names
    by: tuple[str, ...] = ()  # parameters that it is differentiated with respect to

    def __post_init__(self):
        missing = sorted(set(expressions.frequencies(self.formula)) - set(self.parameters))
        free = set() if missing else {name for _, powers in self.expression for name, _ in powers}
        if missing := missing or sorted(free - set(self.parameters)):
            raise InputError(
                f"`coupling` {self.text!r} needs a value of {missing[0]}: `parameters` {missing[0]}=1",
                field=("coupling", "parameters"),
            )
        if not all(map(math.isfinite, self.parameters.values())):
            raise InputError(
                f"`coupling` {self.text!r}: one of the `parameters` {self.parameters} is not finite",
                field=("coupling", "parameters"),
            )
        gap = np.abs(self(SAMPLES) + self(-SAMPLES))
        worst = int(gap.argmax())
        if not gap[worst] <= 1e-9 * (np.abs(self(SAMPLES)).max() + 1e-300):
            y = SAMPLES[worst]
            raise InputError(
                f"`coupling` {self.text!r} is not odd: f({y:.2g}) = {self(y):.6g}, f(-{y:.2g}) = {self(-y):.6g}; "
                "without f(-y) = -f(y) there is no energy",
                field="coupling",
            )

    @property
    def formula(self) -> str:
        return NAMES.get(self.text.strip(), self.text)

    @property
    def expression(self) -> Expression:
        inside = expressions.frequencies(self.formula)
        return expression_of(self.formula, self.by, tuple((name, self.parameters[name]) for name in inside))

    @cached_property
    def terms(self) -> dict[expressions.Atom, float]:
        """{("y", k): c_k, ("sin", m): b_m, ("tanh", m): t_m, ("ratio", s): r_s} at the values of the parameters."""
        found: dict[expressions.Atom, float] = {}
        for (atom, powers), number in self.expression.items():
            value = number * math.prod(power(self.parameters[name], k) for name, k in powers)
            found[atom] = found.get(atom, 0.0) + value
        if not all(map(math.isfinite, found.values())):
            raise InputError(
                f"`coupling` {self.text!r} has a coefficient that is not finite at the `parameters` {self.parameters}",
                field=("coupling", "parameters"),
            )
        return {atom: value for atom, value in found.items() if value != 0}

    @cached_property
    def polynomial(self) -> Polynomial:
        """The part of f that is a polynomial."""
        powers = {int(k): c for (kind, k), c in self.terms.items() if kind == "y"}
        return Polynomial([powers.get(k, 0.0) for k in range(max(powers, default=0) + 1)])

    @cached_property
    def wave_terms(self) -> list[tuple[str, int | float, float]]:
        """(kind, m, coefficient) of every term that is no power of y."""
        return [(kind, m, c) for (kind, m), c in self.terms.items() if kind != "y"]

    def __call__(
        self, y: float | Float[np.ndarray, "..."], order: int = 0
    ) -> float | np.floating | Float[np.ndarray, "..."]:
        terms = [c * FUNCTIONS[kind](m, y, order) for kind, m, c in self.wave_terms]
        if self.polynomial.coef.any() or not terms:
            terms.insert(0, self.polynomial_of(order)(y))
        return sum(terms[1:], start=terms[0])

    @cached_property
    def polynomial_of(self) -> Callable[[int], Polynomial]:
        """The function from an order to that derivative of the polynomial part; -1 gives its integral."""
        p = self.polynomial
        return lru_cache(maxsize=16)(lambda order: p.integ() if order < 0 else p.deriv(order))

    @cached_property
    def period(self) -> float | None:
        """2 pi N where f is a trigonometric series with frequencies m = k / N, None for every other f."""
        if not self.terms or not all(kind == "sin" for kind, _ in self.terms):
            return None
        shares = [Fraction(m).limit_denominator(DENOMINATOR) for _, m in self.terms]
        if any(abs(share - m) > 1e-12 * m for share, (_, m) in zip(shares, self.terms, strict=True)):
            return None
        return 2 * math.pi * math.lcm(*(share.denominator for share in shares))

    def slope_bound(self, radius: float = math.inf) -> float:
        """A bound on |f'(y)| for |y| <= radius, inf if there is none.

        Exact for polynomials, sum m|b_m| for series, |r_s| for fractions.
        """
        slope = self.polynomial.deriv()
        bound = sum(abs(c if kind == "ratio" else m * c) for kind, m, c in self.wave_terms)
        if math.isinf(radius):
            return math.inf if slope.degree() > 0 else bound + abs(float(slope(0.0)))
        extremes = slope.deriv().roots()
        inside = [y.real for y in extremes if abs(y.imag) < 1e-9 and abs(y.real) < radius]
        return bound + float(np.abs(slope(np.array([0.0, radius, *inside]))).max())

    def sensitivity(self, name: str) -> "Coupling":
        """df/d(name): odd again, so that dE/d(name) is an energy of the same form."""
        if name in expressions.frequencies(self.formula):
            raise InputError(
                f"`parameter` {name} stands inside of a sine or a tanh of `coupling` {self.text!r}: "
                "coefficients alone can vary",
                field=("parameter", "coupling"),
            )
        return Coupling(self.text, self.parameters, (*self.by, name))

    def at(self, **parameters: float) -> "Coupling":
        """The same formula at other values of its parameters."""
        known = {name for _, powers in self.expression for name, _ in powers}
        known |= set(expressions.frequencies(self.formula))
        if unknown := sorted(set(parameters) - known):
            raise InputError(
                f"`coupling` {self.text!r} has no parameter {unknown[0]!r}, it has "
                f"{', '.join(sorted(known)) or 'none'}",
                field="coupling",
            )
        return Coupling(self.text, self.parameters | parameters, self.by)

    @cached_property
    def zeros(self) -> Float[np.ndarray, " k"]:
        """All y with f(y) = 0, ascending; of a periodic f those of one period around 0. Multiple zeros count once."""
        if not self.terms:
            raise InputError(
                f"`coupling` {self.text!r} is zero at {self.parameters}: every state is an equilibrium",
                field="coupling",
            )
        if all(kind == "ratio" for kind, _, _ in self.wave_terms):
            return distinct_zeros(self.numerator().roots())
        reach = self.period / 2 if self.period else self.zero_radius()
        cells = math.ceil(reach * self.sharpness)
        if cells > CELLS:
            raise InputError(
                f"`coupling` {self.text!r}: its zeros may lie as far as {reach:.3g}; rescale y",
                field="coupling",
            )
        edges = np.linspace(0, reach, cells + 1)
        pieces = [
            Chebyshev.interpolate(lambda y: np.asarray(self(y)), 30, domain=[left, right]).trim(1e-15).roots()
            for left, right in itertools.pairwise(edges)
        ]
        inside = [
            piece[(piece.real > left - 1e-9) & (piece.real < right + 1e-9)]
            for piece, left, right in zip(pieces, edges[:-1], edges[1:], strict=True)
        ]
        positive = np.concatenate(inside)
        zeros = distinct_zeros(np.concatenate([positive, -positive]))
        if self.period:  # half a period away f is odd too: exactly 0, and a multiple zero is cut in two there
            return np.append(zeros[np.abs(zeros) < reach - MERGED], reach)
        return zeros

    def numerator(self) -> Polynomial:
        """The polynomial part and the fractions over their common denominator, prod (1 + s y^2)."""
        fractions = [(Polynomial([1.0, 0.0, s]), c) for kind, s, c in self.wave_terms if kind == "ratio"]
        total = self.polynomial
        for denominator, _ in fractions:
            total = total * denominator
        for k, (_, c) in enumerate(fractions):
            others = (denominator for j, (denominator, _) in enumerate(fractions) if j != k)
            total = total + math.prod(others, start=Polynomial([0.0, c]))
        return total

    def zero_radius(self) -> float:
        """A radius beyond which f has no zero: Fujiwara's bound, bounded terms counted as constants."""
        c = self.polynomial.trim().coef
        saturation = sum(b for kind, _, b in self.wave_terms if kind == "tanh")
        decay = sum(
            abs(r) / s for kind, s, r in self.wave_terms if kind == "ratio"
        )  # |y / (1 + s y^2)| < 1 / s|y|
        if len(c) == 1 and (
            any(kind == "sin" for kind, _, _ in self.wave_terms) or (decay and not saturation)
        ):
            raise InputError(
                f"`coupling` {self.text!r} has zeros without end: they cannot be listed", field="coupling"
            )
        if len(c) == 1:
            flat = 16.0 / min(m for kind, m, _ in self.wave_terms if kind == "tanh")  # tanh(16) is 1
            return max(flat, 2 * decay / abs(saturation)) if decay else flat
        c = np.abs(c)
        c[0] += sum(abs(b) / (2 * math.sqrt(m) if kind == "ratio" else 1) for kind, m, b in self.wave_terms)
        top = len(c) - 1
        return 2 * max((c[k] / c[top]) ** (1 / (top - k)) for k in range(top))

    @property
    def sharpness(self) -> float:
        """1 over the length on which f bends, at least 1."""
        return max([1.0, *(math.sqrt(m) if kind == "ratio" else m for kind, m, _ in self.wave_terms)])

    @property
    def decays(self) -> bool:
        """Whether f(y) -> 0 as y grows, as for fractions, and for tanhs whose limits cancel."""
        if self.polynomial.coef.any() or any(kind == "sin" for kind, _, _ in self.wave_terms):
            return False
        ends = [c for kind, _, c in self.wave_terms if kind == "tanh"]
        return abs(math.fsum(ends)) <= 1e-12 * sum(map(abs, ends))

    @property
    def attractive(self) -> bool:
        """Whether y f(y) > 0 for all y != 0: then consensus is the only equilibrium of a connected graph."""
        return self.period is None and len(self.zeros) == 1 and float(self(1.0)) > 0


def power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


@lru_cache(maxsize=256)
def expression_of(text: str, by: tuple[str, ...], inside: tuple[tuple[str, float], ...]) -> Expression:
    """A formula, differentiated by the parameters `by`; `inside` are the values of those within sines and tanhs."""
    expression = expressions.parse_expression(text, dict(inside))
    for name in by:
        expression = expressions.derivative(expression, name)
    return expression


def distinct_zeros(roots: np.ndarray) -> Float[np.ndarray, " k"]:
    """Real roots, ascending; rounding splits a multiple root into a cluster, whose centre is exact."""
    real = np.real(roots)[np.abs(np.imag(roots)) < MERGED]
    real = np.sort(np.append(real, 0.0))  # an odd function is zero there, and rounding may hide it
    groups = np.split(real, np.flatnonzero(np.diff(real) > MERGED) + 1)
    return np.array([0.0 if np.abs(group).min() == 0 else group.mean() for group in groups])


def coupling(text: str, **parameters: float) -> Coupling:
    """f from its text: `sin`, `tanh`, `identity`, or a formula such as `y**3 - lam*y` with lam=1.0.

    Reads an odd function of the difference y as a sum of powers, sin(m*y), tanh(m*y) and y/(k + c*y**2), with
    parameters among its coefficients and as m; sin(y)**3 is expanded. The text is parsed and never executed. InputError
    for any other formula, for one that is not odd, and for a parameter without a value.
    """
    return Coupling(text, parameters).at(**parameters)


def trigonometric_series(b: list[float]) -> Coupling:
    """f(y) = sum_m b_m sin(m y), m = 1, 2, ...

    A coupling of period 2 pi, as between phases of oscillators, from its coefficients b_1, b_2, ...
    """
    return coupling(" + ".join(f"({c!r})*sin({m}*y)" for m, c in enumerate(map(float, b), start=1)))


def odd_polynomial(c: list[float]) -> Coupling:
    """f(y) = c_0 y + c_1 y^3 + c_2 y^5 + ...

    A polynomial coupling from the coefficients of its odd powers.
    """
    return coupling(" + ".join(f"({v!r})*y**{2 * k + 1}" for k, v in enumerate(map(float, c))))
