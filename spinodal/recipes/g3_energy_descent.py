"""The energy falls along the flow, and along the sparse descent; a threshold at the end makes it rise.

Claim: the gradient flow and the proximal step never let the energy rise; thresholding once after convergence does
Paper: preetham2023
Command: spinodal draw g3-energy-descent
Minutes: 0.3
Expected: no rise above 1e-12 along the flow or the proximal descent, which ends at a residual below 1e-8; the sum of x
    stays to 1e-12; a rise and a residual above 0.1 after thresholding once
"""

from math import inf
from pathlib import Path

import numpy as np

from spinodal import graphs
from spinodal.figures import save_picture
from spinodal.figures.graphs import energies_over_time
from spinodal.graphs import System, coupling, named_graph, onsite

COUPLINGS = ["sin", "tanh", "y**3 - y"]
TAU = 0.3
EXPECTED = {
    "largest rise along the flow": (-inf, 1e-12),
    "drift of the sum of x": (0, 1e-12),
    "largest rise of the proximal descent": (-inf, 1e-12),
    "residual of the proximal descent": (0, 1e-8),
    "rise by thresholding once": (0.1, inf),
    "residual after thresholding once": (0.1, inf),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    return flows(out, seed, 81 if quick else 401) | thresholds(out, seed)


def flows(out: Path, seed: int, points: int) -> dict:
    x = np.random.default_rng(seed).normal(size=8)
    times, curves, rise, drift = np.linspace(0, 3, points), {}, 0.0, 0.0
    for text in COUPLINGS:
        flow = graphs.gradient_flow(System(named_graph("cube"), coupling(text)), x, times)
        curves[text] = (times, flow.energies)
        rise = max(rise, float(np.diff(flow.energies).max()))
        drift = max(drift, float(np.abs(flow.states.sum(1) - x.sum()).max()))
    title = "energy along the gradient flow on the cube"
    save_picture(energies_over_time(curves, x="time", title=title, log=False), out / "flow.png")
    return {"largest rise along the flow": rise, "drift of the sum of x": drift}


def thresholds(out: Path, seed: int) -> dict:
    """E + tau |x|_1 along the proximal descent, and what the article's single threshold leaves."""
    rng = np.random.default_rng(seed)
    system = System(named_graph("cube"), coupling("sin"), onsite(8, stiffness=0.7, centre=rng.normal(size=8)))
    sparse = graphs.descent(system, rng.normal(size=8), penalty=graphs.l1(TAU))
    plain = graphs.descent(system, np.zeros(8))
    cut = graphs.threshold_once(system, plain.state, TAU)
    above = sparse.energies - sparse.energies[-1]
    curves = {"proximal": (np.arange(len(above), dtype=float), above)}
    title = "E + tau |x|_1 above its end, by steps of the proximal descent"
    save_picture(energies_over_time(curves, x="steps", title=title, log=True), out / "sparse.png")
    return {
        "largest rise of the proximal descent": float(np.diff(sparse.energies).max()),
        "residual of the proximal descent": sparse.residual,
        "zeros of the proximal descent": int((sparse.state == 0).sum()),
        "rise by thresholding once": cut.rise,
        "residual after thresholding once": cut.residual,
    }
