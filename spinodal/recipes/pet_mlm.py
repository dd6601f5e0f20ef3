"""A Phase Equilibria encoder learns to fill masked words of Shakespeare beside a strong Transformer.

Claim: a partition of phases in competition matches SwiGLU behind attention at equal parameters
Paper: qajar2024
Command: spinodal compare pet-mlm
Minutes: 5
Expected: a tie within the spread of three seeds
"""

from spinodal.training import Experiment, Recipe, Schedule

RECIPE = Recipe(
    Experiment(schedule=Schedule(steps=300)),
    rivals={
        "transformer": {"mixer": "attention", "channel": "swiglu"},
        "pet-paper": {
            "channel": "partition", "pathway": "I", "phases": 4, "method": "augmented", "constrain": "F,g1",
        },
    },
)  # fmt: skip
