"""Starts of simulations, as values: each describes unit vectors at t = 0, and `tokens()` computes them."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol

import numpy as np
from jaxtyping import Float

from spinodal import sphere
from spinodal.arrays import real_array, token_array
from spinodal.errors import InputError, require_types
from spinodal.flows.points import CubeStart, NormalStart, PointStart
from spinodal.limits import NUMBERS, require_at_most
from spinodal.runs import register

GOLDEN = math.pi * (3 - math.sqrt(5))
ROUNDING = 1e-6  # by which lengths in a file may differ from 1


class Start(Protocol):
    """A start: `tokens()` returns the tokens [n d] of a simulation at t = 0, as unit vectors."""

    def tokens(self) -> Float[np.ndarray, "n d"]: ...


@register("uniform-start")
@dataclass(frozen=True)
class UniformStart:
    """n independent points, uniform on the unit sphere of R^d, from the `seed`."""

    n: int = 64
    d: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        require_types(self, n=Integral, d=Integral, seed=Integral)
        check_size(self.n, self.d)
        check_seed(self.seed)

    def tokens(self) -> Float[np.ndarray, "n d"]:
        return sphere.uniform(self.n, self.d, self.seed)


@register("orthonormal-start")
@dataclass(frozen=True)
class OrthonormalStart:
    """The first n basis vectors of R^d, n <= d: all cosines are 0."""

    n: int = 3
    d: int = 3

    def __post_init__(self) -> None:
        require_types(self, n=Integral, d=Integral)
        check_size(self.n, self.d)
        if self.n > self.d:
            raise InputError(
                f"`start` orthonormal: n = {self.n} tokens need d >= {self.n}, and d = {self.d}",
                field="start",
            )

    def tokens(self) -> Float[np.ndarray, "n d"]:
        return np.eye(self.n, self.d)


@register("lattice-start")
@dataclass(frozen=True)
class LatticeStart:
    """n points at equal angles on the circle, d = 2; on S^2, d = 3, along the spiral of Fibonacci."""

    n: int = 64
    d: int = 3

    def __post_init__(self) -> None:
        require_types(self, n=Integral, d=Integral)
        check_size(self.n, self.d)
        if self.d not in (2, 3):
            raise InputError(
                f"`start` lattice: there is one for d = 2 and 3, not for d = {self.d}", field="start"
            )

    def tokens(self) -> Float[np.ndarray, "n d"]:
        i = np.arange(self.n)
        if self.d == 2:
            angle = 2 * np.pi * i / self.n
            return np.stack([np.cos(angle), np.sin(angle)], 1)
        z = 1 - (2 * i + 1) / self.n
        return sphere.normalise(np.stack([np.cos(GOLDEN * i), np.sin(GOLDEN * i), z / np.sqrt(1 - z * z)], 1))


@register("token-start")
@dataclass(frozen=True, eq=False)
class TokenStart:
    """Given tokens [n d]: of length 1 to 1e-6, or of any length with `normalise`.

    Arrays, lists or tensors, of any precision and memory order. InputError for tokens of another length or that are not
    finite, and for what are no real numbers.
    """

    given: Float[np.ndarray, "..."]  # the tokens [n d]
    normalise: bool = False  # they are scaled to length 1

    def __post_init__(self) -> None:
        given = real_array(self.given, "start")
        if given.ndim != 2 or len(given) < 2:
            raise InputError(
                f"`start` has shape {given.shape}: tokens [n d], at least two, are needed", field="start"
            )
        if np.abs(sphere.lengths(given) - 1).max() > ROUNDING:  # of half precision; else `tokens` does it
            given = token_array(self.given, "start")
        object.__setattr__(self, "given", given)
        require_types(self, normalise=(bool, np.bool_))
        self.tokens()

    def tokens(self) -> Float[np.ndarray, "n d"]:
        try:
            unit = sphere.normalise(self.given)
        except InputError as fault:
            raise InputError(f"`start`: {fault}", field="start") from None
        off = np.abs(sphere.lengths(self.given) - 1)
        if off.max() > ROUNDING and not self.normalise:
            i = int(np.argmax(off > ROUNDING))
            raise InputError(
                f"`start`: token {i} has length {sphere.lengths(self.given)[i]:.8g}, not 1: `normalise` scales it",
                field=("start", "normalise"),
            )
        return unit


@register("perturbed-start")
@dataclass(frozen=True, eq=False)
class PerturbedStart:
    """normalise(x + size g), x another start and g standard normal; x + size g of a start in R^d."""

    start: UniformStart | OrthonormalStart | LatticeStart | TokenStart | NormalStart | CubeStart | PointStart
    size: float  # standard deviation of the steps by which tokens move
    seed: int = 0  # of g

    def __post_init__(self) -> None:
        kinds = (UniformStart, OrthonormalStart, LatticeStart, TokenStart, NormalStart, CubeStart, PointStart)
        require_types(self, start=kinds, size=Real, seed=Integral)
        check_seed(self.seed)
        if not 0 <= self.size < math.inf:
            raise InputError(f"`size` {self.size}: of a perturbation, >= 0", field="size")

    @property
    def euclidean(self) -> bool:
        """Whether it is a start in R^d."""
        return in_space(self.start)

    def tokens(self) -> Float[np.ndarray, "n d"]:
        x = self.start.tokens()
        moves = np.random.default_rng([self.seed, 1]).standard_normal(x.shape)
        return x + self.size * moves if self.euclidean else sphere.normalise(x + self.size * moves)


NAMED_STARTS = ("uniform", "orthonormal", "lattice", "normal", "cube")


def in_space(start: object) -> bool:
    """Whether the points of a start lie anywhere in R^d, and not on the sphere."""
    return getattr(start, "euclidean", False)


def names_start(text: str) -> bool:
    """Whether a text is one of NAMED_STARTS, with a size or without, and not the name of a file."""
    return text.partition(":")[0] in NAMED_STARTS


def named_start(
    name: str = "uniform", n: int = 64, d: int = 3, seed: int = 0
) -> UniformStart | OrthonormalStart | LatticeStart | NormalStart | CubeStart:
    """The start of one of NAMED_STARTS for n tokens in R^d; the seed is for "uniform", "normal" and "cube".

    "normal:2" has a standard deviation of 2, "cube:5" lies in [-5, 5]^d: both are for tokens without layer norm.
    InputError for an unknown name, and for n and d that it does not serve.
    """
    kind, colon, size = name.partition(":")
    if kind in ("normal", "cube"):
        try:
            length = float(size) if colon else 1.0
        except ValueError:
            raise InputError(
                f"`start` {name}: {kind}:SIZE, such as {kind}:2, is needed", field="start"
            ) from None
        return (NormalStart if kind == "normal" else CubeStart)(n, d, seed, length)
    if name == "uniform":
        return UniformStart(n, d, seed)
    if name == "orthonormal":
        return OrthonormalStart(n, d)
    if name == "lattice":
        return LatticeStart(n, d)
    raise InputError(f"`start` {name!r} is none of {', '.join(NAMED_STARTS)}", field="start")


AnyStart = (
    UniformStart
    | OrthonormalStart
    | LatticeStart
    | TokenStart
    | NormalStart
    | CubeStart
    | PointStart
    | PerturbedStart
)


def check_size(n: int, d: int) -> None:
    """InputError for n < 2, for d < 2, and for more numbers n d than the limit."""
    if n < 2 or d < 2:
        raise InputError(
            f"`n` {n}, `d` {d}: at least two tokens, on spheres of R^2 and above", field=("n", "d")
        )
    require_at_most(NUMBERS, n * d, "numbers n d", ("n", "d"))


def check_seed(seed: int) -> None:
    """InputError for a negative seed."""
    if seed < 0:
        raise InputError(f"`seed` {seed}: must be 0 or more", field="seed")
