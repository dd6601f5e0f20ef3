"""A Phase Equilibria encoder learns to fill masked words of Shakespeare beside a strong Transformer.

Claim: phases in competition behind a linear mixer, beside attention and SwiGLU, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-mlm
Minutes: 5
Expected: see the README, where a result against us stands too
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(DataConfig(vocabulary=1024), schedule=Schedule(steps=400, batch=8, lr=8e-3)),
    rivals={
        "transformer": {"mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu"},
    },
)
