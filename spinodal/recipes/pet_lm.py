"""A Phase Equilibria decoder learns to go on with Shakespeare, at constant cost a token.

Claim: phases in competition behind a linear causal mixer, beside causal attention and SwiGLU, at equal size and time
Paper: qajar2024
Command: spinodal compare pet-lm
Minutes: 15
Expected: at equal parameters 3.909 nats a token, 4.016 of the transformer, 3.949 of linear-swiglu, each to three
    deviations over seeds; docs/results.md has equal time, where a result against us stands
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024),
        schedule=Schedule(steps=400, batch=8, lr=8e-3, optimizer="adamw-one-rate"),
    ),
    rivals={
        "transformer": {"mixer": "attention", "channel": "swiglu"},
        "linear-swiglu": {"channel": "swiglu", "lr": 16e-3},
    },
)

EXPECTED = {
    "equal parameters: pet-lm: held_out_loss": (3.85, 3.97),
    "equal parameters: transformer: held_out_loss": (3.97, 4.06),
    "equal parameters: linear-swiglu: held_out_loss": (3.88, 4.02),
}  # means over three seeds, three of their deviations wide
