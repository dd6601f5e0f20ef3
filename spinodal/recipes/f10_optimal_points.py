"""Tokens that repel: V = -I takes them to the best-spread points of the sphere.

Claim: two tokens end as antipodes, d + 1 as a regular simplex, six and twelve on S^2 as octahedron and icosahedron
Paper: glpr2023
Command: spinodal draw f10-optimal-points
Minutes: 0.3
Expected: inner products -1; -1/d; 0 and -1; +-0.4472 and -1, to 1e-6 from every start
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spinodal import sphere, theory
from spinodal.figures import particles
from spinodal.flows import AttentionField, Head
from spinodal.flows.time import Adaptive, simulate

FIELD = AttentionField(3.0, "usa", heads=(Head(values=-1.0),))
END = 200.0
CASES = {"antipodes": (2, 3), "simplex": (4, 3), "octahedron": (6, 3), "icosahedron": (12, 3)}
SIMPLICES = {"simplex, d = 2": (3, 2), "simplex, d = 4": (5, 4), "simplex, d = 8": (9, 8)}


def bounds(cases: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Every start of every case ends at the optimal inner products."""
    return {f"{name}: off by": (0.0, 1e-6) for name in cases}


EXPECTED = bounds([*CASES, *SIMPLICES])
EXPECTED_QUICK = bounds(CASES)


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """USA with V = -I from 16 starts each; quick: from one, on S^2 alone, with a wider tolerance."""
    seeds, method = range(seed, seed + (1 if quick else 16)), Adaptive(1e-8 if quick else 1e-9)
    points, measured = {}, {}
    for name, (n, d) in (CASES if quick else CASES | SIMPLICES).items():
        ends = [simulate(FIELD, sphere.uniform(n, d, s), END, method=method) for s in seeds]
        tokens = [end.tokens[-1] for end in ends]
        off = [distance(x) for x in tokens]
        measured[name] = f"{sum(o < 1e-6 for o in off)} of {len(off)} starts, off by at most {max(off):.1e}"
        measured[f"{name}: off by"] = max(off)
        if name in CASES:
            points[name] = tokens[0]
    overlaps = {name: theory.optimal_overlaps(n, d) for name, (n, d) in CASES.items()}
    title = (
        f"USA with V = -I, β = {FIELD.beta:g}, t = {END:g}: measured on the optimal points' inner products"
    )
    particles.save(particles.optimal_points(points, overlaps, title=title), out / "optimal-points.png")
    return measured


def distance(x: np.ndarray) -> float:
    """The largest distance of an inner product from the nearest of `theory.optimal_overlaps`."""
    cosines = (x @ x.T)[np.triu_indices(len(x), 1)]
    return float(abs(cosines[:, None] - theory.optimal_overlaps(*x.shape)).min(1).max())
