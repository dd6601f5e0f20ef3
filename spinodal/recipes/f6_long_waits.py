"""Two clusters wait for each other exponentially long, and an integrator that adapts waits with them.

Claim: the last merge comes after a wait that grows like exp(beta (1 - cos u)), known in closed form, while the steps
    that it takes grow slowly
Paper: glpr2023
Command: spinodal draw f6-long-waits
Minutes: 1
Expected: merge times of n = 5, beta = 4 agree to 4 digits at tolerances of 1e-11 and 1e-13; waits agree with the
    closed form of two clusters to 1e-4, up to more than 1e16, in at most 2500 steps
"""

import itertools
from math import inf
from pathlib import Path

import numpy as np
from jaxtyping import Float

from spinodal import sphere, theory
from spinodal.figures import particles, particles_time
from spinodal.figures.flow import continuous_angles
from spinodal.flows import AttentionField
from spinodal.flows.time import CONSENSUS, MERGE, Adaptive, SimulationResult, simulate

N, BETA, END = 5, 4.0, 400.0
AGREEMENT = {
    "largest relative difference": (0, 5e-5),
    "waits off the closed form by": (0, 1e-4),
    "most steps": (1, 2500),
}
EXPECTED = AGREEMENT | {"longest wait": (1e16, inf)}
EXPECTED_QUICK = AGREEMENT | {"longest wait": (100, inf)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """SA on the circle from random starts; quick: two waits of one start, and wider tolerances."""
    tolerances = (1e-8, 1e-10) if quick else (1e-11, 1e-13)
    loose, tight = (flow_to_consensus(seed, BETA, tolerance) for tolerance in tolerances)
    betas = np.array([2.0, 3.0]) if quick else np.arange(1.0, 21.0)
    waits = {
        f"start {s}": np.array([last_wait(flow_to_consensus(s, beta, tolerances[0]), beta) for beta in betas])
        for s in range(seed, seed + (1 if quick else 3))
    }
    times, tokens = loose.times[1:], loose.tokens[1:]
    left = N - int(np.sum(tight.merges.time <= END))
    figure = particles_time.long_waits(
        times,
        continuous_angles(tokens),
        tight.merges.time,
        waits,
        title=f"SA on the circle, n = {N}; first panel: β = {BETA:g}, {left} clusters at t = {END:g}",
    )
    particles.save(figure, out / "long-waits.png")
    rows = np.concatenate(list(waits.values()))
    return {
        f"merge times at {tolerances[0]:g}": format_times(loose.merges.time),
        f"merge times at {tolerances[1]:g}": format_times(tight.merges.time),
        "largest relative difference": float(abs(loose.merges.time / tight.merges.time - 1).max()),
        "longest wait": float(rows[:, 1].max()),
        "waits off the closed form by": float(abs(rows[:, 1] / rows[:, 2] - 1).max()),
        "most steps": int(rows[:, 3].max()),
    }


def flow_to_consensus(seed: int, beta: float, tolerance: float) -> SimulationResult:
    """SA from a random start to consensus, kept at equal steps of log t."""
    saves = (0.1 * 1.05**k for k in itertools.count())
    x = sphere.uniform(N, 2, seed)
    return simulate(AttentionField(beta), x, CONSENSUS, saves=saves, method=Adaptive(tolerance))


def last_wait(run: SimulationResult, beta: float) -> tuple[float, float, float, int]:
    """(beta, the wait between the last two merges, that of `two_cluster_time_sa` from where they stand, steps)."""
    start, end = run.merges.time[-2:]
    k = int(np.searchsorted(run.times, start))
    x, time = run.tokens[k], float(run.times[k])
    first, second = x[run.merges.first[-1]], x[run.merges.second[-1]]
    apart = 2 * np.arcsin(np.linalg.norm(first - second) / 2)
    left = float(theory.two_cluster_time_sa(MERGE, beta, apart, share_nearer(x, first, second)))
    return beta, end - start, time - start + left, run.steps


def share_nearer(
    x: Float[np.ndarray, "n d"], first: Float[np.ndarray, " d"], second: Float[np.ndarray, " d"]
) -> float:
    """The share of tokens that are nearer to the first of two; by differences, as cosines of near tokens are all 1."""
    near, far = (np.linalg.norm(x - one, axis=1) for one in (first, second))
    return float(np.mean(near < far))


def format_times(times: Float[np.ndarray, " k"]) -> str:
    return ", ".join(f"{time:.8g}" for time in times)
