from .diagram import Diagram, Maps, row
from .flow import OdeClock
from .layers import LayerClock
from .maps import Ensemble, Estimate, close_shares, estimate, evolved
from .matrices import Matrices
from .systems import Clock, reduced, starts

__all__ = [
    "Clock",
    "Diagram",
    "Ensemble",
    "Estimate",
    "LayerClock",
    "Maps",
    "Matrices",
    "OdeClock",
    "close_shares",
    "estimate",
    "evolved",
    "reduced",
    "row",
    "starts",
]
