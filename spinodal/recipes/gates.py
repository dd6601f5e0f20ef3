"""Gates behind one mixer: SwiGLU, the driving force, and phases in competition from two to sixteen.

Claim: none; gates are measured at equal size and at equal time, `task=causal` for the decoder
Paper: shazeer2020
Command: spinodal compare gates
Minutes: 25
Expected: at equal parameters 3.524 nats a masked token with SwiGLU and 3.542 with sixteen phases, each to three
    deviations over seeds, as in pet-mlm; of the others nothing
"""

from spinodal.recipes.pet_mlm import EXPECTED as PET_MLM
from spinodal.recipes.pet_mlm import RECIPE as STRONG
from spinodal.training import Recipe, override

PHASES = (2, 4, 8, 16)
RECIPE = Recipe(
    override(STRONG.experiment, {"channel": "swiglu", "parameters": 568_672}),
    rivals={"driving-force": {"channel": "driving-force"}}
    | {f"phases-{phases}": {"channel": "competition", "phases": phases} for phases in PHASES},
)

EXPECTED = {
    "equal parameters: gates: held_out_loss": PET_MLM["equal parameters: linear-swiglu: held_out_loss"],
    "equal parameters: phases-16: held_out_loss": PET_MLM["equal parameters: pet-mlm: held_out_loss"],
}
