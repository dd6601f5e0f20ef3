"""Tokens that descend an energy learn to go on with Shakespeare, beside attention and retention.

Claim: none; the graph mixer is measured at equal size and at equal time, `task=masked` for the symmetric one
Paper: preetham2023
Command: spinodal compare graph-lm
Minutes: 20
Expected: at equal parameters 4.008 nats a token, 4.057 in one step, 4.033 of the transformer, 4.020 of retention,
    each to three deviations over seeds; docs/results.md has equal time, where a result against us stands
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024),
        {"mixer": "graph", "channel": "swiglu", "hidden": 256},
        Schedule(steps=400, batch=8, lr=8e-3, optimizer="adamw-one-rate"),
    ),
    rivals={
        "one-step": {"flow_steps": 1},
        "transformer": {"mixer": "attention"},
        "retention": {"mixer": "retention"},
    },
)

EXPECTED = {
    "equal parameters: graph-lm: held_out_loss": (3.96, 4.05),
    "equal parameters: one-step: held_out_loss": (3.99, 4.13),
    "equal parameters: transformer: held_out_loss": (3.94, 4.13),
    "equal parameters: retention: held_out_loss": (3.9, 4.14),
}  # means over three seeds, three of their deviations wide
