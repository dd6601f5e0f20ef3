"""One typo does not run for days: what takes too long is refused before it starts, and --unlimited does it."""

import numpy as np
import pytest
from command import run

from spinodal import flows, theory
from spinodal.errors import InputError
from spinodal.limits import require_at_most, unlimited

MANY = "1000000000"
COMMANDS = [
    ("theory", "layer_gamma", "layers=100000000", "n=32", "beta=1"),
    ("theory", "layer_gamma_usa", "layers=100000000", "n=32", "beta=1"),
    ("theory", "layer_gamma", "layers=20000", "n=4", "beta=1"),
    ("theory", "fastest_degree", "d=2", "beta=1e300"),
    ("theory", "growth_rate_sa", f"k={MANY}", "d=2", "beta=1"),
    ("theory", "splay_rate_sa", "p=1", "n=8", "beta=1e30"),
    ("theory", "optimal_overlaps", f"n={MANY}", "d=2"),
    ("spectrum", "--beta", "1e9"),
    ("spectrum", "--beta", "1e300"),
    ("spectrum", "--degrees", MANY),
    ("spectrum", "--thresholds", MANY),
    ("spectrum", "--d", MANY),
    ("simulate", "--frames", "10000000", "--out", "run"),
    ("simulate", "--noise", "5", "--step", "1e-300", "--out", "run"),
    ("simulate", "--clock", "layer", "--until", "1e300", "--out", "run"),
    ("simulate", "--n", MANY, "--out", "run"),
    ("simulate", "--start", "orthonormal", "--d", MANY, "--out", "run"),
    ("meanfield", "--geometry", "sphere", "--resolution", MANY, "--out", "run"),
    ("phase-diagram", "--n", MANY, "--out", "run"),
    ("phase-diagram", "--samples", MANY, "--out", "run"),
    ("phase-diagram", "--betas", MANY, "--out", "run"),
    ("phase-diagram", "--times", MANY, "--out", "run"),
    ("phase-diagram", "--t-max", "1e300", "--out", "run"),
    ("phase-diagram", "--step", "1e-300", "--out", "run"),
    ("phase-diagram", "--workers", MANY, "--out", "run"),
    ("graph", "flow", "--graph", "cycle:3", "--points", MANY),
    ("graph", "equilibria", "--graph", "cycle:3", "--starts", MANY),
    ("graph", "continue", "--graph", "path:4", "--parameter", "mu", "--from", "0", "--to", "1", "--points", MANY),
    ("compare", "pet-lm", "--seeds", MANY),
    ("generate", "run", "--prompt", "to be", "--tokens", MANY),
    ("observe", "minilm", "--text", "to be", "--depth", MANY),
]
