"""Equilibria of small graphs: points, circles and crossing curves, as the graph has it.

Claim: graphs with the same number of cycles have equilibrium sets of different dimension
Paper: sclosa2023
Command: spinodal draw g1-equilibria
Minutes: 0.3
Expected: dimension 2 for the bowtie, 0 for the diamond, 1 for C3 with y^3 - y and for C4 with sin, 0 for P5;
  P5 with y^3 - y has 81 equilibria, 16 of them linearly stable
"""

from pathlib import Path

import numpy as np

from spinodal import graphs
from spinodal.figures import save_picture
from spinodal.figures.graphs import Landscape, landscapes, manifold
from spinodal.graphs import System, coupling, named_graph

PLANE = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # coordinates of 1-perp of three vertices
CASES = {
    "bowtie": "y**3 - y",
    "diamond": "y**3 - y",
    "cycle:3": "y**3 - y",
    "cycle:4": "sin",
    "path:5": "y**3 - y",
}

EXPECTED = {
    f"{name}, {CASES[name]}: dimension": (dimension, dimension)
    for name, dimension in (("bowtie", 2), ("diamond", 0), ("cycle:3", 1), ("cycle:4", 1), ("path:5", 0))
} | {"path:5: equilibria": (81, 81), "path:5: linearly stable": (16, 16)}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    pictures = [
        landscape("C3, f = y^3 - y: a circle of minima", "y**3 - y", 1.2, seed),
        landscape("C3, f = sin y: six points", "sin", 4.4, seed),
    ]
    save_picture(landscapes(pictures), out / "triangle.png")
    save_picture(crossing_circles(seed, 300 if quick else 1500), out / "square.png")
    measured = {}
    for name, text in CASES.items():
        result = graphs.equilibria(System(named_graph(name), coupling(text)), seed=seed)
        measured |= {f"{name}, {text}: dimension": result.dimension, f"{name}, {text}: bound": result.bound}
        if name == "path:5":
            measured["path:5: equilibria"] = len(result.entries)
            measured["path:5: linearly stable"] = sum(e.stability == "linear" for e in result.entries)
    return measured


def landscape(title: str, text: str, reach: float, seed: int) -> Landscape:
    """The energy of the triangle over the plane of its differences, and all that Newton's method finds there."""
    system = System(named_graph("cycle:3"), coupling(text))
    grid = np.linspace(-reach, reach, 161)
    plane = np.stack(np.meshgrid(grid, grid), -1) @ PLANE
    starts = reach * np.random.default_rng(seed).uniform(-1, 1, (400, 2)) @ PLANE
    states, residual = graphs.refine_states(system, starts)
    states = states[residual < 1e-10]
    names = names_of(system, states)
    flat = states @ PLANE.T
    inside = (np.abs(flat) <= reach).all(1)
    points = {
        kind: flat[inside & np.array([name == kind for name in names])]
        for kind in ("linear", "lyapunov", "unstable")
    }
    return Landscape(title, reach, system.energy(plane), points)


def names_of(system: System, states: np.ndarray) -> list[str]:
    """The stability of each state, examined once for all with the same signs of eigenvalues."""
    eigenvalues = graphs.spectrum(system, states)
    signs = [tuple(row) for row in np.sign(np.where(np.abs(eigenvalues) < 1e-6, 0, eigenvalues))]
    known = {sign: graphs.stability(system, states[signs.index(sign)]).name for sign in set(signs)}
    return [known[sign] for sign in signs]


def crossing_circles(seed: int, count: int):
    """C4 with sin: circles of equilibria in the torus of differences, and points."""
    system = System(named_graph("cycle:4"), coupling("sin"))
    starts = np.random.default_rng(seed).uniform(-np.pi, np.pi, (count, 4))
    states, residual = graphs.refine_states(system, starts)
    x = states[residual < 1e-10]
    y = x[:, 1:] - x[:, :1]
    y -= 2 * np.pi * np.round(y / (2 * np.pi))
    # where circles cross all eigenvalues vanish, and the energy falls along cubic terms: unstable too
    kinds = np.where(graphs.spectrum(system, x)[:, 0] > 1e-6, "linear", "unstable")
    return manifold(y, kinds.tolist(), title="C4, f = sin y: circles of equilibria that cross")
