"""Noise holds tokens apart up to a threshold; beyond it they gather at once or bit by bit.

Claim: the uniform density loses stability at kappa = beta / a_1, and the transition is continuous exactly up to the
    beta with I_{d/2+1} / I_{d/2} = 1/d (USA); for SA on the circle it is continuous at every beta
Paper: noise2026
Command: spinodal draw f12-noise
Minutes: 1
Expected: the switch is found at 2.446918 on the circle and 1.816155 on S^2, to 1e-5; SA bends forward at all beta; the
    noisy flow rests on the branch to 1e-4
"""

from math import inf
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from spinodal import theory
from spinodal.figures import densities, save_picture
from spinodal.meanfield import (
    CircleModes,
    Fourier,
    branch_curvature,
    critical_kappa,
    drift_law,
    stationary_branch,
)

EXPECTED = {
    "switch to a jump in d = 2": (2.446918 - 1e-5, 2.446918 + 1e-5),
    "off theory in d = 2 by": (0, 1e-5),
    "switch to a jump in d = 3": (1.816155 - 1e-5, 1.816155 + 1e-5),
    "off theory in d = 3 by": (0, 1e-5),
    "least bending of SA on the circle": (0, inf),
    "noisy flow off the branch by": (0, 1e-4),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Branches of stationary densities on the circle, from their bifurcation; nothing here is random."""
    del seed
    r = np.linspace(0.02, 0.9, 23 if quick else 89)
    curves = {}
    for kind, beta in (("usa", 1.0), ("usa", 2.4469), ("usa", 4.0), ("sa", 4.0)):
        law = drift_law(kind, beta)
        curves[f"{kind.upper()}, β = {beta:g}"] = (
            stationary_branch(law, r).kappa / critical_kappa(law),
            r,
        )
    save_picture(densities.branches(curves), out / "branches.png")
    measured = {}
    for d in (2, 3):
        switch = float(brentq(lambda b, d=d: branch_curvature(drift_law("usa", b, d)), 1.0, 4.0))  # type: ignore[arg-type]
        measured[f"switch to a jump in d = {d}"] = switch
        measured[f"off theory in d = {d} by"] = abs(switch - theory.tricritical_beta(d))
    measured["least bending of SA on the circle"] = min(
        branch_curvature(drift_law("sa", b)) for b in (0.5, 2.0, 5.0, 20.0)
    )
    measured["noisy flow off the branch by"] = rest(1.5, 0.6)
    return measured


def rest(beta: float, order: float) -> float:
    """|m_1| of the Fokker-Planck equation after a long time, less that of the branch."""
    law = drift_law("usa", beta)
    kappa = float(stationary_branch(law, np.array([order / 2, order])).kappa[-1])
    solver = Fourier(law, CircleModes(np.array([0.8]), np.zeros(1)), kappa=kappa, degrees=32, tolerance=1e-7)
    while solver.time < 60:
        solver.advance(60.0)
    return float(abs(abs(solver.m[1]) - order))
