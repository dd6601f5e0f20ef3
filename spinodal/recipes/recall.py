"""Associative recall: which mixers can look up a value by its key, and from how far.

Claim: none; linear memories are measured beside attention over 128 tokens, and length= asks from farther
Paper: sun2023
Command: spinodal compare recall
Minutes: 30
Expected: at equal parameters attention answers all questions, phase memory 60 in 100, retention, gated linear attention
    and the minimal GRU about a quarter, each to three deviations over seeds, at the rates that each chose of nine
    pairs; chance is one answer in 64
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="recall", length=128, pairs=8),
        {"depth": 2, "width": 64, "mixer": "attention", "channel": "swiglu", "hidden": 128},
        Schedule(steps=800, batch=32, lr=16e-3, matrix_lr=64e-4),
    ),
    rivals={
        "retention": {"mixer": "retention", "lr": 32e-3, "matrix_lr": 32e-4},
        "gated-linear": {"mixer": "gated-linear", "lr": 8e-3},
        "phase-memory": {"mixer": "phase-memory", "matrix_lr": 32e-4},
        "min-gru": {"mixer": "min-gru", "lr": 32e-3},
    },
)

EXPECTED = {
    "equal parameters: recall: accuracy": (0.997, 1.0),
    "equal parameters: retention: accuracy": (0.14, 0.334),
    "equal parameters: gated-linear: accuracy": (0.22, 0.256),
    "equal parameters: phase-memory: accuracy": (0.33, 0.876),
    "equal parameters: min-gru: accuracy": (0.186, 0.342),
}  # means over five seeds, three of their deviations wide
