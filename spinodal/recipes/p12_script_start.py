"""The start of the published script of dynamic metastability: two clusters that meet before its figure ends.

Claim: tokens on the circle wait in few clusters for an exponentially long time before they meet
Paper: gkpr2024
Command: spinodal draw p12-script-start
Minutes: 0.1
Expected: with the script's five tokens, beta = 4, SA, the last merge is at t = 343.7 on the clock of the flow and
    at 380 on that of the script's layers of h = 0.1, so that one cluster is left at its last time, 400; the last
    wait is that of the closed form of two clusters to 1e-4
"""

from pathlib import Path

import numpy as np

from spinodal import sphere, theory
from spinodal.figures.claims import Panel, draw_claim
from spinodal.figures.flow import continuous_angles
from spinodal.figures.particles import save
from spinodal.flows import AttentionField
from spinodal.flows.time import CONSENSUS, Adaptive, Layers, SimulationResult, simulate
from spinodal.recipes import Paper
from spinodal.recipes.f6_long_waits import last_wait, share_nearer

BETA, STEP, END = 4.0, 0.1, 400.0
START = (  # of particles.py in github.com/HugoKoubbi/2024-transformers-dotm
    (0.99806638, 0.06215705),
    (0.97712061, 0.21268594),
    (-0.24578194, 0.96932515),
    (-0.97354734, 0.2284854),
    (-0.99892629, -0.04632772),
)
EXPECTED = {
    "last merge, clock of the flow": (343.2, 344.2),
    "last merge, clock of layers": (379.0, 381.0),
    "last wait over its closed form - 1": (-1e-4, 1e-4),
    "clusters at t = 400": (1, 1),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """One start, which is given: nothing is random. Quick: a wider tolerance."""
    del seed
    x, field = sphere.normalise(np.array(START)), AttentionField(BETA)
    saves = np.linspace(0.5, END, 800)
    flow = simulate(field, x, CONSENSUS, saves=saves, method=Adaptive(1e-8 if quick else 1e-12))
    layers = simulate(field, x, END, saves=np.linspace(0, END, 401)[1:], method=Layers(STEP))
    _, waited, expected, _ = last_wait(flow, BETA)
    runs = {"clock of the flow": flow, "the script's layers, h = 0.1": layers}
    start, times, angles = closed_form(flow)
    panels = [
        Panel(
            "angles of the script's five tokens",
            "t",
            lines={name: angle_lines(run) for name, run in runs.items()},
            place="center left",
        ),
        Panel(
            "angle between the last two clusters",
            "t",
            lines={name: gap(run) for name, run in runs.items()},
            theory={"closed form of two clusters": (start + times, angles)},
            scales=("linear", "log"),
            place="lower left",
        ),
    ]
    save(
        draw_claim(panels, title=f"SA on the circle, the start of particles.py, n = 5, β = {BETA:g}"),
        out / "script-start.png",
    )
    return {
        "last merge, clock of the flow": float(flow.merges.time[-1]),
        "last merge, clock of layers": float(layers.merges.time[-1]),
        "last wait over its closed form - 1": float(waited / expected - 1),
        "clusters at t = 400": 5 - int(np.sum(flow.merges.time <= END)),
    }


def angle_lines(run: SimulationResult) -> tuple[np.ndarray, np.ndarray]:
    """The angles of all tokens over time until END, as one line with gaps."""
    angles = continuous_angles(run.tokens)
    seen, n = run.times <= END, angles.shape[1]
    return np.tile(np.append(run.times[seen], np.nan), n), np.vstack(
        [angles[seen], np.full((1, n), np.nan)]
    ).T.ravel()


def gap(run: SimulationResult) -> tuple[np.ndarray, np.ndarray]:
    """(times, the angle between the last two clusters), from the merge on that leaves two."""
    first, second = run.merges.first[-1], run.merges.second[-1]
    seen = (run.times > run.merges.time[-2]) & (run.times < run.merges.time[-1])
    apart = np.linalg.norm(run.tokens[seen, first] - run.tokens[seen, second], axis=-1)
    return run.times[seen], 2 * np.arcsin(apart / 2)


def closed_form(run: SimulationResult) -> tuple[float, np.ndarray, np.ndarray]:
    """(time of the first frame with two clusters, times from there, angles) of two clusters of their masses."""
    times, apart = gap(run)
    x = run.tokens[np.searchsorted(run.times, times[0])]
    share = share_nearer(x, x[run.merges.first[-1]], x[run.merges.second[-1]])
    angles = np.geomspace(apart[0], 1e-8, 200)
    return float(times[0]), np.asarray(theory.two_cluster_time_sa(angles, BETA, apart[0], share)), angles


PAPER = Paper(
    arxiv=("2410.06833",),
    read="abstract and script",
    found={
        "last merge, clock of the flow": (343.679, None),
        "last merge, clock of layers": (380.1, None),
        "last wait over its closed form - 1": (-1.57863e-12, None),
        "clusters at t = 400": (1, None),
    },
    date="2026-11-30",
)
