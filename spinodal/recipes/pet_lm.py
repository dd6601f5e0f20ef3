"""A Phase Equilibria decoder learns to go on with Shakespeare, at constant cost a token.

Claim: phases in competition behind a linear causal mixer, beside causal attention and SwiGLU, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-lm
Minutes: 15
Expected: docs/results.md, where a result against us stands too
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(DataConfig(task="causal", vocabulary=1024), schedule=Schedule(steps=400, batch=8, lr=8e-3)),
    rivals={
        "transformer": {"mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu", "lr": 16e-3},
    },
)
