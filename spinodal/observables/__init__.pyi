from .clusters import cluster_count, cluster_labels
from .energies import log_dissipation_sa, log_dissipation_usa, log_energy
from .entry import Observable, Scales
from .frames import restrict, trajectory_of
from .lifetimes import Plateau, plateaus
from .mergetree import MergeTree, merge_tree
from .order import effective_rank, order_parameters, span_coordinates
from .overlaps import cosine_histogram, mean_cosine, pair_probability
from .registry import OBSERVABLES, measure, observables_named

__all__ = [
    "OBSERVABLES",
    "MergeTree",
    "Observable",
    "Plateau",
    "Scales",
    "cluster_count",
    "cluster_labels",
    "cosine_histogram",
    "effective_rank",
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
    "restrict",
    "span_coordinates",
    "trajectory_of",
]
