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
from .starts import EnsembleResult, LifetimesResult, ensemble, lifetimes
from .systems import Clock, triangular_coordinates, uniform_systems

__all__ = [
    "Clock",
    "Diagram",
    "DiagramResult",
    "Ensemble",
    "EnsembleResult",
    "Estimate",
    "LayerClock",
    "LifetimesResult",
    "Matrices",
    "OdeClock",
    "check_workers",
    "close_shares",
    "diagram_betas",
    "diagram_row",
    "diagram_times",
    "ensemble",
    "estimate",
    "evolve_systems",
    "lifetimes",
    "phase_diagram",
    "triangular_coordinates",
    "uniform_systems",
]
