"""The whole life of one density: growth, Diracs, waits that get exponentially long, and one point in the end.

Claim: one solver follows a density from a ripple of a hundredth to consensus, over ten orders of magnitude of time,
    with its mass exact; clusters appear where linear theory puts them, and meet at rate one
Paper: bpa2024
Command: spinodal draw f15-life-of-a-density
Minutes: 1
Expected: mass error at rounding; clusters within 0.2 of their forecast places; the last approach at a rate of 1 to one
    percent; the time of consensus the same to 1e-3 at a tenth of the tolerance
"""

from pathlib import Path

import numpy as np
import torch

from spinodal import theory
from spinodal.figures import densities
from spinodal.meanfield import Circle, CircleModes, clustering_rate, distance, flow, forecast, recorded
from spinodal.observables import plateaus

START = CircleModes(np.array([0.004, 0.006, 0.01, 0.008]), np.array([0.3, 1.0, 2.0, 0.5]))


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """SA on the circle at beta = 9, quick 5, from four small modes; nothing here is random."""
    del seed
    beta = 5.0 if quick else 9.0
    rates = np.asarray(theory.growth_rate_sa(np.arange(1, 33), 2, beta))
    solver = Circle(flow("sa", beta), START)
    told = forecast(solver.moments(32)[1:], np.full(32, 2.0), rates)
    record = recorded(solver, stop="consensus", degrees=64)
    life = plateaus(torch.from_numpy(record.times), torch.from_numpy(record.clusters))
    angle, values = densities.smoothed(record.moments, 2)
    marks = densities.Marks(told.positions.tolist(), told.time, [p._asdict() for p in life])
    densities.life(record.times, angle, values, marks).savefig(out / "life.png", dpi=150)
    again = Circle(flow("sa", beta), START, tolerance=1e-9)
    while not again.consensus:
        again.advance(np.inf)
    standing = int(np.argmax(record.clusters > 0))
    peaks = angle[np.argmax(values[standing])]
    away = np.abs(np.exp(1j * (peaks - told.positions)) - 1).min()
    return {
        "degree forecast": told.degree,
        "clusters, and until when": ", ".join(f"{p.clusters} to {p.end:.4g}" for p in life),
        "highest peak off its forecast place by": float(away),
        "distance to the pattern when it stands": float(distance(record.moments, told.degree, 2)[standing]),
        "consensus at": solver.time,
        "consensus at a tenth of the tolerance, relative difference": abs(again.time / solver.time - 1),
        "rate of the last approach": clustering_rate(record),
        "mass error": float(record.mass_error.max()),
        "inversion": float(record.inversion.max()),
    }
