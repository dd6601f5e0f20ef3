from .control import Controller, next_step, repeated_step
from .kernels import largest, stage_sum, unit_sum
from .tableau import DORMAND_PRINCE, Tableau, interpolant

__all__ = [
    "DORMAND_PRINCE",
    "Controller",
    "Tableau",
    "interpolant",
    "largest",
    "next_step",
    "repeated_step",
    "stage_sum",
    "unit_sum",
]
