"""Random queries, keys and values: four maps of when tokens meet, every system with matrices of its own.

Claim: a transition in beta and long waits above it remain when Q, K and V are random
Paper: glpr2023
Command: spinodal draw f14-random-qkv
Minutes: 6
Expected: at beta = 0.1 at least 99 percent of pairs meet by t = 30, at beta = 9 fewer do, in all four maps; with
    V = Q^T K fewer than 70 percent
"""

from pathlib import Path

import numpy as np

from spinodal.figures import maps, save_picture
from spinodal.flows.ensembles import Diagram, LayerClock, diagram_row
from spinodal.runs import sweep

STEP = 0.1
CASES = {
    "QᵀK Ginibre, V Wishart": ("ginibre", "wishart"),
    "QᵀK GOE, V Wishart": ("goe", "wishart"),
    "QᵀK Ginibre, V = QᵀK": ("ginibre", "query-key"),
    "QᵀK GOE, V = QᵀK": ("goe", "query-key"),
}

EXPECTED = (
    {f"{name}: met at beta = 0.1": (0.99, 1.0) for name in CASES}
    | {f"{name}: met at beta = 0.1 less at 9": (0.0, 1.0) for name in CASES}
    | {f"{name}: met at beta = 9": (0.0, 0.7) for name, (_, values) in CASES.items() if values == "query-key"}
)


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Four maps of 100 x 30 from 96 systems each; quick: 15 x 2 from 4. Rows are kept in `out`/cells."""
    betas, times = np.linspace(0.1, 9, 2 if quick else 30), LayerClock(STEP).grid(30.0, 15 if quick else 100)
    panels, measured, arrays = {}, {}, {}
    diagrams = {
        name: Diagram(
            d=(128,), betas=tuple(betas.tolist()), times=tuple(times.tolist()), clock=("layer", STEP),
            samples=4 if quick else 96, seed=seed, matrices=kinds,
        )
        for name, kinds in CASES.items()
    }  # fmt: skip
    cells = [cell for diagram in diagrams.values() for cell in diagram.cells()]
    rows = sweep.run(diagram_row, cells, out, workers=1 if quick else 0)
    for k, (name, diagram) in enumerate(diagrams.items()):
        found = diagram.assemble(rows[k * len(betas) : (k + 1) * len(betas)])
        probability, error = found.probability, found.standard_error
        panels[f"{name}, error ≤ {error.max():.3f}"] = probability[0]
        for i in (0, -1):
            measured[f"{name}: P at t = 30, beta = {betas[i]:g}"] = (
                f"{probability[0, -1, i]:.3f} ± {error[0, -1, i]:.3f}"
            )
            measured[f"{name}: met at beta = {betas[i]:g}"] = float(probability[0, -1, i])
        fewer = float(probability[0, -1, 0] - probability[0, -1, -1])
        measured[f"{name}: met at beta = {betas[0]:g} less at {betas[-1]:g}"] = fewer
        arrays |= {f"probability_{k}": probability[0], f"standard_error_{k}": error[0]}
    title = "SA with random matrices, n = 32, d = 128, layer clock"
    save_picture(maps.phase_maps(times, betas, panels, title=title), out / "maps.png")
    np.savez_compressed(out / "maps.npz", t=times, beta=betas, **arrays)
    return measured
