"""Flows that the explorer and the library both follow: as settings, and as addresses of the page."""

from typing import Any

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


def whole(name: str) -> dict[str, Any]:
    """A case with all that the modules ask for."""
    return {"seed": 0, "start": "uniform", "tolerance": 1e-8, **CASES[name]}


# of the page, whose command yields the same run
ADDRESSES = (
    "#n=100&d=2&beta=25",
    "#n=48&d=3&beta=3&seed=7",
    "#field=usa&n=40&d=2&beta=4&until=1",
    "#n=20&d=32&beta=5&start=orthonormal",
    "#n=24&d=3&start=lattice&seed=2",
)
