"""The baseline alone: rotary attention, SwiGLU, the same short convolution and the same normed hidden vector.

Claim: none; it is what every other recipe is measured against
Paper: shazeer2020
Command: spinodal train transformer-mlm
Minutes: 1
Expected: the transformer's row of `spinodal compare pet-mlm`, 3.535 nats a masked token to three deviations over seeds
"""

from spinodal.recipes.pet_mlm import EXPECTED as PET_MLM
from spinodal.recipes.pet_mlm import RECIPE as STRONG
from spinodal.training import Recipe, override

RECIPE = Recipe(override(STRONG.experiment, {"mixer": "attention", "channel": "swiglu", "hidden": 278}))

EXPECTED = {"held_out_loss": PET_MLM["equal parameters: transformer: held_out_loss"]}
