"""Flows that the explorer and the library both follow, and how near they must come to each other."""

import math
from typing import Any

import numpy as np
import pytest

from spinodal import flows
from spinodal.flows import AttentionField, Head
from spinodal.flows.fields.energy import energy_of

CASES: dict[str, dict[str, Any]] = {
    "sphere, beta 1": {"n": 64, "d": 3, "beta": 1, "until": 15, "times": [1, 3, 6, 10]},
    "circle, beta 4": {"n": 32, "d": 2, "beta": 4, "until": 18, "times": [0.5, 2, 6, 12]},
    "circle, beta 25, consensus": {"n": 200, "d": 2, "beta": 25, "until": None, "times": [1, 1e2, 1e5, 1e12]},
    "sphere, beta 9": {"n": 256, "d": 3, "beta": 9, "until": 60, "times": [1, 5, 20]},
    "usa": {"n": 64, "d": 2, "beta": 5, "kind": "usa", "until": 2, "times": [0.01, 0.05, 0.2, 1]},
    "kuramoto": {"n": 100, "d": 2, "beta": 0, "kind": "usa", "until": 12, "times": [1, 4, 8]},
    "causal": {"n": 32, "d": 3, "beta": 2, "causal": True, "until": 60, "times": [2, 10, 30]},
    "repulsive": {
        "n": 12, "d": 3, "beta": 3, "kind": "usa", "repulsive": True, "until": 200, "times": [0.1, 1, 20],
    },
    "orthonormal, d 32": {"n": 32, "d": 32, "beta": 5, "start": "orthonormal", "until": 12, "times": [1, 4, 8]},
    "gkpr": {"n": 5, "d": 2, "beta": 12, "kind": "gkpr", "until": None, "times": [1, 1e3]},
    "causal usa, circle": {
        "n": 24, "d": 2, "beta": 3, "kind": "usa", "causal": True, "until": 3, "times": [0.1, 1],
    },
    "d 8": {"n": 40, "d": 8, "beta": 6, "seed": 3, "until": 40, "times": [2, 20]},
    "lattice": {"n": 60, "d": 3, "beta": 4, "start": "lattice", "perturb": 1e-3, "until": 30, "times": [10]},
}  # fmt: skip


def start_of(case: dict[str, Any]) -> np.ndarray:
    seed, perturb = case.get("seed", 0), case.get("perturb")
    begin = flows.named_start(case.get("start", "uniform"), case["n"], case["d"], seed)
    return (flows.PerturbedStart(begin, perturb, seed) if perturb else begin).tokens()


def field_of(case: dict[str, Any], kappa: float = math.inf) -> AttentionField:
    head = Head(values=-1.0 if case.get("repulsive") else 1.0)
    return AttentionField(
        float(case["beta"]), case.get("kind", "sa"), (head,), case.get("causal", False), kappa=kappa
    )


def whole(name: str) -> dict[str, Any]:
    """A case with all that the modules ask for."""
    return {"seed": 0, "start": "uniform", "tolerance": 1e-8, **CASES[name]}


def check_followed(name: str, found: dict[str, Any]) -> None:
    """Positions within 1e-12, to a late consensus within 1e-8; the same merges, their times within 1e-6."""
    case = whole(name)
    until = flows.time.CONSENSUS if case["until"] is None else float(case["until"])
    saves = [float(time) for time in case["times"]]
    expected = flows.simulate(field_of(case), start_of(case), until, saves=saves)
    times = [frame["time"] for frame in found["frames"]]
    assert times[:-1] == case["times"]
    assert times[-1] == pytest.approx(expected.times[-1], rel=1e-6)
    tokens = np.reshape([frame["tokens"] for frame in found["frames"]], (len(times), case["n"], case["d"]))
    assert np.abs(tokens - expected.tokens[1:]).max() < (1e-8 if case["until"] is None else 1e-12)
    merges = expected.merges
    pairs = [merge["tokens"] for merge in found["merges"]]
    assert pairs == np.stack([merges.first, merges.second], 1).tolist()
    assert [merge["clusters"] for merge in found["merges"]] == merges.clusters.tolist()
    assert [merge["time"] for merge in found["merges"]] == pytest.approx(merges.time.tolist(), rel=1e-6)
    if not case.get("causal"):
        log_energy = energy_of(field_of(case)).log(expected.tokens[-1], np.full(case["n"], 1 / case["n"]))
        assert found["logEnergy"] == pytest.approx(log_energy, rel=1e-9, abs=1e-9)
