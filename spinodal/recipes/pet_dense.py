"""The block of the paper's Figure 2 to the letter: one dense network over all tokens and features of a head.

Claim: for a small fixed context the dense FF-Partition trains, at a price that does not pay
Paper: qajar2024
Command: spinodal train pet-dense
Minutes: 3
Expected: a held-out loss of 3.11 nats a character, to 0.06, with 4.5 million parameters: far behind the factorised form
"""

from spinodal.training import DataConfig, Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(
        DataConfig(tokenizer="characters", length=16),
        {
            "mixer": "none", "channel": "dense", "reading": "feature", "pathway": "III",
            "width": 32, "depth": 2, "heads": 4, "phases": 2, "reactions": 2,
        },
        Schedule(steps=600, batch=64, optimizer="adamw-one-rate"),
    )
)  # fmt: skip

EXPECTED = {"held_out_loss": (3.05, 3.17)}
