"""Tokens without layer norm: rescaled, they come to rest at the vertices of a polytope, and attention becomes Boolean.

Claim: rescaled tokens e^(-tV) x go to the vertices of a polytope; on the line the attention matrix becomes Boolean
    and of low rank
Paper: clusters2023
Command: spinodal draw p3-polytope
Minutes: 0.3
Expected: with Q = K = V = I, 40 tokens of the plane are within 1e-3 of a vertex at t = 10, or rest on an edge, and
    of the line 95 percent of rows or more are Boolean to 1e-2 at t = 6, of at most 2 different ones, the leftmost
    and the rightmost token; the numerical rank is 3 at most
"""

from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull

from spinodal.figures.claims import Panel, draw_claim, labelled
from spinodal.figures.particles import save
from spinodal.flows import Adaptive, AttentionField, CubeStart, Simulation, evolve
from spinodal.flows.fields import scheme
from spinodal.recipes import Paper, estimate

N, SIZE, END, LINE_END = 40, 2.0, 10.0, 6.0
FIELD = AttentionField(1.0, scheme=scheme("rescaled"))
EXPECTED = {
    "plane: share of tokens within 1e-3 of a vertex": (0.8, 1.0),
    "line: share of Boolean rows": (0.95, 1.0),
    "line: largest numerical rank": (1, 3),
    "line: tokens that Boolean rows read": (1, 2),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """40 tokens, uniform in a square and on an interval, 5 starts each; quick: 2 starts."""
    starts = 2 if quick else 5
    plane = [run(2, END, seed + s) for s in range(starts)]
    line = [run(1, LINE_END, seed + s) for s in range(starts)]
    away = [to_vertices(result.tokens) for result in plane]
    found = estimate("plane: share of tokens within 1e-3 of a vertex", [np.mean(a[-1] < 1e-3) for a in away])
    found["plane: median distance at the end"] = float(np.median([a[-1] for a in away]))
    found["plane: mean distance at the start"] = float(np.mean([a[0] for a in away]))
    rows = [attention(result, -1) for result in line]
    found |= estimate("line: share of Boolean rows", [boolean(p).mean() for p in rows])
    found["line: largest numerical rank"] = int(max(np.linalg.matrix_rank(p, tol=1e-2) for p in rows))
    read = [len(np.unique(p[boolean(p)].argmax(1))) for p in rows]
    found["line: tokens that Boolean rows read"] = int(max(read))
    share = np.array(
        [[boolean(attention(result, k)).mean() for k in range(len(result.times))] for result in line]
    )
    error = share.std(0, ddof=1) / np.sqrt(starts)
    typical = np.array([np.quantile(a, 0.5, axis=1) for a in away])
    panels = [
        Panel(
            "the plane: rescaled tokens and the hull of their ends",
            "z₁",
            faint=tuple(plane[0].tokens.transpose(2, 0, 1)),
            points={"at t = 10": tuple(plane[0].tokens[-1].T)},
            theory={"polytope": hull(plane[0].tokens[-1])},
        ),
        Panel(
            "the plane: median distance to the nearest vertex",
            "t",
            lines=labelled("a start each", [(plane[s].times, y) for s, y in enumerate(typical)]),
            theory={"exp(-t)": (plane[0].times, np.exp(-plane[0].times))},
            scales=("linear", "log"),
        ),
        Panel(
            "the line: share of rows that are Boolean to 1e-2",
            "t",
            lines={f"mean of {starts} starts": (line[0].times, share.mean(0), error)},
            theory={"all but one": (np.array([0, LINE_END]), np.full(2, 1 - 1 / N))},
            limits=(0, 1.05),
        ),
    ]
    save(draw_claim(panels, title=f"tokens without layer norm, Q = K = V = I, n = {N}"), out / "polytope.png")
    return found


def run(d: int, end: float, seed: int):
    return evolve(Simulation(FIELD, CubeStart(N, d, seed, SIZE), end, Adaptive(1e-5), times=41))


def to_vertices(tokens: np.ndarray) -> np.ndarray:
    """The distance of each token [t n 2] to the nearest vertex of the hull of the last ones."""
    corners = tokens[-1][ConvexHull(tokens[-1]).vertices]
    return np.linalg.norm(tokens[:, :, None] - corners, axis=-1).min(-1)


def hull(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    corners = x[ConvexHull(x).vertices]
    closed = np.vstack([corners, corners[:1]])
    return closed[:, 0], closed[:, 1]


def attention(result, k: int) -> np.ndarray:
    """The attention matrix at the k-th time."""
    return result.experiment.attention_weights(float(result.times[k]), result.tokens[k])[0]


def boolean(p: np.ndarray) -> np.ndarray:
    """Which rows are Boolean to 1e-2: one weight is 1, the others are 0."""
    return p.max(1) > 0.99


PAPER = Paper(
    arxiv=("2305.05465",),
    read="abstract",
    found={
        "plane: share of tokens within 1e-3 of a vertex": (1, 0),
        "line: share of Boolean rows": (1, 0),
        "line: largest numerical rank": (2, None),
        "line: tokens that Boolean rows read": (2, None),
    },
    date="2026-11-30",
)
