r"""Propagation of chaos: how far n random tokens are from the density that they were drawn from.

Distance: H^-1 over the first ten degrees, sqrt(sum_k |m_k^n - m_k|^2 / k^2); its root mean square over an
ensemble falls like n^{-1/2}, with a factor that grows like the fastest mode while that is small.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spinodal.meanfield.kernel import DriftLaw
from spinodal.meanfield.lagrangian import Circle, tokens
from spinodal.meanfield.modes import CircleModes

DEGREES = 10


class PropagationOfChaos(NamedTuple):
    """The root mean square distance for every n, and the slope of its logarithm against log n: -1/2 in theory."""

    n: Int[np.ndarray, " c"]
    error: Float[np.ndarray, " c"]
    slope: float


def sample_angles(start: CircleModes, n: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """n independent angles with density rho, by inverting its distribution function.

    The distribution function of a sum of harmonics is integrated in closed form and inverted by interpolation.
    """
    theta = np.linspace(0, 2 * np.pi, 64 * (start.highest + 1) + 1)
    k = np.arange(1, start.highest + 1)[:, None]
    waves = (
        start.amplitudes[:, None]
        / k
        * (np.sin(k * theta - start.phases[:, None]) + np.sin(start.phases)[:, None])
    )
    return np.interp(rng.random(n), (theta + waves.sum(0)) / (2 * np.pi), theta)


def propagation_of_chaos(
    flow: DriftLaw,
    start: CircleModes,
    sizes: Int[np.ndarray, " c"],
    *,
    until: float,
    samples: int = 16,
    seed: int = 0,
) -> PropagationOfChaos:
    """error(n) = sqrt(E sum_{k <= 10} |m_k^n - m_k|^2 / k^2), the H^-1 distance of n random tokens from their density.

    Draws `samples` systems of n tokens on the circle from the start, for every n in `sizes`, and compares their moments
    with those of the density at time `until`. The distance falls like n^{-1/2}, with a factor that grows in time.
    """
    rng = np.random.default_rng(seed)
    density = moments_at(Circle(flow, start), until)
    k = np.arange(1, DEGREES + 1)
    error = []
    for n in sizes:
        square = 0.0
        for _ in range(samples):
            cloud = tokens(flow, sample_angles(start, int(n), rng), np.full(n, 1 / n), tolerance=1e-6)
            square += float(np.sum(np.abs(moments_at(cloud, until) - density) ** 2 / k**2))
        error.append(np.sqrt(square / samples))
    slope = np.polyfit(np.log(sizes), np.log(error), 1)[0]
    return PropagationOfChaos(np.asarray(sizes), np.array(error), float(slope))


def moments_at(solver: Circle, until: float) -> np.ndarray:
    """m_1, ..., m_10 of a density at time `until`."""
    while solver.time < until:
        solver.advance(until)
    return solver.moments(DEGREES)[1:]
