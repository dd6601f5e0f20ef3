r"""Graphs: vertices, edges with weights, and what depends on nothing else.

y = B^T x,    y_e = x_head - x_tail,    L_w = B diag(w) B^T,    betti = m - n + c

symbol  meaning                                          shape
x       state                                            n
y       differences along the edges                      e
a       weights of the edges, > 0                        e
B       incidence matrix, +1 at the head, -1 at the tail n e
m, c    numbers of edges and of connected components
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from spinodal.errors import InputError
from spinodal.graphs.states import real_array, real_states

DENSE = 500  # vertices up to which matrices are dense


@dataclass(frozen=True, eq=False)
class Graph:
    """a_ij = a_ji > 0 on the edges of an undirected graph; y_e = x_head - x_tail along edge e.

    Each edge is listed once, with the direction in which differences are read. `names` are those of its vertices and
    `name` that of the graph, if they have any.
    """

    n: int
    tails: Int[np.ndarray, " e"]
    heads: Int[np.ndarray, " e"]
    weights: Float[np.ndarray, " e"]
    names: tuple[str, ...]
    name: str = ""

    def __post_init__(self):
        ends = np.concatenate([self.tails, self.heads])
        if self.n < 1:
            raise InputError("the graph has no vertex")
        if ends.dtype.kind not in "iu":
            raise InputError(
                f"vertices of type {ends.dtype}: whole numbers from 0 to {self.n - 1} are needed"
            )
        if ends.size and not (ends.min() >= 0 and ends.max() < self.n):
            raise InputError(
                f"vertex {int(ends.max() if ends.max() >= self.n else ends.min())} of {self.n}: out of range"
            )
        if (loops := self.tails == self.heads).any():
            raise InputError(
                f"vertex {self.vertex_name(int(self.tails[loops][0]))} has an edge to itself, "
                "which f(0) = 0 makes void: remove it"
            )
        if not (good := np.isfinite(self.weights) & (self.weights > 0)).all():
            e = int(np.argmin(good))
            raise InputError(
                f"edge {self.edge_name(e)} has weight {self.weights[e]:g}, but weights are positive "
                "and finite: repulsion belongs to the coupling"
            )
        low, high = np.minimum(self.tails, self.heads), np.maximum(self.tails, self.heads)
        pairs, counts = np.unique(low.astype(np.int64) * self.n + high, return_counts=True)
        if (counts > 1).any():
            i, j = divmod(int(pairs[counts > 1][0]), self.n)
            raise InputError(
                f"edge {self.vertex_name(i)}-{self.vertex_name(j)} is given {counts.max()} times: give it once, "
                "with the sum of its weights"
            )

    def vertex_name(self, i: int) -> str:
        return self.names[i] if len(self.names) == self.n else str(i)

    def edge_name(self, e: int) -> str:
        return f"{self.vertex_name(int(self.tails[e]))}-{self.vertex_name(int(self.heads[e]))}"

    @property
    def m(self) -> int:
        return len(self.tails)

    @cached_property
    def incidence(self) -> sparse.csr_array:
        """B, sparse: y = B^T x, and B c is the divergence of a flow c along the edges."""
        edges = np.arange(self.m)
        ends = (np.concatenate([self.heads, self.tails]), np.concatenate([edges, edges]))
        signs = np.concatenate([np.ones(self.m), -np.ones(self.m)])
        return sparse.csr_array((signs, ends), shape=(self.n, self.m))

    def differences(self, x: Num[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b e"]:
        """y_e = x_head - x_tail."""
        x = real_states(x, self.n)
        return x[..., self.heads] - x[..., self.tails]

    def divergence(self, flow: Float[np.ndarray, "*b e"]) -> Float[np.ndarray, "*b n"]:
        """B c, which vanishes where c is a circulation."""
        flat = flow.reshape(math.prod(flow.shape[:-1]), self.m)
        return np.asarray((self.incidence @ flat.T).T).reshape(*flow.shape[:-1], self.n)

    def laplacian(self, w: Float[np.ndarray, "*b e"]) -> Float[np.ndarray, "*b n n"]:
        """L_w = B diag(w) B^T, dense; w may have either sign."""
        L = np.zeros((*w.shape[:-1], self.n, self.n))
        L[..., self.tails, self.heads] = L[..., self.heads, self.tails] = -w
        diagonal = np.arange(self.n)
        L[..., diagonal, diagonal] = -L.sum(-1)
        return L

    @cached_property
    def degrees(self) -> Float[np.ndarray, " n"]:
        """d_i = sum_j a_ij."""
        ends = np.concatenate([self.heads, self.tails])
        return np.bincount(ends, np.tile(self.weights, 2), minlength=self.n).astype(float)

    @cached_property
    def largest_eigenvalue(self) -> float:
        """lambda_max(L_a); above DENSE vertices its bound max over edges of d_i + d_j, at most twice as large."""
        if self.n <= DENSE:
            return float(np.linalg.eigvalsh(self.laplacian(self.weights))[-1])
        return float((self.degrees[self.tails] + self.degrees[self.heads]).max())

    @cached_property
    def components(self) -> Int[np.ndarray, " n"]:
        """The number of each vertex' connected component, from 0."""
        return connected_components(sparse.csr_array(abs(self.incidence) @ abs(self.incidence).T))[1].astype(
            int
        )

    @cached_property
    def betti(self) -> int:
        """First Betti number m - n + c, the number of independent cycles."""
        return self.m - self.n + int(self.components.max()) + 1

    def networkx(self) -> nx.Graph:
        """The same graph for networkx, vertices 0 .. n-1 and weights under "weight"."""
        other = nx.Graph()
        other.add_nodes_from(range(self.n))
        other.add_weighted_edges_from(
            zip(self.tails.tolist(), self.heads.tolist(), self.weights.tolist(), strict=True)
        )
        return other


def edge_list(
    n: int,
    edges: Shaped[np.ndarray, "..."] | list[tuple[int, int]],
    weights: Num[np.ndarray, " _"] | list[float] | None = None,
) -> Graph:
    """A graph on 0 .. n-1 from its edges [e 2], a row (tail, head) each; weights [e] are 1 if not given.

    InputError for a table of another shape (with two rows, or with weights as a third column) and for vertices that are
    no whole numbers from 0 to n - 1.
    """
    ends = vertex_pairs(edges, n)
    given = np.ones(len(ends)) if weights is None else real_array(weights, "the weights of the edges")
    if given.shape != (len(ends),):
        raise InputError(f"{len(ends)} edges and weights of shape {given.shape}")
    return Graph(n, ends[:, 0], ends[:, 1], given, tuple(map(str, range(n))))


def vertex_pairs(edges: Shaped[np.ndarray, "..."] | list[tuple[int, int]], n: int) -> Int[np.ndarray, "e 2"]:
    """The rows of a table of edges, whole numbers from 0 to n - 1; InputError for any other table."""
    if np.size(edges) == 0:
        return np.zeros((0, 2), dtype=np.int64)
    table = real_array(edges, "the table of edges")
    if table.ndim != 2 or table.shape[1] != 2:
        advice = ""
        if table.ndim == 2 and table.shape[0] == 2:
            advice = "; transpose it"
        elif table.ndim == 2 and table.shape[1] == 3:
            advice = "; a third column of weights is an argument of its own"
        raise InputError(
            f"the table of edges has shape {table.shape}: a row (tail, head) for each edge is needed{advice}"
        )
    if not (whole := table == np.round(table)).all():
        raise InputError(f"the table of edges holds {table[~whole][0]:g}: vertices are whole numbers from 0")
    if not (inside := (table >= 0) & (table < n)).all():
        raise InputError(f"vertex {table[~inside][0]:.0f} of {n}: out of range")
    return table.astype(np.int64)


def from_networkx(other: nx.Graph, *, weight: str = "weight") -> Graph:
    """A graph of networkx, its vertices in their order, weights from the attribute `weight` of its edges.

    Where an edge has none, its weight is the default of a GraphML file that the graph was read from, else 1. InputError
    where the graph is directed, has parallel edges, negative weights or loops, or where no edge has an attribute of a
    name other than "weight".
    """
    if other.is_directed():
        raise InputError("a directed graph has no energy, a_ij = a_ji is needed; to_undirected() makes one")
    if other.is_multigraph():
        raise InputError("a graph with parallel edges: give each edge once, with the sum of its weights")
    place = {vertex: i for i, vertex in enumerate(other)}
    edges = [(place[u], place[v]) for u, v in other.edges]
    weights = [edge_weight(u, v, value, weight) for u, v, value in attribute_values(other, weight)]
    ends = vertex_pairs(edges, len(place))
    return Graph(len(place), ends[:, 0], ends[:, 1], np.array(weights, dtype=float), tuple(map(str, place)))


def attribute_values(other: nx.Graph, name: str) -> list[tuple[object, object, object]]:
    """(u, v, value) of every edge; InputError where a name other than "weight" is missing."""
    default = other.graph.get("edge_default", {}).get(name)
    values = list(other.edges.data(name, default=default))
    missing = [(u, v) for u, v, value in values if value is None]
    if missing and name != "weight":
        known = sorted({str(key) for _, _, data in other.edges.data() for key in data})
        u, v = missing[0]
        raise InputError(
            f"`weight` {name}: edge {u}-{v} has no such attribute; edges have {', '.join(known) or 'none'}",
            field="weight",
        )
    return [(u, v, 1.0 if value is None else value) for u, v, value in values]


def edge_weight(u: object, v: object, value: object, name: str) -> float:
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        raise InputError(
            f"edge {u}-{v} has the {name} {value!r}, which is no number", field="weight"
        ) from None


def from_adjacency(A: Any) -> Graph:
    """The graph with a_ij = A_ij; zeros are no edges, and the diagonal does not matter, since f(0) = 0.

    A [n n] is an array, a nested list or a sparse matrix of SciPy's, of numbers or truth values. InputError where it is
    not square, and where it differs from its transpose by more than rounding: the flow on it would have no energy.
    """
    table = A if sparse.issparse(A) else real_array(A, "the adjacency matrix")
    if len(shape := table.shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"the adjacency matrix has shape {shape}: a square one is needed")
    entries = sparse.coo_array(table)
    weights = real_array(entries.data, "the adjacency matrix")
    a = sparse.csr_array((weights, (entries.row, entries.col)), shape=shape)
    gap = sparse.coo_array(abs(a - a.T))
    if gap.nnz and not gap.data.max() <= 1e-12 * np.abs(a.data).max(initial=0.0):
        worst = int(gap.data.argmax())
        i, j = int(gap.row[worst]), int(gap.col[worst])
        raise InputError(
            f"A_{i},{j} = {a[i, j]:g} but A_{j},{i} = {a[j, i]:g}: a directed graph has no energy"
        )
    upper = sparse.coo_array(sparse.triu(a, 1))
    kept = upper.data != 0
    order = np.lexsort((upper.col[kept], upper.row[kept]))
    ends = np.stack([upper.row[kept], upper.col[kept]], 1)[order]
    return edge_list(shape[0], ends, upper.data[kept][order])
