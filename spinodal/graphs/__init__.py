"""Tokens on a graph: odd couplings, energies and their flow, equilibria, stability and bifurcations."""

from spinodal.graphs.basins import Basin, Basins, basins
from spinodal.graphs.bifurcations import Family, SingularPoint, singular_point
from spinodal.graphs.blocks import (
    blocks,
    dimension_bound,
    effective_resistance,
    pulled_back,
    require_covering,
)
from spinodal.graphs.continuation import Branch, continued, started, switched
from spinodal.graphs.couplings import Coupling, coupling, odd_polynomial, trigonometric_series
from spinodal.graphs.energy import OnSite, System, onsite
from spinodal.graphs.equilibria import Equilibria, Equilibrium, equilibria
from spinodal.graphs.flow import (
    Descent,
    Flow,
    Penalty,
    Thresholded,
    descent,
    gradient_flow,
    hard_threshold,
    l0,
    l1,
    soft_threshold,
    thresholded_once,
    trajectory,
)
from spinodal.graphs.graph import Graph, edge_list, from_adjacency, from_networkx, named
from spinodal.graphs.newton import refined
from spinodal.graphs.stability import (
    Stability,
    coordinate_curvatures,
    index_and_nullity,
    local_dimension,
    negative_cut,
    positive_test,
    single_negative_edge,
    spectrum,
    stability,
    twisted_state,
)
from spinodal.graphs.tokens import attention_weights, level_average, row_softmax, vertex_rate

__all__ = [
    "Basin",
    "Basins",
    "Branch",
    "Coupling",
    "Descent",
    "Equilibria",
    "Equilibrium",
    "Family",
    "Flow",
    "Graph",
    "OnSite",
    "Penalty",
    "SingularPoint",
    "Stability",
    "System",
    "Thresholded",
    "attention_weights",
    "basins",
    "blocks",
    "continued",
    "coordinate_curvatures",
    "coupling",
    "descent",
    "dimension_bound",
    "edge_list",
    "effective_resistance",
    "equilibria",
    "from_adjacency",
    "from_networkx",
    "gradient_flow",
    "hard_threshold",
    "index_and_nullity",
    "l0",
    "l1",
    "level_average",
    "local_dimension",
    "named",
    "negative_cut",
    "odd_polynomial",
    "onsite",
    "positive_test",
    "pulled_back",
    "refined",
    "require_covering",
    "row_softmax",
    "single_negative_edge",
    "singular_point",
    "soft_threshold",
    "spectrum",
    "stability",
    "started",
    "switched",
    "thresholded_once",
    "trajectory",
    "trigonometric_series",
    "twisted_state",
    "vertex_rate",
]
