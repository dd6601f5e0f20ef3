"""Positions in the scores keep tokens apart: a state that is the image of the positions becomes stable.

Claim: auxiliary variables, such as positions, keep tokens from collapsing to a point; the limit is the image of
    their distribution under a map
Paper: auxiliary2026
Command: spinodal draw p14-positions
Minutes: 1
Expected: with scores s <p_i, p_j> of positions on a circle, and beta = 0, the state x_i = p_i turns stable where
    I_1(s) / I_0(s) = s / (1 + s), at s = 1.5451 to 1e-3, and its perturbations fall at the rates of theory; at s =
    8 some random starts do not collapse, at s = 1 all do
"""

from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import ive

from spinodal.figures.claims import Panel, draw_claim
from spinodal.figures.particles import save
from spinodal.flows import AttentionField, LatticeStart, Positions, Simulation, UniformStart, ensemble
from spinodal.flows.time import Adaptive, simulate
from spinodal.recipes import Paper, share

N, END, SIZE = 64, 150.0, 1e-6
PLACES = LatticeStart(N, 2).tokens()


def theory_rate(s: float) -> float:
    """(1 + I_2 / I_0) / 2 - I_1 / I_0 at s, the rate at which x_i = p_i is left, for n -> infinity  [derived].

    theta_i' = sum_j K_ij sin(theta_j - theta_i) with K_ij = e^{s cos(phi_i - phi_j)} / Z, linear about theta = phi, for
    the perturbation cos(phi); the next ones fall faster.
    """
    zero, one, two = (ive(k, s) for k in range(3))
    return float((1 + two / zero) / 2 - one / zero)


CRITICAL = float(brentq(theory_rate, 0.5, 3.0))  # type: ignore[arg-type]
EXPECTED = {
    "x = p turns stable at s": (CRITICAL - 1e-3, CRITICAL + 1e-3),
    "largest |rate - theory|": (0, 1e-4),
    "share that collapses at s = 1": (1, 1),
    "share that collapses at s = 8": (0, 0.95),
}
EXPECTED_QUICK = {name: EXPECTED[name] for name in ("x = p turns stable at s", "largest |rate - theory|")}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """64 tokens on the circle; rates, and shares of 12 random starts. Quick: 3 rates, 2 starts at two strengths."""
    strengths = np.linspace(0.5, 6, 3 if quick else 8)
    rates = np.array([measured_rate(s) for s in strengths])
    shown = np.array([1.0, 8.0]) if quick else np.array([1.0, 2.0, 4.0, 8.0])
    starts = 2 if quick else 12
    found = {"x = p turns stable at s": float(brentq(measured_rate, 1.2, 2.0, xtol=1e-6))}  # type: ignore[arg-type]
    found["largest |rate - theory|"] = float(
        max(abs(rate - theory_rate(s)) for s, rate in zip(strengths, rates, strict=True))
    )
    rows = []
    for s in shown:
        name = f"share that collapses at s = {s:g}"
        found |= share(name, collapsed(s, seed, starts), starts)
        rows.append((found[name], found[f"{name} ±"]))
    fine = np.linspace(strengths[0], strengths[-1], 100)
    panels = [
        Panel(
            "rate at which the state x = p is left",
            "strength s of the positions",
            points={"measured": (strengths, rates)},
            theory={"(1 + I₂/I₀)/2 - I₁/I₀": (fine, np.array([theory_rate(s) for s in fine]))},
            marks={f"s = {CRITICAL:.3f}": CRITICAL},
        ),
        Panel(
            f"share of {starts} random starts that collapse to a point",
            "strength s of the positions",
            points={"measured": (shown, *np.array(rows).T)},
            marks={f"s = {CRITICAL:.3f}": CRITICAL},
            limits=(-0.05, 1.05),
            place="lower left",
        ),
    ]
    title = f"positions p on a circle in the scores, s <p, p'>, β = 0, n = {N}"
    save(draw_claim(panels, title=title), out / "positions.png")
    return found


def field(s: float) -> AttentionField:
    return AttentionField(0.0, positions=Positions("product", s, PLACES))


def measured_rate(s: float, time: float = 4.0) -> float:
    """The rate at which a small perturbation of x = p grows."""
    home = 2 * np.pi * np.arange(N) / N
    angles = home + SIZE * np.cos(home)
    run = simulate(field(s), np.stack([np.cos(angles), np.sin(angles)], 1), time, method=Adaptive(1e-13))
    moved = np.angle(np.exp(1j * (np.arctan2(run.tokens[-1, :, 1], run.tokens[-1, :, 0]) - home)))
    return float(np.log(abs(np.mean(moved * np.exp(-1j * home))) / (SIZE / 2)) / time)


def collapsed(s: float, seed: int, starts: int) -> int:
    """How many random starts end in one point."""
    simulation = Simulation(field(s), UniformStart(N, 2, seed), END, Adaptive(1e-5), times=2)
    ends = ensemble(simulation, ["polarisation"], starts=starts).values_of("polarisation")[:, -1]
    return int(np.sum(ends > 1 - 1e-4))


PAPER = Paper(
    arxiv=("2605.30229",),
    read="abstract",
    found={
        "x = p turns stable at s": (1.54513, None),
        "largest |rate - theory|": (1.58647e-09, None),
        "share that collapses at s = 1": (1.0, 0.0664964),
        "share that collapses at s = 8": (0.666667, 0.123718),
    },
    date="2026-11-30",
)
