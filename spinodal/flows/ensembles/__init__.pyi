from .diagram import (
    Diagram,
    DiagramResult,
    check_workers,
    diagram_betas,
    diagram_row,
    diagram_times,
    phase_diagram,
)
from .flow import OdeClock
from .layers import LayerClock
from .maps import Ensemble, Estimate, close_shares, estimate, evolve_systems
from .matrices import Matrices
from .systems import Clock, triangular_coordinates, uniform_systems

__all__ = [
    "Clock",
    "Diagram",
    "DiagramResult",
    "Ensemble",
    "Estimate",
    "LayerClock",
    "Matrices",
    "OdeClock",
    "check_workers",
    "close_shares",
    "diagram_betas",
    "diagram_row",
    "diagram_times",
    "estimate",
    "evolve_systems",
    "phase_diagram",
    "triangular_coordinates",
    "uniform_systems",
]
