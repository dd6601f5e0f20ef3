"""Tokens that descend an energy learn to go on with Shakespeare, beside attention and retention.

Claim: none; the graph mixer is measured at equal size and at equal time, `task=masked` for the symmetric one
Paper: preetham2023
Command: spinodal compare graph-lm
Minutes: 20
Expected: at equal parameters 3.715 nats a token, 3.708 in one step, 3.707 of the transformer, 3.685 of retention,
    each to three deviations over seeds, at the rates that each chose of nine pairs; docs/results.md has equal time,
    where a result against us stands
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024),
        {"mixer": "graph", "channel": "swiglu", "hidden": 256},
        Schedule(steps=400, batch=8, lr=32e-3, matrix_lr=64e-4),
    ),
    rivals={
        "one-step": {"flow_steps": 1},
        "transformer": {"mixer": "attention"},
        "retention": {"mixer": "retention", "matrix_lr": 32e-4},
    },
)

EXPECTED = {
    "equal parameters: graph-lm: held_out_loss": (3.678, 3.752),
    "equal parameters: one-step: held_out_loss": (3.65, 3.766),
    "equal parameters: transformer: held_out_loss": (3.631, 3.783),
    "equal parameters: retention: held_out_loss": (3.634, 3.736),
}  # means over five seeds, three of their deviations wide
