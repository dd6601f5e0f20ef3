"""Reversing a string needs content-addressing: attention to the source has it, a static mixer has not.

Claim: the paper's linear mixer (Figure 6) reads places and not contents, so it cannot reverse strings of varied length
Paper: qajar2024
Command: spinodal compare addressing
Minutes: 10
Expected: exact targets above .95 with cross=attention and below .5 with static cross mixers, at equal parameters;
    corpus=sort alike
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig("reverse", task="translation", tokenizer="characters", length=24, source_length=24),
        {
            "depth": 2, "width": 64, "mixer": "retention", "encoder_mixer": "retention",
            "channel": "swiglu", "hidden": 128,
        },
        Schedule(steps=800, batch=64, lr=4e-3),
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
    "equal parameters: static: exact": (0.0, 0.5),
    "equal parameters: paper: exact": (0.0, 0.5),
}
