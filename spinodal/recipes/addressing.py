"""Reversing a string needs content-addressing: attention to the source has it, and what a static mixer has instead.

Claim: the paper's linear mixer (Figure 6) does not reverse strings of varied length at any of the rates that were
    compared; a static cross mixer between retention layers does, a little behind attention at equal parameters
Paper: qajar2024
Command: spinodal compare addressing
Minutes: 8
Expected: .998 of held-out targets exact with cross=attention, .988 with a static cross mixer between retention layers,
    none in the paper's block, at the rates that each of the three chose of nine pairs (docs/results.md)
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig("reverse", task="translation", tokenizer="characters", length=24, source_length=24),
        {
            "depth": 2, "width": 64, "mixer": "retention", "encoder_mixer": "retention",
            "channel": "swiglu", "hidden": 128,
        },
        Schedule(steps=800, batch=64, lr=32e-3, matrix_lr=64e-4),
    ),
    rivals={
        "static": {"cross": "static", "matrix_lr": 32e-4},
        "paper": {
            "mixer": "triangular", "cross": "static", "channel": "partition", "pathway": "I", "phases": 4,
            "fused": True, "kernel": 0, "matrix_lr": 32e-4,
        },
    },
)  # fmt: skip

EXPECTED = {
    "equal parameters: addressing: exact": (0.95, 1.0),
    "equal parameters: static: exact": (0.95, 1.0),
    "equal parameters: paper: exact": (0.0, 0.5),
}
