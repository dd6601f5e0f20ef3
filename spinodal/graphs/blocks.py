r"""What follows from a graph alone for its equilibria: blocks, dimension, coverings, resistances.

A block is a maximal part that no single vertex disconnects. Differences along the edges of one block are
free of those of another, so that without on-site potentials the equilibrium set is the product over
blocks: energies, indices and nullities add, and a notion of stability holds if it holds on every block.
At an equilibrium a f(y) is a circulation, and y determines it and is determined by it up to isolated
choices: hence

    dim <= betti

and every chain of h cycles, each sharing exactly one edge with the next and none with the others, lowers
the bound by h - 1: given the circulation around the first cycle and everything outside, the sum of y around
that cycle fixes y on the shared edge, and with it the circulation around the second, and so on. The
hypotheses are those of Theorem 1.1 of [sclosa2023]; the bound as it stands here is ours [derived].
"""

from itertools import islice

import networkx as nx
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csc_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from spinodal.errors import InputError
from spinodal.graphs.graph import Graph, edge_list

CYCLES = 300  # of a block, that chains are made of
WORK = 20_000  # extensions of chains that are tried


def blocks(graph: Graph) -> list[Int[np.ndarray, " _"]]:
    """The edges of every block, a maximal part of the graph that no single vertex disconnects.

    Equilibria of different blocks are independent of one another. A bridge is a block of one edge.
    """
    number = {
        frozenset(pair): e
        for e, pair in enumerate(zip(graph.tails.tolist(), graph.heads.tolist(), strict=True))
    }
    parts = nx.biconnected_component_edges(graph.networkx())
    found = [sorted(number[frozenset(pair)] for pair in part) for part in parts]
    return [np.array(edges) for edges in sorted(found)]


def subgraph(graph: Graph, edges: Int[np.ndarray, " _"]) -> tuple[Graph, Int[np.ndarray, " _"]]:
    """(part, vertices): the graph of some edges, in their order, and its vertices' numbers in the whole."""
    ends = np.stack([graph.tails[edges], graph.heads[edges]], 1)
    vertices, places = np.unique(ends, return_inverse=True)
    return edge_list(len(vertices), places.reshape(-1, 2), graph.weights[edges]), vertices


def dimension_bound(graph: Graph) -> int:
    """dim <= sum over blocks of betti - (h - 1), h the longest chain of cycles  [sclosa2023, Theorem 1.1; derived].

    An upper bound on the dimension of the set of equilibria, from the graph alone, for a coupling that is not constant
    on any interval. In large blocks the search for chains may stop early; the bound is then larger and still holds.
    """
    bound = 0
    for edges in blocks(graph):
        if len(edges) == 1:
            continue
        part = subgraph(graph, edges)[0]
        bound += part.betti - max(longest_chain(part) - 1, 0)
    return bound


def longest_chain(graph: Graph) -> int:
    """The length of the longest chain of cycles: consecutive ones share exactly one edge, others none."""
    found = islice(nx.simple_cycles(graph.networkx(), length_bound=8), CYCLES)
    cycles = [{frozenset(p) for p in zip(c, c[1:] + c[:1], strict=True)} for c in found]
    shared = np.array([[len(a & b) for b in cycles] for a in cycles])
    best, tried = min(len(cycles), 1), 0
    stack = [([k], np.flatnonzero(shared[k] == 1)) for k in range(len(cycles))]
    while stack and tried < WORK:
        chain, options = stack.pop()
        best = max(best, len(chain))
        for k in options:
            tried += 1
            if not shared[k, chain[:-1]].any():
                stack.append(([*chain, int(k)], np.flatnonzero(shared[k] == 1)))
    return best


def require_covering(cover: Graph, base: Graph, p: Int[np.ndarray, " n"]) -> None:
    """InputError unless p is a covering map: one to one on the neighbours of every vertex, with equal weights."""
    if p.shape != (cover.n,) or not ((p >= 0) & (p < base.n)).all():
        raise InputError(f"the map must give one of {base.n} vertices for each of {cover.n}")
    above, below = cover.networkx(), base.networkx()
    for u in range(cover.n):
        image = sorted((int(p[v]), data["weight"]) for v, data in above[u].items())
        star = sorted((v, data["weight"]) for v, data in below[int(p[u])].items())
        if image != star:
            raise InputError(
                f"no covering: the neighbours of {u} map to {[v for v, _ in image]}, those of its image "
                f"{int(p[u])} are {[v for v, _ in star]}"
            )


def pull_back(
    x: Float[np.ndarray, "*b n"], cover: Graph, base: Graph, p: Int[np.ndarray, " _"]
) -> Float[np.ndarray, "*b m"]:
    """x_u = x_{p(u)} for a covering map p.

    Turns an equilibrium of the base graph into one of the covering graph, whose equilibria have at least the same
    dimension. InputError where p is no covering.
    """
    require_covering(cover, base, p)
    return x[..., p]


def effective_resistance(graph: Graph, w: Float[np.ndarray, " e"], u: int, v: int) -> float:
    """R(u, v) = (e_u - e_v)^T L_w^+ (e_u - e_v) for conductances w >= 0.

    The resistance between two vertices of the network; inf where no path of w > 0 joins them. InputError for a negative
    conductance.
    """
    if (w < 0).any():
        raise InputError(f"conductance {w.min():g} is negative: resistances need w >= 0")
    piece = connected_components((B := abs(graph.incidence)) * (w > 0)[None] @ B.T)[1]
    if u == v or piece[u] != piece[v]:
        return 0.0 if u == v else float(np.inf)
    inside = np.setdiff1d(np.flatnonzero(piece == piece[u]), [v])  # v is earth
    L = (graph.incidence * w[None]) @ graph.incidence.T
    potential = splu(csc_array(L[inside][:, inside])).solve((inside == u).astype(float))
    return float(potential[inside == u][0])
