"""A trained ALBERT's one layer as a flow: groups over 2,000 layers, what holds them apart, and where smaller steps end.

Claim: iterating ALBERT's layer sends tokens to one cluster [glpr2023]; the small trained ALBERT that installs forms
    groups late, without consensus and without rest, and its MLP is what prevents the collapse
Paper: glpr2023
Command: spinodal draw o3-albert-flow
Minutes: 15
Expected: of 35.9 tokens in a text 28 groups at layer 48, 11 to 16 at 200, 6 to 10 at 1,000 and at 2,000 (cosine .99);
    mean cosine below .4, steps of .10 to .24 of |x| to the end, Lyapunov exponent within .025 of 0; without the MLP
    one group by layer 12; layers .4 to .9 of |x| from the flow at t = 12. Steps of half the
    length end, for most texts, near fixed points of 3 to 13 groups. Quick, 30 layers: without the MLP, and distances
"""

from pathlib import Path
from typing import Any

import numpy as np

from spinodal.figures import iteration as drawn
from spinodal.figures import save_picture
from spinodal.recipes.o1_albert import REACTIONS
from spinodal.report.iteration import iteration_page
from spinodal.runs import write_text
from spinodal.watch import Course, Iteration, IterationResult, Texts, TrainedModel, iterate, run_into

LAYERS = (0, 12, 48, 200, 1000, 2000)
STEP = 0.5
RUNS: dict[str, dict[str, Any]] = {  # what each asks of the layer
    "layers": {"depth": 2000},
    "parts": {"depth": 48, "without": ("mlp", "attention"), "searched": 0},
    "small steps": {"depth": 2000, "step": STEP, "nulls": (), "searched": 20},
}
EXPECTED = {
    "layers: model: layer 12: groups": (35.8, 35.9),
    "layers: model: layer 200: groups": (11, 16),
    "layers: model: layer 1000: groups": (6, 10),
    "layers: model: layer 2000: groups": (6, 10),
    "layers: model: layer 2000: mean cosine": (0.25, 0.37),
    "layers: model: layer 2000: step": (0.1, 0.24),
    "layers: model: exponent: mean": (-0.025, 0.025),
    "layers: model: returns: texts": (12, 20),
    "layers: random-weights: layer of one group": (40, 55),
    "parts: model: layer 0: groups": (35.8, 35.9),
    "parts: model: layer 48: groups": (28.0, 28.5),
    "parts: without mlp: layer of one group": (1, 12),
    "parts: without attention: layer 48: groups": (20, 32),
    "parts: random-weights: layer 48: groups": (1, 2),
    "parts: distance from the flow: least": (0.4, 0.7),
    "parts: distance from the flow: greatest": (0.7, 0.9),
    "small steps: model: layer 2000: groups": (5, 8),
    "small steps: model: exponent: mean": (-0.03, -0.004),
    "small steps: model: fixed points: texts": (14, 20),
    "small steps: model: fixed points: least groups": (2, 5),
    "small steps: model: fixed points: most groups": (7, 13),
}
EXPECTED_QUICK = {
    "layers: model: layer 12: mean cosine": (0.15, 0.3),
    "layers: random-weights: layer 12: mean cosine": (0.5, 0.75),
    "parts: without mlp: layer of one group": (1, 12),
    "parts: without attention: layer 12: groups": (20, 35),
    "parts: distance from the flow: least": (0.4, 0.8),
    "small steps: distance from the flow: greatest": (0.5, 0.8),
}


def draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict:
    """Groups and steps by layer, beside random weights; without attention or MLP; and with a smaller step."""
    measured = {}
    for name, asks in RUNS.items():
        small: dict[str, Any] = {"depth": 30, "searched": 0} if quick else {}
        source = TrainedModel("rxnmapper", Texts(REACTIONS[:3] if quick else REACTIONS))
        asked = Iteration(source, seed=seed, **asks | small)
        folder = name.replace(" ", "-")
        found = run_into(
            asked, lambda asked=asked: iterate(asked), IterationResult, out / folder, kind="observe-iteration",
            overwrite=True,
        )  # fmt: skip
        write_text(out / f"{folder}.html", iteration_page(found))
        for number in ("groups", "residual"):
            save_picture(drawn.numbers_by_layer(found, number), out / f"o3-{folder}-{number}.png")
        measured[name] = numbers_of_run(found)
    return measured


def numbers_of_run(found: IterationResult) -> dict[str, Any]:
    """The numbers of every course, and how far the steps are from the flow."""
    assert found.distance is not None
    far = found.distance.of_texts
    return {who: numbers_of(course) for who, course in found.courses.items()} | {
        "growth of a direction in the model's own pass": found.sequence.mean,
        "distance from the flow": {"least": min(far), "mean": float(np.mean(far)), "greatest": max(far)},
        "error of the flow": found.distance.error,
    }


def numbers_of(course: Course) -> dict[str, Any]:
    """Means over texts and their errors, at LAYERS and at the end; -1 for what there is not."""
    numbers: dict[str, Any] = {}
    for k in (k for k in LAYERS if k in course.layers):
        i = course.at(k)
        numbers[f"layer {k}"] = {
            "groups": float(course.mean("groups")[i]), "error of groups": float(course.error("groups")[i]),
            "mean cosine": float(course.mean("mean_cosine")[i]), "step": float(course.mean("residual")[i]),
        }  # fmt: skip
    one = np.flatnonzero((course.groups == 1).all(0))
    whole = [point for point in course.fixed_points if point.converged]
    counts = [point.groups for point in whole if point.groups is not None]
    exponent = course.exponent
    return numbers | {
        "layer of one group": float(course.layers[one[0]]) if len(one) else -1.0,
        "layer of rest": float(-1 if course.rested is None else course.rested),
        "exponent": {
            "mean": exponent.mean, "error": exponent.error, "least": min(exponent.of_texts),
            "greatest": max(exponent.of_texts),
        },
        "returns": {
            "texts": float(len(course.periods)),
            "median period": float(np.median(course.periods)) if course.periods else -1.0,
            "mean distance": float(np.mean([r.distance for r in course.returns])),
        },
        "fixed points": {
            "texts": float(len(whole)), "least groups": float(min(counts, default=-1)),
            "most groups": float(max(counts, default=-1)),
            "stable under steps": float(sum(p.multiplier is not None and p.multiplier < 1 for p in whole)),
            "stable in the flow": float(sum(p.rate is not None and p.rate < 0 for p in whole)),
        },
    }  # fmt: skip
