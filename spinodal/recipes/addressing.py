"""Reversing a string needs content-addressing: attention to the source has it, a static mixer learns places instead.

Claim: the paper's linear mixer (Figure 6) reads places and not contents: on strings of varied length it stays behind
    attention, at equal parameters and steps
Paper: qajar2024
Command: spinodal compare addressing
Minutes: 10
Expected: exact targets above .95 with cross=attention and below .5 in the paper's block; a static cross mixer between
    retention layers learns length after length and stays below .95 in these 800 steps (docs/results.md)
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig("reverse", task="translation", tokenizer="characters", length=24, source_length=24),
        {
            "depth": 2, "width": 64, "mixer": "retention", "encoder_mixer": "retention",
            "channel": "swiglu", "hidden": 128,
        },
        Schedule(steps=800, batch=64, lr=4e-3, optimizer="adamw-one-rate"),
    ),
    rivals={
        "static": {"cross": "static"},
        "paper": {
            "mixer": "triangular", "cross": "static", "channel": "partition", "pathway": "I", "phases": 4,
            "fused": True, "kernel": 0,
        },
    },
)  # fmt: skip

EXPECTED = {
    "equal parameters: addressing: exact": (0.95, 1.0),
    "equal parameters: static: exact": (0.0, 0.95),
    "equal parameters: paper: exact": (0.0, 0.5),
}
