"""Numbers of a trajectory, wherever it came from: a flow, a trained network, a stored model.

    frames    restrict a trajectory to chosen tokens    clusters   components and their count
    overlaps  cosines of pairs                          mergetree  births, deaths, plateaus
    energies  energy and dissipation, in logarithms     order      moments, effective rank, span

Padding is left out everywhere; a token that is not finite is an InputError that says when and where.
"""

from spinodal.observables.clusters import cluster_count, cluster_labels
from spinodal.observables.energies import log_dissipation_sa, log_dissipation_usa, log_energy
from spinodal.observables.frames import restricted
from spinodal.observables.mergetree import MergeTree, Plateau, merge_tree, plateaus
from spinodal.observables.order import effective_rank, order_parameters, span_coordinates
from spinodal.observables.overlaps import cosine_histogram, mean_cosine, pair_probability

__all__ = [
    "MergeTree",
    "Plateau",
    "cluster_count",
    "cluster_labels",
    "cosine_histogram",
    "effective_rank",
    "log_dissipation_sa",
    "log_dissipation_usa",
    "log_energy",
    "mean_cosine",
    "merge_tree",
    "order_parameters",
    "pair_probability",
    "plateaus",
    "restricted",
    "span_coordinates",
]
