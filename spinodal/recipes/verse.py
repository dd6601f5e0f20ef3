"""A decoder of five million parameters that writes lines of Shakespeare's verse.

Claim: none; a larger decoder is measured beside a Transformer, at equal size and time
Paper: qajar2024
Command: spinodal compare verse
Minutes: 55
Expected: a goal, not run to the end: below 3.4 nats a token of a vocabulary of 1,024
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(task="causal", vocabulary=1024, length=256),
        {"width": 256, "depth": 6, "heads": 8},
        Schedule(steps=1000, batch=8, lr=8e-3, decay="plateau-decay", evaluate_every=250, save_every=50),
        parameters=5_000_000,
    ),
    rivals={"transformer": {"mixer": "attention", "channel": "swiglu"}},
)

EXPECTED = {"equal parameters: verse: held_out_loss": (0.0, 3.4)}
