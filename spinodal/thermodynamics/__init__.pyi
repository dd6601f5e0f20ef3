from .flash import (
    bound_violation,
    dilution,
    enrichment,
    fraction_excess,
    phase_compositions,
    rachford_rice,
    root_mean_square,
)
from .reactions import (
    MassAction,
    degrees_of_freedom,
    log_magnitude,
    mass_action,
    phase_mass_action,
)
from .solvers import Flash, negative_flash, positive_flash
from .verdicts import Verdict

__all__ = [
    "Flash",
    "MassAction",
    "Verdict",
    "bound_violation",
    "degrees_of_freedom",
    "dilution",
    "enrichment",
    "fraction_excess",
    "log_magnitude",
    "mass_action",
    "negative_flash",
    "phase_compositions",
    "phase_mass_action",
    "positive_flash",
    "rachford_rice",
    "root_mean_square",
]
