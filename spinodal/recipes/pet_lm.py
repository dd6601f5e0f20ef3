"""A Phase Equilibria decoder learns to go on with Shakespeare, at constant cost a token.

Claim: phases in competition behind a linear causal mixer, beside causal attention and SwiGLU, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-lm
Minutes: 15
Expected: at equal parameters 3.645 nats a token, 3.675 of the transformer, 3.669 of linear-swiglu, each to three
    deviations over seeds; at the rates that each of the three chose of nine pairs (docs/results.md)
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024),
        schedule=Schedule(steps=400, batch=8, lr=32e-3, matrix_lr=64e-4),
    ),
    rivals={
        "transformer": {"mixer": "attention", "channel": "swiglu", "matrix_lr": 32e-4},
        "linear-swiglu": {"channel": "swiglu"},
    },
)

EXPECTED = {
    "equal parameters: pet-lm: held_out_loss": (3.615, 3.675),
    "equal parameters: transformer: held_out_loss": (3.642, 3.708),
    "equal parameters: linear-swiglu: held_out_loss": (3.651, 3.687),
}  # means over five seeds, three of their deviations wide
