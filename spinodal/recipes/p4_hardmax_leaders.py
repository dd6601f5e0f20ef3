"""Hardmax layers without layer norm: tokens gather at leaders, which read none but themselves.

Claim: tokens of hardmax attention in R^d converge to a clustered equilibrium that leaders determine
Paper: alcalde2024
Command: spinodal draw p4-hardmax-leaders
Minutes: 0.3
Expected: of 60 tokens in the plane leaders do not move, to 1e-12, and after 80 layers every token is at a leader or
    in the convex hull of leaders, to 1e-6; their distance falls at least by 1 / (1 + h) a layer in the end
"""

from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull

from spinodal.figures.claims import Panel, draw_claim, labelled
from spinodal.figures.particles import save
from spinodal.flows import AttentionField, Layers, NormalStart, Simulation, evolve
from spinodal.flows.fields import scheme
from spinodal.observables import leaders
from spinodal.recipes import Paper, estimate

N, LAYERS, STEP = 60, 80, 0.5
EXPECTED = {
    "largest movement of a leader": (0, 1e-12),
    "furthest token from the hull of leaders": (0, 1e-6),
    "share of tokens at a leader": (0.8, 1.0),
    "points of 60 tokens": (3, 20),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """60 normal tokens of the plane, 12 starts of 80 layers; quick: 2 starts."""
    runs = [flow(seed + s) for s in range(2 if quick else 12)]
    found = {
        "largest movement of a leader": float(max(run["moved"] for run in runs)),
        "furthest token from the hull of leaders": float(max(run["outside"] for run in runs)),
    }
    found |= estimate("share of tokens at a leader", [run["share"] for run in runs])
    found |= estimate("points of 60 tokens", [run["points"] for run in runs])
    found |= estimate("leaders at the start", [run["leaders"] for run in runs])
    tokens, lead = runs[0]["tokens"], runs[0]["lead"]
    at = np.arange(LAYERS + 1)
    lines = labelled("a start each", [(at, run["away"]) for run in runs])
    panels = [
        Panel(
            f"{N} tokens over {LAYERS} layers",
            "z₁",
            faint=tuple(tokens.transpose(2, 0, 1)),
            points={"at the end": tuple(tokens[-1].T), "leaders": tuple(tokens[0, lead].T)},
        ),
        Panel(
            "root mean square distance to the nearest leader",
            "layer",
            lines=lines,
            theory={"(1 + h)^-k": (at, 2 * (1 + STEP) ** -at.astype(float))},
            scales=("linear", "log"),
            limits=(1e-10, 5),
        ),
    ]
    save(
        draw_claim(panels, title=f"hardmax layers in the plane, h = {STEP:g}, rescaled"),
        out / "hardmax-leaders.png",
    )
    return found


def flow(seed: int) -> dict:
    """One start: which tokens lead, how far they move, and where the others end."""
    field = AttentionField(np.inf, scheme=scheme("rescaled"))
    simulation = Simulation(field, NormalStart(N, 2, seed), LAYERS * STEP, Layers(STEP), times=LAYERS + 1)
    tokens = evolve(simulation).tokens
    lead = leaders(tokens[:1])[0, 0].numpy()
    away = np.linalg.norm(tokens[:, :, None] - tokens[0, lead], axis=-1).min(-1)
    hull = ConvexHull(tokens[0, lead]) if lead.sum() > 2 else None
    outside = 0.0 if hull is None else (tokens[-1] @ hull.equations[:, :2].T + hull.equations[:, 2]).max()
    return {
        "tokens": tokens,
        "lead": lead,
        "leaders": int(lead.sum()),
        "outside": max(float(outside), 0.0),
        "moved": np.abs(tokens[:, lead] - tokens[0, lead]).max(),
        "share": np.mean(away[-1] < 1e-6),
        "points": len(np.unique(np.round(tokens[-1], 5), axis=0)),
        "away": np.sqrt(np.mean(away**2, 1)),
    }


PAPER = Paper(
    arxiv=("2407.01602",),
    read="abstract",
    found={
        "largest movement of a leader": (1.9762e-14, None),
        "furthest token from the hull of leaders": (2.08722e-14, None),
        "share of tokens at a leader": (1, 0),
        "points of 60 tokens": (6.25, 0.28),
    },
    date="2026-11-30",
)
