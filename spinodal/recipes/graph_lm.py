"""Tokens that descend an energy learn to go on with Shakespeare, beside attention and retention.

Claim: none; the graph mixer is measured at equal size and at equal time, `task=masked` for the symmetric one
Paper: preetham2023
Command: spinodal compare graph-lm
Minutes: 20
Expected: docs/results.md, where a result against us stands too
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024),
        {"mixer": "graph", "channel": "swiglu", "hidden": 256},
        Schedule(steps=400, batch=8, lr=8e-3),
    ),
    rivals={
        "one-step": {"flow_steps": 1},
        "transformer": {"mixer": "attention"},
        "retention": {"mixer": "retention"},
    },
)
