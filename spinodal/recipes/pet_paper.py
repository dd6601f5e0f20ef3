"""The generative partition as the paper has it: reactions of three types, held to their equilibrium in training.

Claim: the physics loss meets its tolerances at little cost, and types I-III train alike
Paper: qajar2024
Command: spinodal compare pet-paper
Minutes: 40
Expected: F and g1 end below their tolerance of 0.05 while the spread of log K grows to 0.8 or more; the loss is 4.314
    nats to 0.06 (docs/results.md)
"""

from spinodal.recipes.pet_mlm import RECIPE as STRONG
from spinodal.training import Recipe, override

RECIPE = Recipe(
    override(
        STRONG.experiment,
        {
            "optimizer": "adamw-one-rate",
            "channel": "partition",
            "phases": 4,
            "pathway": "I",
            "hidden": 64,
            "method": "augmented",
            "constrain": "F,g1",
        },
    ),
    rivals={
        "type-II": {"pathway": "II"},
        "type-III": {"pathway": "III"},
        "attentive": {"pathway": "none", "constrain": "F"},
        "free": {"method": "none"},
        "g2-too": {"constrain": "F,g1,g2"},
    },
)

EXPECTED = {
    "equal parameters: pet-paper: F": (0, 0.05),
    "equal parameters: pet-paper: g1": (0, 0.05),
    "equal parameters: pet-paper: spread": (0.8, 1.1),
    "equal parameters: pet-paper: held_out_loss": (4.25, 4.38),
}
