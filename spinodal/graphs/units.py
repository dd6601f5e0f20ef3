"""The parts of a graph whose equilibria do not depend on the rest: its blocks, or its components."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.sparse.csgraph import connected_components

from spinodal.errors import InputError
from spinodal.graphs.blocks import blocks
from spinodal.graphs.energy import OnSite, System
from spinodal.graphs.graph import Graph, edge_list


class Unit(NamedTuple):
    """A part of the graph whose equilibria do not depend on the rest, and where the rest is attached to it."""

    system: System
    gate: Int[np.ndarray, " n"]  # a vertex of the unit; -1 in other components


def units(system: System) -> list[Unit]:
    """The blocks, or with anchors or a drive the components; bridges that stay at y = 0 are left out."""
    graph = system.graph
    if system.free:
        edge_sets = [edges for edges in blocks(graph) if len(edges) > 1 or not is_settled(system)]
    else:
        edge_sets = [
            np.flatnonzero(graph.components[graph.tails] == c) for c in range(graph.components.max() + 1)
        ]
    parts = []
    for c, edges in enumerate(edge_sets):
        ends = np.stack([graph.tails[edges], graph.heads[edges]], 1)
        vertices = np.unique(ends) if system.free else np.flatnonzero(graph.components == c)
        place = np.full(graph.n, -1)
        place[vertices] = np.arange(len(vertices))
        part = edge_list(len(vertices), place[ends], graph.weights[edges])
        parts.append(
            Unit(
                System(part, system.coupling, restrict_onsite(system, vertices)),
                attachment_vertices(graph, edges, place),
            )
        )
    return parts


def restrict_onsite(system: System, vertices: Int[np.ndarray, " m"]) -> OnSite | None:
    """The on-site part of a component; InputError for a drive that does not balance where nothing anchors."""
    s = system.onsite
    if s is None or system.free:
        return None
    parts = {name: getattr(s, name)[vertices] for name in ("stiffness", "centre", "drive")}
    drive, scale = parts["drive"].sum(), np.abs(s.drive).max()
    if not parts["stiffness"].any() and abs(drive) > 1e-12 * scale:
        raise InputError(
            f"the drive of a component without anchor sums to {drive:.6g}, not 0: it drifts for ever"
        )
    return replace(s, **parts)


def attachment_vertices(
    graph: Graph, edges: Int[np.ndarray, " _"], place: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """For every vertex of the graph the vertex of the part through which it is attached to it; -1 if it is not."""
    rest = np.ones(graph.m)
    rest[edges] = 0.0
    B = abs(graph.incidence)
    _, piece = connected_components((B * rest[None]) @ B.T)
    of_piece = np.full(piece.max() + 1, -1)
    own = np.flatnonzero(place >= 0)
    of_piece[piece[own]] = place[own]
    return of_piece[piece]


def is_settled(system: System) -> bool:
    """Whether an edge by itself has one equilibrium alone, y = 0, and that is linearly stable: f'(0) > 0.

    Bridges, the edges in no cycle, are then at y = 0 in every equilibrium, and change neither its energy nor its index.
    """
    return len(system.coupling.zeros) == 1 and float(
        system.coupling(0.0, 1)
    ) > 1e-6 * system.coupling.slope_bound(1.0)


def require_few_bridges(system: System, limit: int) -> None:
    """InputError where the bridges alone, each with every zero of f, have more equilibria than the limit."""
    if not system.free or (zeros := len(system.coupling.zeros)) == 1:
        return
    bridges = sum(len(edges) == 1 for edges in blocks(system.graph))
    digits = bridges * math.log10(zeros)
    if digits > math.log10(limit):
        count = f"{zeros**bridges}" if digits < 15 else f"about 10^{digits:.0f}"
        raise InputError(
            f"{count} equilibria, {zeros} on each of {bridges} bridges: more than the limit of {limit}"
        )
