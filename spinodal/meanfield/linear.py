r"""The linear phase: which pattern wins, where its clusters will be, and how often noise chooses it.

Degree k of a density grows like e^{lambda_k t}; the linear phase ends when one of them reaches `SATURATED`, at

    t_k = log(SATURATED / c_k(0)) / lambda_k,   c_k the root mean square of degree k in rho / uniform,

and the degree with the least t_k wins. On white noise c_k is random: s times the root of a chi-square of N_k
degrees of freedom (2 on the circle, 1 for zonal harmonics), and the t_k are independent,

    P(k wins) = int_0^inf dP(t_k = t) prod_{j != k} P(t_j > t)   [derived].

The winner is therefore not always k_max, the degree that grows fastest.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import chdtr

SATURATED = 0.5  # root mean square of rho / uniform - 1 at which the linear phase is over


class Forecast(NamedTuple):
    """The degree that saturates first by linear theory, when, and on the circle where its clusters will be."""

    degree: int
    time: float
    positions: Float[np.ndarray, " c"]


def saturation_times(
    amplitudes: Float[np.ndarray, " k"], rates: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """t_k = log(SATURATED / rms_k) / lambda_k for degrees k = 1, 2, ...

    When each degree would stop being small if it grew at its linear rate; inf where a degree is absent or does not
    grow.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.log(SATURATED / amplitudes) / rates
    return np.where((rates > 0) & (amplitudes > 0), np.maximum(times, 0.0), np.inf)


def forecast(
    moments: np.ndarray, dimensions: Float[np.ndarray, " k"], rates: Float[np.ndarray, " k"]
) -> Forecast:
    """argmin_k t_k of `saturation_times`, from the moments m_1, m_2, ...

    Predicts the first pattern from any time of the linear phase; times are counted from then. On the circle, whose
    moments are complex, the clusters will be at (arg m_k + 2 pi j) / k.
    """
    top = min(len(moments), len(rates))
    amplitudes = np.sqrt(dimensions[:top]) * np.abs(moments[:top])
    times = saturation_times(amplitudes, rates[:top])
    k = int(np.argmin(times)) + 1
    turns = 2 * np.pi * np.arange(k) / k
    on_circle = np.iscomplexobj(moments)
    positions = np.sort((np.angle(moments[k - 1]) / k + turns) % (2 * np.pi)) if on_circle else np.empty(0)
    return Forecast(k, float(times[k - 1]), positions)


def winning_probabilities(
    spread: float, rates: Float[np.ndarray, " k"], freedoms: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """P(degree k saturates first) for white noise whose harmonics have standard deviation `spread`, k = 1, 2, ...

    `freedoms` are the numbers of harmonics of each degree: 2 on the circle, 1 for zonal densities, 2k+1 on S^2.
    """
    grows = rates > 0
    if not grows.any():
        return np.zeros_like(rates)
    latest = np.log(1e8 * SATURATED / spread) / rates[grows].max()
    t = np.linspace(0, latest, 20_001)
    # P(t_k <= t) = P(c_k >= SATURATED e^{-lambda_k t})
    levels = (SATURATED / spread * np.exp(-np.outer(rates[grows], t))) ** 2
    waiting = np.array([chdtr(f, level) for f, level in zip(freedoms[grows], levels, strict=True)])
    won = np.zeros_like(rates)
    for row, k in enumerate(np.flatnonzero(grows)):
        others = np.prod(np.delete(waiting, row, 0), 0)
        won[k] = np.sum((waiting[row, :-1] - waiting[row, 1:]) * (others[1:] + others[:-1]) / 2)
    return won
