"""When tokens meet: the phase diagram of self-attention over time and inverse temperature, for six dimensions.

Claim: in high dimension all pairs meet at one time, that of orthogonal tokens; in low dimension they do not
Paper: glpr2023
Command: spinodal draw f2-phase-diagram
Minutes: 8
Expected: for d = 1024 the contour P = 1/2 over the theory's time on the same clock is 1 to two percent (median over
    beta), for d = 2 above 1.1; the curve published in this figure stands at 0.935 of it. Standard errors are those of
    shares of that many starts, 1/2 / sqrt(samples) at most
"""

from math import inf
from pathlib import Path

import numpy as np

from spinodal import figures
from spinodal.figures import maps, save_picture
from spinodal.flows.ensembles import Diagram, LayerClock, phase_diagram
from spinodal.runs import write_arrays

STEP = 0.1
SAMPLES, FEW = 1024, 48  # starts; of the quick form
CONTOURS = {"contour over theory, d = 2": (1.1, inf), "contour over theory, d = 1024": (0.98, 1.02)}
EXPECTED = CONTOURS | {"largest standard error": (0, 0.51 / SAMPLES**0.5)}
EXPECTED_QUICK = CONTOURS | {"largest standard error": (0, 0.51 / FEW**0.5)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Six maps of 150 x 200; quick: two dimensions, few starts. Rows are kept in `out`/cells."""
    number, columns = (24, 75) if quick else (200, 150)
    betas, times = np.linspace(0.1, 9, number), LayerClock(STEP).grid(30.0, columns)
    diagram = Diagram(
        d=(2, 1024) if quick else (2, 8, 32, 128, 512, 1024),
        betas=tuple(betas.tolist()), times=tuple(times.tolist()), clock=("layer", STEP),
        samples=FEW if quick else SAMPLES, seed=seed,
    )  # fmt: skip
    found = phase_diagram(diagram, out, workers=1 if quick else 0)
    save_picture(figures.draw(found)["map"], out / "map.png")
    write_arrays(out / "map.npz", maps.diagram_arrays(found))
    ratios = {f"contour over theory, d = {d}": ratio for d, ratio in maps.contour_over_theory(found).items()}
    return ratios | {"largest standard error": float(found.standard_error.max())}
