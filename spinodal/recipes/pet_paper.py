"""The generative partition as the paper has it: reactions of three types, held to their equilibrium in training.

Claim: the physics loss meets its tolerances at little cost, and types I-III train nearly alike
Paper: qajar2024
Command: spinodal compare pet-paper
Minutes: 40
Expected: F and g1 end below their tolerance of 0.05 with a spread of log K of 0.38, twice that at the start; the loss
    is 3.634 nats, each to three deviations over seeds (docs/results.md)
"""

from spinodal.recipes.pet_mlm import RECIPE as STRONG
from spinodal.training import Recipe, override

RECIPE = Recipe(
    override(
        STRONG.experiment,
        {
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
    "equal parameters: pet-paper: spread": (0.35, 0.42),
    "equal parameters: pet-paper: held_out_loss": (3.515, 3.754),
}
