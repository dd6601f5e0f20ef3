"""Cosines of all pairs over time: random tokens of a high dimension move as orthogonal ones do.

Claim: the mean cosine of 32 random tokens in 1024 dimensions follows gamma(t), and the spread stays small
Paper: glpr2023
Command: spinodal draw f4-histograms
Minutes: 0.2
Expected: means within 0.005 of gamma(t), a few 1 / d, at t = 0.5, 1, 2, 3, 4
"""

from pathlib import Path

import numpy as np

from spinodal import theory
from spinodal.figures import maps, save_picture
from spinodal.flows import law
from spinodal.flows.ensembles import OdeClock, evolve_systems, uniform_systems

N, D, BETA, TIMES = 32, 1024, 1.0, (0.5, 1.0, 2.0, 3.0, 4.0)
EXPECTED = {"largest |mean - gamma|": (0, 0.005)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Histograms of SA at five times, of 256 systems; quick: of 16."""
    samples = 16 if quick else 256
    c, pairs, before = uniform_systems(N, D, range(samples), seed), np.triu_indices(N, 1), 0.0
    cosines, measured, worst = {}, {}, 0.0
    gammas = {t: float(theory.gamma_sa(t, N, BETA)) for t in TIMES}
    for t in TIMES:
        c, before = evolve_systems(c, law("sa", BETA), OdeClock(), t - before), t
        found = (c @ c.mT)[:, *pairs]
        cosines[t] = found.ravel()
        error = found.mean(1).std(ddof=1) / np.sqrt(samples)
        measured[f"t = {t:g}"] = (
            f"mean {found.mean():.4f} ± {error:.4f}, spread {found.std():.4f}, gamma {gammas[t]:.4f}"
        )
        worst = max(worst, abs(float(found.mean()) - gammas[t]))
    title = f"cosines of pairs, SA, n = {N}, d = {D}, β = {BETA:g}, {samples} starts"
    save_picture(maps.cosines_over_time(cosines, gammas, title=title), out / "histograms.png")
    return measured | {"largest |mean - gamma|": worst}
