"""Below a negative beta the circle keeps three clusters apart, and tokens need not meet any more.

Claim: USA on the circle synchronises from almost every start for beta >= -0.16, and not below -2/3
Paper: synchronization2025
Command: spinodal draw p1-negative-beta
Minutes: 0.3
Expected: three equal clusters turn stable at -2/3 to 1e-5, where their rate e^(-beta/2) (1/2 + 3 beta / 4) changes
    its sign, for n = 3 and for n = 30; at -0.16 every start synchronises, at -3 fewer than half do
"""

from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from spinodal import theory
from spinodal.figures.claims import Panel, draw_claim
from spinodal.figures.particles import save
from spinodal.flows import AttentionField, Simulation, UniformStart, ensemble
from spinodal.flows.time import Adaptive, simulate
from spinodal.recipes import Paper, share

N, END, SIZE = 30, 400.0, 1e-6
THRESHOLD = {f"three clusters turn stable at, n = {n}": (-2 / 3 - 1e-5, -2 / 3 + 1e-5) for n in (3, N)}
EXPECTED = THRESHOLD | {
    "share that synchronises at beta = -0.16": (1, 1),
    "share that synchronises at beta = -3": (0, 0.5),
}
EXPECTED_QUICK = THRESHOLD | {"share that synchronises at beta = -0.16": (1, 1)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Rates of three clusters, and shares of 36 starts of 30 tokens; quick: of 4 starts at two beta."""
    betas = np.linspace(-1.0, -0.3, 5 if quick else 15)
    rates = np.array([measured_rate(3, beta) for beta in betas])
    shares = np.array([-1.0, -0.16]) if quick else np.array([-3, -2.5, -2, -1.5, -1, -2 / 3, -0.4, -0.16])
    starts = 4 if quick else 36
    found = {f"three clusters turn stable at, n = {n}": threshold(n) for n in (3, N)}
    found["largest |rate - theory|"] = float(
        np.abs(np.subtract(theory.splay_rate_usa(1, 3, betas), rates)).max()
    )
    rows = []
    for beta in shares:
        name = f"share that synchronises at beta = {beta:.3g}"
        found |= share(name, synchronised(beta, seed, starts), starts)
        rows.append((found[name], found[f"{name} ±"]))
    fine = np.linspace(betas[0], betas[-1], 200)
    panels = [
        Panel(
            "growth rate of three equal clusters' displacement",
            "β",
            points={"measured, n = 3": (betas, rates)},
            theory={"exp(-β/2) (1/2 + 3β/4)": (fine, np.exp(-fine / 2) * (0.5 + 0.75 * fine))},
            marks={"β = -2/3": -2 / 3},
        ),
        Panel(
            f"share of {starts} random starts that synchronise, n = {N}",
            "β",
            points={"measured": (shares, *np.array(rows).T)},
            marks={"proved above β = -0.16": -0.16, "_three clusters stable below": -2 / 3},
            limits=(-0.05, 1.05),
        ),
    ]
    save(draw_claim(panels, title="USA on the circle, β < 0"), out / "negative-beta.png")
    return found


def measured_rate(n: int, beta: float, time: float = 2.0) -> float:
    """The rate at which a small displacement of three equal clusters of n tokens grows."""
    home = 2 * np.pi * np.arange(n) / 3
    angles = home + SIZE * np.cos(home)
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    run = simulate(AttentionField(beta, "usa"), x, time, method=Adaptive(1e-13))
    moved = np.angle(np.exp(1j * (np.arctan2(run.tokens[-1, :, 1], run.tokens[-1, :, 0]) - home)))
    return float(np.log(abs(np.mean(moved * np.exp(-1j * home))) / (SIZE / 2)) / time)


def threshold(n: int) -> float:
    """The beta at which the rate is 0."""
    return float(brentq(lambda beta: measured_rate(n, beta), -0.7, -0.63, xtol=1e-7))  # type: ignore[arg-type]


def synchronised(beta: float, seed: int, starts: int) -> int:
    """How many random starts end in one point."""
    simulation = Simulation(AttentionField(beta, "usa"), UniformStart(N, 2, seed), END, times=2)
    ends = ensemble(simulation, ["polarisation"], starts=starts).values_of("polarisation")[:, -1]
    return int(np.sum(ends > 1 - 1e-6))


PAPER = Paper(
    arxiv=("2507.22857",),
    read="abstract",
    found={
        "three clusters turn stable at, n = 3": (-0.666667, None),
        "three clusters turn stable at, n = 30": (-0.666667, None),
        "share that synchronises at beta = -0.16": (1, 0.026),
        "share that synchronises at beta = -3": (0.222222, 0.068),
    },
    date="2026-11-30",
)
