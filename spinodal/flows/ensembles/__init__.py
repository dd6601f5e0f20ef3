"""Many small systems of tokens at once: what phase diagrams are made of.

file      what
systems   starts, their reduction to min(n, d) coordinates, their layout, the pull on one system
tiles     products of small matrices
layers    the layer clock             flow  the ode clock
matrices  random Q, K and V           maps  a probability and its standard error
diagram   phase diagrams, row by row
"""

from spinodal.flows.ensembles.diagram import Diagram, Maps, row
from spinodal.flows.ensembles.flow import OdeClock
from spinodal.flows.ensembles.layers import LayerClock
from spinodal.flows.ensembles.maps import Ensemble, Estimate, close_shares, estimate, evolved
from spinodal.flows.ensembles.matrices import Matrices
from spinodal.flows.ensembles.systems import Clock, reduced, starts

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
