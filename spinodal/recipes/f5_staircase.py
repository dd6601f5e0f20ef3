r"""From saddle to saddle: the energy climbs a staircase, whose steps are merges.

Claim: with time as log(t) / beta the energy over its maximum tends to a staircase of levels sum_q (n_q / n)^2, that
    jumps at 1 - cos of the gaps between clusters, the smallest first
Paper: gkpr2024
Command: spinodal draw f5-staircase
Minutes: 0.1
Expected: levels 7/25, 11/25, 13/25 and 1 to 1e-5 half way between merges from beta = 1000 on, to 1e-9 from 2000;
    merges within 1e-2 of those of a pair on its own at beta = 1000 and 1e-4 from 2000 on.
    (E itself, with weights exp(beta (<x,y> - 1)), tends to 0)
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from spinodal import theory
from spinodal.figures import particles, particles_time
from spinodal.flows import AttentionField
from spinodal.flows.time import CONSENSUS, MERGE, Adaptive, simulate
from spinodal.observables import log_energy

BETAS = (500.0, 1000.0, 2000.0, 4000.0)
EXPECTED_QUICK = {"beta = 1000, levels off by": (0, 1e-5), "beta = 1000, merges off the pair's by": (0, 1e-2)}
EXPECTED = EXPECTED_QUICK | {
    f"beta = {beta}, {what}": (0, bound)
    for beta in (2000, 4000)
    for what, bound in (("levels off by", 1e-9), ("merges off the pair's by", 1e-4))
}
START = np.mod(0.5 * np.array([0, 0.5, 2, 4, 7]) * np.log(2000) / np.sqrt(2000), np.pi)


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Four temperatures; nothing is drawn by chance. Quick: one of them."""
    gaps, masses, sizes = smallest_gaps_first(START)
    limits, levels = 1 - np.cos(gaps), np.array([theory.staircase_level(np.array(size)) for size in sizes])
    stairs, measured = [], {}
    for beta in BETAS[1:2] if quick else BETAS:
        found = climb(beta, gaps, masses, Adaptive(1e-7 if quick else 1e-9))
        stairs.append(found)
        middle = np.append((found.merges[:-1] + found.merges[1:]) / 2, found.times[-1])
        off = np.interp(middle, found.times, found.level) - levels[1:]
        told = ", ".join(f"{merge:.6f}" for merge in found.merges)
        measured[f"beta = {beta:g}, log(t) / beta of merges"] = told
        measured[f"beta = {beta:g}, levels off by"] = float(abs(off).max())
        off = abs(found.merges / found.predicted - 1)
        measured[f"beta = {beta:g}, merges off the pair's by"] = float(off.max())
    title = f"USA on the circle, n = {len(START)}, from saddle to saddle"
    particles.save(particles_time.staircase(stairs, limits, levels, title=title), out / "staircase.png")
    return measured


def climb(
    beta: float, gaps: Float[np.ndarray, " k"], masses: Float[np.ndarray, " k"], method: Adaptive
) -> particles_time.Stairs:
    """One flow to consensus, on the clock of weights exp(beta (<x,y> - 1)) / n."""
    x = np.stack([np.cos(START), np.sin(START)], 1)
    last = 1 - np.cos(gaps[-1])
    grid = np.exp(beta * np.linspace(0, last, 400))
    run = simulate(AttentionField(beta, "gkpr"), x, CONSENSUS, saves=grid, method=method)
    times = np.log(run.times[1:]) / beta
    level = np.exp(log_energy(run.trajectory, beta)[1:, 0].numpy() + np.log(2 * beta) - beta)
    times, level = np.append(times, 1.2 * last), np.append(level, level[-1])
    return particles_time.Stairs(
        beta, times, level, np.log(run.merges.time) / beta, np.log(pair_times(beta, gaps, masses)) / beta
    )


def pair_times(
    beta: float, gaps: Float[np.ndarray, " k"], masses: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """int_MERGE^u du e^{beta (1 - cos u)} / (M sin u) of pairs of mass M, a gap u apart, on their own  [derived].

    u' = -M e^{beta (cos u - 1)} sin u. For two tokens SA takes int (e^{beta (1 - cos u)} + 1) / (2 sin u) du,
    and at beta = 0 int du / sin u: twice the one less the other is the integral.
    """
    return (
        2 * theory.two_token_time_sa(MERGE, beta, gaps) - theory.two_token_time_sa(MERGE, 0.0, gaps)
    ) / masses


def smallest_gaps_first(
    angles: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], list[list[int]]]:
    """The limit beta -> inf on an arc: neighbours with the smallest gap merge at their mean, all else waits.

    The gaps, the masses of the pairs, and the sizes of the clusters before each merge and after the last.
    """
    place, size = list(angles), [1] * len(angles)
    gaps, masses, sizes = [], [], [list(size)]
    while len(place) > 1:
        i = int(np.argmin(np.diff(place)))
        gaps.append(place[i + 1] - place[i])
        total = size[i] + size[i + 1]
        place[i : i + 2] = [(size[i] * place[i] + size[i + 1] * place[i + 1]) / total]
        size[i : i + 2] = [total]
        masses.append(total / len(angles))
        sizes.append(list(size))
    return np.array(gaps), np.array(masses), sizes
