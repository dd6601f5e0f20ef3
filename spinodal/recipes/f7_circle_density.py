"""White noise on the circle breaks up into as many clusters as linear theory says, as often as it says.

Claim: from white noise three clusters win at beta = 5 and four at beta = 7 as often as the linear theory of that noise
    predicts, and the winner of each start is known beforehand
Paper: bpa2024
Command: spinodal draw f7-circle-density
Minutes: 1
Expected: the probabilities are 0.900 (3 of beta 5) and 0.736 (4 of beta 7), the counts over ten seeds within two
    deviations; the forecast names the winner of nine starts in ten or more (quick: two in three); growth rates agree
    to 1e-3; the mass error is rounding, and densities stay positive
"""

from pathlib import Path

import numpy as np

from spinodal import figures, theory
from spinodal.figures import save_picture
from spinodal.flows import AttentionField
from spinodal.meanfield import (
    SATURATED,
    Circle,
    DensityExperiment,
    WhiteNoise,
    circle_noise,
    drift_law,
    evolve,
    forecast,
    measured_rates,
    winning_probabilities,
)

SIGMA, SPREAD = 0.01, 1e-4  # of [bpa2024]'s noise, and of each of its harmonics
K = np.arange(1, 33)
TWO = np.full(32, 2.0)


def bounds(seeds: int, forecast: float) -> dict[str, tuple[float, float]]:
    """What is expected of so many seeds: shares within two deviations of their probabilities."""
    found: dict[str, tuple[float, float]] = {}
    for beta, fold, p in ((5, 3, 0.900), (7, 4, 0.736)):
        apart = 2 * (p * (1 - p) / seeds) ** 0.5
        found |= {
            f"probability of {fold} at beta {beta}": (p - 5e-4, p + 5e-4),
            f"share of {fold} at beta {beta}": (p - apart, min(1.0, p + apart)),
            f"winners forecast at beta {beta}": (forecast, 1.0),
            f"growth rate of {fold} at beta {beta}, relative error": (-1e-3, 1e-3),
            f"mass error at beta {beta}": (0.0, 1e-14),
            f"least density at beta {beta}": (0.0, 1.0),
        }
    return found


EXPECTED = bounds(10, 0.9)
EXPECTED_QUICK = bounds(3, 2 / 3)


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """USA at beta = 5 and 7; quick: three seeds in place of ten."""
    seeds = range(seed, seed + (3 if quick else 10))
    measured: dict[str, object] = {}
    for beta, fold in ((5.0, 3), (7.0, 4)):
        rates = np.asarray(theory.growth_rate_usa(K, 2, beta))
        p = winning_probabilities(SPREAD, rates, TWO)
        pairs = [winner(beta, s, rates) for s in seeds]
        measured |= {
            f"probability of {fold} at beta {beta:g}": float(p[fold - 1]),
            f"share of {fold} at beta {beta:g}": float(np.mean([seen == fold for _, seen in pairs])),
            f"winners forecast at beta {beta:g}": float(np.mean([told == seen for told, seen in pairs])),
        }
        measured |= draw_life(out, beta, seed, rates)
    return measured


def winner(beta: float, seed: int, rates: np.ndarray) -> tuple[int, int]:
    """(degree forecast from the start, degree whose root mean square was first at SATURATED)."""
    solver = Circle(drift_law("usa", beta), circle_noise(SIGMA, np.random.default_rng(seed)), tolerance=1e-6)
    told = forecast(solver.moments(32)[1:], TWO, rates).degree
    while (size := np.sqrt(2) * np.abs(solver.moments(32)[1:])).max() < SATURATED:
        solver.advance(np.inf)
    return told, int(np.argmax(size)) + 1


def draw_life(out: Path, beta: float, seed: int, rates: np.ndarray) -> dict[str, float | None]:
    """One seed in full: its life through the birth of Diracs, and its growth rates."""
    solver = Circle(drift_law("usa", beta), circle_noise(SIGMA, np.random.default_rng(seed)))
    told = forecast(solver.moments(32)[1:], TWO, rates)
    experiment = DensityExperiment(
        AttentionField(beta, "usa"), WhiteNoise(SIGMA, seed=seed), until=2 * told.time
    )
    result = evolve(experiment)
    pictures = figures.draw(result)
    save_picture(pictures["life"], out / f"beta-{beta:g}.png")
    save_picture(pictures["amplitudes"], out / f"amplitudes-{beta:g}.png")
    k = told.degree
    return {
        f"growth rate of {k} at beta {beta:g}, relative error": float(
            measured_rates(result.record)[k - 1] / rates[k - 1] - 1
        ),
        f"mass error at beta {beta:g}": result.mass_error,
        f"least density at beta {beta:g}": result.minimum_density,
    }
