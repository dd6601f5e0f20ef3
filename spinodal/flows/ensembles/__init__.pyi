from .diagram import Diagram, DiagramResult, check_workers, diagram_times, phase_diagram, row
from .flow import OdeClock
from .layers import LayerClock
from .maps import Ensemble, Estimate, close_shares, estimate, evolved
from .matrices import Matrices
from .systems import Clock, reduced, starts

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
    "diagram_times",
    "estimate",
    "evolved",
    "phase_diagram",
    "reduced",
    "row",
    "starts",
]
