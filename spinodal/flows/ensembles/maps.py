r"""The probability that two tokens have met, over many systems, with its standard error.

    p(t) = mean_b f_b(t),   SE(t) = sqrt( sum_b (f_b - p)^2 / (B (B - 1)) ),

f_b the share of the pairs of system b with <x_i, x_j> >= threshold. Systems are independent, pairs of one
system are not: the error is that over systems. Systems are computed in chunks, of which two sums are kept.
All beta share the same starts, which are drawn once a process: a map is smooth in beta, and its errors at
neighbouring beta are of one sign.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError, require_types
from spinodal.flows.engines.law import Law
from spinodal.flows.ensembles.systems import (
    Clock,
    pack_systems,
    triangular_coordinates,
    uniform_systems,
    unpack_systems,
)
from spinodal.limits import NUMBERS, STEPS, require_at_most

CLOSE = 0.999  # cosine from which two tokens count as one [glpr2023]
MOST_SYSTEMS = 256  # of a chunk
MOST_NUMBERS = 1 << 20  # of a chunk


class Estimate(NamedTuple):
    """P(<x_i, x_j> >= threshold) at each time, the mean over systems, and its standard error."""

    probability: Float[np.ndarray, " t"]
    standard_error: Float[np.ndarray, " t"]


@dataclass(frozen=True)
class Ensemble:
    """`samples` systems of n tokens, uniform on S^{d-1}."""

    n: int
    d: int
    samples: int
    seed: int = 0

    def __post_init__(self):
        require_types(self, n=Integral, d=Integral, samples=Integral, seed=Integral)
        least = {"n": 2, "d": 2, "samples": 2, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"`{name}` {getattr(self, name)}: must be at least {low}", field=name)
        require_at_most(NUMBERS, self.n * self.d, "numbers n d", ("n", "d"))
        require_at_most(STEPS, self.samples, "systems", "samples")

    def chunks(self, width: int) -> Iterator[range]:
        """Numbers of systems in chunks that fit in memory, for tokens of `width` numbers."""
        size = max(1, min(MOST_SYSTEMS, MOST_NUMBERS // (self.n * width)))
        for first in range(0, self.samples, size):
            yield range(first, min(first + size, self.samples))


def close_shares(
    x: Float[np.ndarray, "b n d"],
    law: Law,
    clock: Clock,
    times: Float[np.ndarray, " t"],
    threshold: float = CLOSE,
) -> Float[np.ndarray, "b t"]:
    """#{pairs: <x_i, x_j> >= threshold} / #{pairs} of every system [b n d], at increasing times >= 0  [glpr2023]."""
    return clock.run(pack_systems(triangular_coordinates(x)), law, times, threshold)


def evolve_systems(
    x: Float[np.ndarray, "b n d"], law: Law, clock: Clock, time: float
) -> Float[np.ndarray, "b n d"]:
    """x(t) of many systems [b n d] under the law with Q = K = V = I.

    The coordinates may be those of `triangular_coordinates`, which are fewer.
    """
    systems = pack_systems(x)
    clock.run(systems, law, np.array([time]), np.inf)
    return unpack_systems(systems)


def estimate(
    ensemble: Ensemble, law: Law, clock: Clock, times: Float[np.ndarray, " t"], threshold: float = CLOSE
) -> Estimate:
    """P(<x_i, x_j> >= threshold) at the times, with Q = K = V = I, and its standard error."""
    n, d, seed = ensemble.n, ensemble.d, ensemble.seed
    chunks = (cached_starts(n, d, numbers, seed) for numbers in ensemble.chunks(min(n, d)))
    return mean_and_error(clock.run(pack_systems(x), law, times, threshold) for x in chunks)


@lru_cache(maxsize=32)
def cached_starts(n: int, d: int, numbers: range, seed: int) -> Float[np.ndarray, "b n r"]:
    """`uniform_systems`, kept for the next call with the same arguments."""
    return uniform_systems(n, d, numbers, seed)


def mean_and_error(chunks: Iterator[Float[np.ndarray, "_ t"]]) -> Estimate:
    """The mean of the rows of all chunks and its standard error; two rows or more."""
    number, total, squares = 0, np.zeros(1), np.zeros(1)
    for shares in chunks:
        number += len(shares)
        total = total + shares.sum(0)
        squares = squares + (shares**2).sum(0)
    mean = total / number
    variance = np.maximum(squares / number - mean**2, 0) * number / (number - 1)
    return Estimate(mean, np.sqrt(variance / number))
