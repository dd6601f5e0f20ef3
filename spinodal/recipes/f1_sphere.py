"""Tokens on the sphere, attracted by what they attend to, end in one point.

Claim: 64 tokens on S^2 reach consensus; the energy never falls, and the last approach is exp(-t)
Paper: glpr2023
Command: spinodal draw f1-sphere
Minutes: 0.1
Expected: unit norms to 1e-12, no step of log E below -1e-12, the least cosine at T = 15 above .9999, and
    1 - cos falling at the rate 2 to 1e-4
"""

from math import inf
from pathlib import Path

import numpy as np

from spinodal import sphere
from spinodal.figures import movies, particles
from spinodal.flows import AttentionField
from spinodal.flows.time import Adaptive, simulate
from spinodal.observables import log_energy

N, BETA, END = 64, 1.0, 15.0
EXPECTED = {
    "largest ||x| - 1|": (0, 1e-12),
    "smallest step of log E": (-1e-12, inf),
    "1 - least cosine at T": (0, 1e-4),
    "rate of 1 - least cosine": (2 - 1e-4, 2 + 1e-4),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Trails, energy and least cosine of one SA flow, and a movie; quick: without the movie."""
    saves = np.linspace(0, END, 76 if quick else 151)[1:]
    start = sphere.uniform(N, 3, seed)
    run = simulate(AttentionField(BETA), start, END, saves=saves, method=Adaptive(1e-9))
    times, tokens = run.times, run.tokens
    log_E = log_energy(run.trajectory, BETA)[:, 0].numpy()
    apart = np.array([np.sum((x[:, None] - x) ** 2, -1).max() for x in tokens]) / 2
    title = f"SA on the sphere, n = {N}, β = {BETA:g}: one point in the end"
    level = np.exp(log_E + np.log(2 * BETA) - BETA)
    particles.save(particles.consensus(times, tokens, level, apart, title=title), out / "sphere.png")
    if not quick:
        movies.sphere_movie(times[:121:2], tokens[:121:2], out / "sphere.gif")
    late = times > END - 5
    return {
        "largest ||x| - 1|": float(abs(np.linalg.norm(tokens, axis=-1) - 1).max()),
        "smallest step of log E": float(np.diff(log_E).min()),
        "1 - least cosine at T": float(apart[-1]),
        "rate of 1 - least cosine": float(-np.polyfit(times[late], np.log(apart[late]), 1)[0]),
        "steps": run.steps,
    }
