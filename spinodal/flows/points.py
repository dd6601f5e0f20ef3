"""Starts in R^d, as values, for tokens without layer norm: `tokens()` computes points of any length."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from jaxtyping import Float

from spinodal.arrays import points_array
from spinodal.errors import InputError, require_types
from spinodal.limits import NUMBERS, require_at_most
from spinodal.runs import register


@dataclass(frozen=True)
class DrawnPoints:
    """n independent points of R^d from the `seed`, of a `size`.

    InputError for n < 2, d < 1, a negative seed, a size that is not positive, and more numbers than the limit.
    """

    n: int = 64
    d: int = 3
    seed: int = 0
    size: float = 1.0

    euclidean = True

    def __post_init__(self) -> None:
        require_types(self, n=Integral, d=Integral, seed=Integral, size=Real)
        if self.n < 2 or self.d < 1:
            raise InputError(
                f"`n` {self.n}, `d` {self.d}: at least two tokens, in R^1 and above", field=("n", "d")
            )
        if self.seed < 0:
            raise InputError(f"`seed` {self.seed}: must be 0 or more", field="seed")
        if not 0 < self.size < np.inf:
            raise InputError(f"`size` {self.size}: of the start, above 0", field="size")
        require_at_most(NUMBERS, self.n * self.d, "numbers n d", ("n", "d"))


@register("normal-start")
@dataclass(frozen=True)
class NormalStart(DrawnPoints):
    """n independent points of R^d, normal with standard deviation `size` in every coordinate, from the `seed`."""

    def tokens(self) -> Float[np.ndarray, "n d"]:
        return self.size * np.random.default_rng(self.seed).standard_normal((self.n, self.d))


@register("cube-start")
@dataclass(frozen=True)
class CubeStart(DrawnPoints):
    """n independent points, uniform in the cube [-size, size]^d, from the `seed`."""

    def tokens(self) -> Float[np.ndarray, "n d"]:
        return np.random.default_rng(self.seed).uniform(-self.size, self.size, (self.n, self.d))


@register("point-start")
@dataclass(frozen=True, eq=False)
class PointStart:
    """Given points [n d] of any length, d >= 1: arrays, lists or tensors. InputError for fewer than two."""

    given: Float[np.ndarray, "..."]  # the points [n d]

    euclidean = True

    def __post_init__(self) -> None:
        points = points_array(self.given, "start")
        if len(points) < 2:
            raise InputError(
                f"`start` has shape {points.shape}: tokens [n d], at least two, are needed", field="start"
            )
        object.__setattr__(self, "given", points)

    def tokens(self) -> Float[np.ndarray, "n d"]:
        return self.given
