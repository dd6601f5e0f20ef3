"""Two layer norms that start faster: peri-LN and nGPT divide the first steps by the length of attention's output.

Claim: peri-LN and nGPT move tokens from the first layers on, where post-LN is slow
Paper: norm2025
Command: spinodal draw p10-fast-start
Minutes: 0.7
Expected: mean cosines at t = 1 of random tokens in d = 512 within 0.01 of the curves of orthonormal ones, gamma(1)
    of each scheme, and in the order post, peri, nGPT
"""

from pathlib import Path

import numpy as np

from spinodal import theory
from spinodal.figures.claims import Panel, draw_claim, labelled
from spinodal.figures.particles import save
from spinodal.flows import AttentionField, Simulation, UniformStart, ensemble
from spinodal.flows.fields import scheme
from spinodal.recipes import Paper, estimate

N, D, BETA, END = 64, 512, 3.0, 6.0
CURVES = {
    "post": lambda t: theory.gamma_sa(t, N, BETA),
    "peri": lambda t: theory.gamma_peri(t, N, BETA, radius=1.0),
    "ngpt": lambda t: theory.gamma_ngpt(t, N, BETA, alpha=1.0),
}
AT_ONE = {name: round(float(curve(1.0)), 4) for name, curve in CURVES.items()}
EXPECTED = {f"{name}: mean cosine at t = 1": (g - 0.01, g + 0.01) for name, g in AT_ONE.items()}
SLOPES = {
    "post": theory.slope_post(N, BETA),
    "peri": theory.slope_peri(N, BETA, 1.0),
    "ngpt": theory.slope_ngpt(N, BETA, 1.0),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """64 uniform tokens of R^512, 24 starts each; quick: 2 starts, to t = 1."""
    starts, end = (2, 1.0) if quick else (24, END)
    times = np.linspace(0, end, 1 + round(20 * end))
    found, lines, dashed, first = {}, {}, [], []
    for name, curve in CURVES.items():
        field = AttentionField(BETA, scheme=scheme(name))
        simulation = Simulation(field, UniformStart(N, D, seed), end, times=times)
        result = ensemble(simulation, ["mean_cosine"], starts=starts)
        at = int(np.argmin(abs(result.times - 1)))
        found |= estimate(f"{name}: mean cosine at t = 1", result.values_of("mean_cosine")[:, at])
        found[f"{name}: gamma(1) of orthonormal tokens"] = AT_ONE[name]
        lines[name] = (result.times, result.mean("mean_cosine"), result.standard_error("mean_cosine"))
        dashed.append((times, np.asarray(curve(times))))
        first.append((times[times <= 0.2], float(SLOPES[name]) * times[times <= 0.2]))
    early = {name: tuple(part[times <= 1.0] for part in line) for name, line in lines.items()}
    panels = [
        Panel(
            f"mean cosine, {starts} starts",
            "t",
            lines=lines,
            theory=labelled("orthonormal tokens, γ(t)", dashed),
            marks={"t = 1": 1.0},
            place="lower right",
        ),
        Panel(
            "the beginning, with the slopes of theory",
            "t",
            lines=early,
            theory=labelled("slope at 0", first),
            place="upper left",
        ),
    ]
    save(
        draw_claim(panels, title=f"three layer norms, n = {N}, d = {D}, β = {BETA:g}"), out / "fast-start.png"
    )
    return found


PAPER = Paper(
    arxiv=("2510.22026",),
    read="abstract",
    found={
        "post: mean cosine at t = 1": (0.0565723, 0.00097),
        "peri: mean cosine at t = 1": (0.292496, 0.0018),
        "ngpt: mean cosine at t = 1": (0.479172, 0.0016),
    },
    date="2026-11-30",
)
