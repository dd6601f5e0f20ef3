"""Associative recall: which mixers can look up a value by its key, and from how far.

Claim: none; linear memories are measured beside attention, length=128 to 4096
Paper: sun2023
Command: spinodal compare recall
Minutes: 20
Expected: attention answers more than 95% of questions, each linear memory less than 40% (docs/results.md has single
    runs); chance is one answer in 64
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="recall", length=128, pairs=8),
        {"depth": 2, "width": 64, "mixer": "attention", "channel": "swiglu", "hidden": 128},
        Schedule(steps=800, batch=32, lr=1e-2, optimizer="adamw-one-rate"),
    ),
    rivals={
        "retention": {"mixer": "retention"},
        "gated-linear": {"mixer": "gated-linear"},
        "phase-memory": {"mixer": "phase-memory"},
        "min-gru": {"mixer": "min-gru"},
    },
)

EXPECTED = {"equal parameters: recall: accuracy": (0.95, 1.0)} | {
    f"equal parameters: {name}: accuracy": (1 / 128, 0.4) for name in RECIPE.rivals
}
