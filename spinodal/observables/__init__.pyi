from .axial import axial_order
from .clusters import cluster_count, cluster_labels
from .energies import log_dissipation_sa, log_dissipation_usa, log_energy
from .entry import Observable, Scales
from .frames import restrict, trajectory_of
from .hull import hull_vertices, hull_volume, vertex_distance
from .leading import leaders
from .lifetimes import Plateau, plateaus
from .mergetree import MergeTree, merge_tree
from .order import effective_rank, order_parameters, polarisation, span_coordinates
from .overlaps import cosine_histogram, mean_cosine, pair_probability
from .parking import renyi_centres
from .recurrences import departure, recurrence
from .registry import OBSERVABLES, measure, observables_named
from .selectivity import attention_rank, boolean_rows
from .transport import wasserstein, wasserstein_to_dirac

__all__ = [
    "OBSERVABLES",
    "MergeTree",
    "Observable",
    "Plateau",
    "Scales",
    "attention_rank",
    "axial_order",
    "boolean_rows",
    "cluster_count",
    "cluster_labels",
    "cosine_histogram",
    "departure",
    "effective_rank",
    "hull_vertices",
    "hull_volume",
    "leaders",
    "log_dissipation_sa",
    "log_dissipation_usa",
    "log_energy",
    "mean_cosine",
    "measure",
    "merge_tree",
    "observables_named",
    "order_parameters",
    "pair_probability",
    "plateaus",
    "polarisation",
    "recurrence",
    "renyi_centres",
    "restrict",
    "span_coordinates",
    "trajectory_of",
    "vertex_distance",
    "wasserstein",
    "wasserstein_to_dirac",
]
