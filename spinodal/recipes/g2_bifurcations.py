"""Bifurcation diagrams: an anchored path loses one mode at a time, a driven triangle folds.

Claim: anchors part the modes, lambda = gamma / mu_k, and folds are known to eight digits
Paper: preetham2023
Command: spinodal draw g2-bifurcations
Minutes: 0.2
Expected: to 1e-8, pitchforks at 0.292893219, 0.5 and 1.707106781; folds at 2 (P2), 0.666666667 (P4) and 1.76017259 (C3)
"""

from pathlib import Path

import numpy as np

from spinodal.figures import save_picture
from spinodal.figures.graphs import Curve, bifurcation_diagram
from spinodal.graphs import (
    Branch,
    Family,
    System,
    branch_start,
    continue_branch,
    coupling,
    named_graph,
    onsite,
    switch_branch,
)

DRIVES = {"path:2": [0.5, -0.5], "path:4": [1, 0.5, -0.5, -1], "cycle:3": [1, 0, -1]}

EXPECTED = {
    name: (value - 1e-8, value + 1e-8)
    for name, value in {
        "pitchfork 1": 1 / (2 + 2**0.5),
        "pitchfork 2": 0.5,
        "pitchfork 3": 1 / (2 - 2**0.5),
        "fold of path:2": 2.0,
        "fold of path:4": 2 / 3,
        "fold of cycle:3": 1.76017259,
    }.items()
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    measured = pitchforks(out, 1 if quick else 3) | folds(out)
    return {name: float(f"{value:.12g}") for name, value in measured.items()}


def first_vertex(branch: Branch) -> Curve:
    return Curve(branch.values, branch.states[:, 0], branch.indices)


def pitchforks(out: Path, drawn: int) -> dict[str, float]:
    system = System(named_graph("path:4"), coupling("y**3 - lam*y", lam=0.0), onsite(4, stiffness=1.0))
    family, bounds = Family(system, "lam"), (0.0, 2.5)
    trunk = continue_branch(family, branch_start(family, np.zeros(4), bounds), bounds)
    curves = [first_vertex(trunk)]
    for point in trunk.singular[:drawn]:
        for side in (0.05, -0.05):
            curves.append(
                first_vertex(continue_branch(family, switch_branch(family, point, side), bounds, points=400))
            )
    marks = [(p.value, 0.0, "") for p in trunk.singular]
    title = "P4, f = y^3 - lam y, anchored: full lines are stable"
    figure = bifurcation_diagram(curves, marks, parameter="lam", height="x0", title=title)
    save_picture(figure, out / "pitchforks.png")
    return {f"pitchfork {k}": point.value for k, point in enumerate(trunk.singular, start=1)}


def folds(out: Path) -> dict[str, float]:
    measured, bounds = {}, (0.0, 3.0)
    for name, drive in DRIVES.items():
        n = len(drive)
        system = System(named_graph(name), coupling("sin"), onsite(n, drive=np.array(drive, dtype=float)))
        family = Family(system, "mu")
        branch = continue_branch(family, branch_start(family, np.zeros(n), bounds), bounds)
        fold = next(point for point in branch.singular if point.kind == "fold")
        measured[f"fold of {name}"] = fold.value
        if name == "cycle:3":
            marks = [(p.value, p.state[0] - p.state[2], f"{p.kind} {p.value:.9g}") for p in branch.singular]
            curve = Curve(branch.values, branch.states[:, 0] - branch.states[:, 2], branch.indices)
            title = "C3, f = sin y, driven by mu (1, 0, -1)"
            figure = bifurcation_diagram([curve], marks, parameter="mu", height="x0 - x2", title=title)
            save_picture(figure, out / "fold.png")
    return measured
