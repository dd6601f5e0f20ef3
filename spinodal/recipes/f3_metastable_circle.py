"""Clusters on the circle that last: how many there are, over many starts.

Claim: at beta = 4 two clusters and at beta = 9 three are the rule long before consensus; their number is random
Paper: glpr2023
Command: spinodal draw f3-metastable-circle
Minutes: 1.5
Expected: most starts have 2 clusters at beta = 4, t = 18 and 3 at beta = 9, t = 30, whether 1 - cos <= 1e-2, 1e-3
    or 1e-6 joins tokens; fewer than the 3 and 4 waves that grow fastest; a matrix rank never tells more than 2
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import brentq

from spinodal import theory
from spinodal.figures import movies, particles, particles_time
from spinodal.flows import AttentionField, law
from spinodal.flows.ensembles import OdeClock, evolve_systems, uniform_systems
from spinodal.flows.time import simulate
from spinodal.observables import cluster_count, cluster_labels
from spinodal.types import Trajectory

N, BETAS, TIMES = 32, (4.0, 9.0), (18.0, 30.0)
EPSILONS = (1e-2, 1e-3, 1e-6)
CLOSE = 1e-3
CLOCK = OdeClock(1e-8)
USUAL = (2, 3)  # clusters at BETAS and TIMES
EXPECTED = {
    f"beta = {beta:g}, t = {time:g}, share of {count} clusters within {epsilon:g}": (0.5, 1.0)
    for beta, time, count in zip(BETAS, TIMES, USUAL, strict=True)
    for epsilon in EPSILONS
} | {f"beta = {beta:g}, largest matrix rank": (1, 2) for beta in BETAS}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Counts of clusters under SA, of 4096 starts, and a movie; quick: of 64, without the movie."""
    samples = 64 if quick else 4096
    course = np.geomspace(2, 100, 4) if quick else np.geomspace(2, 1000, 28)
    x, circles, measured = uniform_systems(N, 2, range(samples), seed), [], {}
    for beta, time, usual in zip(BETAS, TIMES, USUAL, strict=True):
        found = observe_systems(x, beta, time, course)
        circles.append(found)
        for name, share in found.shares.items():
            told = [
                f"{k}: {p:.4f} ± {np.sqrt(p * (1 - p) / samples):.4f}"
                for k, p in enumerate(share, 1)
                if p > 0
            ]
            measured[f"beta = {beta:g}, t = {time:g}, clusters within {name}"] = ", ".join(told)
            measured[f"beta = {beta:g}, t = {time:g}, share of {usual} clusters within {name}"] = float(
                share[usual - 1]
            )
        y = evolve_systems(x, law("sa", beta), CLOCK, time)
        ranks = np.linalg.matrix_rank(y @ y.mT, tol=1e-3)
        measured[f"beta = {beta:g}, largest matrix rank"] = int(ranks.max())
    title = f"clusters on the circle, SA, n = {N}, {samples} uniform starts, ± standard errors"
    particles.save(particles_time.cluster_counts(circles, title=title), out / "clusters.png")
    if not quick:
        run = simulate(AttentionField(BETAS[-1]), x[0], 1000.0, saves=np.geomspace(0.2, 1000, 70))
        turn = angles(run.tokens)
        labels = cluster_labels(run.trajectory, CLOSE)[:, 0].numpy()
        movies.circle_movie(run.times, turn, labels, out / "circle.gif")
    return measured


def observe_systems(
    x: Float[np.ndarray, "b n 2"], beta: float, time: float, course: Float[np.ndarray, " t"]
) -> particles_time.Circles:
    """Systems at `time` and their mean count over `course`."""
    before, y, means, errors = 0.0, x, [], []
    for t in course:
        y, before = evolve_systems(y, law("sa", beta), CLOCK, t - before), t
        count = counts(y, CLOSE)
        means.append(count.mean())
        errors.append(count.std(ddof=1) / np.sqrt(len(count)))
    y = evolve_systems(x, law("sa", beta), CLOCK, time)
    return particles_time.Circles(
        beta=beta,
        time=time,
        angles=angles(y[0]),
        labels=cluster_labels(frame(y[:1]), CLOSE)[0, 0].numpy(),
        shares={
            f"{epsilon:g}": np.bincount(counts(y, epsilon), minlength=7)[1:] / len(y) for epsilon in EPSILONS
        },
        samples=len(y),
        times=course,
        mean=np.array(means),
        error=np.array(errors),
        ceiling=2 * np.pi / np.array([merging_angle(t, beta) for t in course]),
        fastest=int(theory.fastest_degree(2, beta)),
    )


def merging_angle(t: float, beta: float) -> float:
    """The angle from which two equal clusters merge to CLOSE within a time t."""
    met = 2 * np.arcsin(np.sqrt(CLOSE / 2))
    late = lambda u: float(theory.two_token_time_sa(met, beta, u)) - t
    return float(brentq(late, met * (1 + 1e-9), np.pi - 1e-6))  # pyright: ignore[reportArgumentType]


def counts(x: Float[np.ndarray, "b n 2"], epsilon: float) -> np.ndarray:
    """Components of {cos >= 1 - epsilon} of each system."""
    return cluster_count(frame(x), epsilon)[0].numpy()


def frame(x: Float[np.ndarray, "b n 2"]) -> Trajectory:
    """Many systems at one time."""
    return Trajectory(torch.zeros(1), torch.from_numpy(x)[None], torch.ones(x.shape[:2], dtype=torch.bool))


def angles(x: Float[np.ndarray, "*t n 2"]) -> Float[np.ndarray, "*t n"]:
    return np.arctan2(x[..., 1], x[..., 0])
