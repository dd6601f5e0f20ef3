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
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import networkx as nx
import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from spinodal.errors import InputError

DENSE = 500  # vertices up to which matrices are dense
SHAPES = {
    "cycle": nx.cycle_graph,
    "complete": nx.complete_graph,
    "path": nx.path_graph,
    "star": lambda n: nx.star_graph(n - 1),
}
NAMED = {
    "bowtie": lambda: nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 2)]),
    "diamond": nx.diamond_graph,
    "cube": nx.cubical_graph,
}
SMALLEST = {"cycle": 3, "complete": 1, "path": 1, "star": 2}


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
        if ends.size and not (ends.min() >= 0 and ends.max() < self.n):
            raise InputError(
                f"vertex {int(ends.max() if ends.max() >= self.n else ends.min())} of {self.n}: out of range"
            )
        if (loops := self.tails == self.heads).any():
            raise InputError(
                f"vertex {self.tails[loops][0]} has an edge to itself, which f(0) = 0 makes void: remove it"
            )
        if not (good := np.isfinite(self.weights) & (self.weights > 0)).all():
            e = int(np.argmin(good))
            raise InputError(
                f"edge {self.tails[e]}-{self.heads[e]} has weight {self.weights[e]:g}, but weights are positive "
                "and finite: repulsion belongs to the coupling"
            )
        low, high = np.minimum(self.tails, self.heads), np.maximum(self.tails, self.heads)
        pairs, counts = np.unique(low.astype(np.int64) * self.n + high, return_counts=True)
        if (counts > 1).any():
            i, j = divmod(int(pairs[counts > 1][0]), self.n)
            raise InputError(
                f"edge {i}-{j} is given {counts.max()} times: give it once, with the sum of its weights"
            )

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

    def differences(self, x: Float[np.ndarray, "*b n"]) -> Float[np.ndarray, "*b e"]:
        """y_e = x_head - x_tail."""
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
    edges: Int[np.ndarray, "e 2"] | list[tuple[int, int]],
    weights: Float[np.ndarray, " e"] | None = None,
) -> Graph:
    """A graph on 0 .. n-1 from its edges [e 2], (tail, head) each; weights are 1 if not given."""
    ends = np.asarray(edges, dtype=int).reshape(-1, 2)
    given = np.ones(len(ends)) if weights is None else weights
    if given.shape != (len(ends),):
        raise InputError(f"{len(ends)} edges and weights of shape {given.shape}")
    return Graph(n, ends[:, 0], ends[:, 1], given, tuple(map(str, range(n))))


def from_networkx(other: nx.Graph) -> Graph:
    """A graph of networkx, its vertices in their order, weights from "weight" (1 where there is none).

    InputError where it is directed or has parallel edges, negative weights or loops.
    """
    if other.is_directed():
        raise InputError("a directed graph has no energy, a_ij = a_ji is needed; to_undirected() makes one")
    if other.is_multigraph():
        raise InputError("a graph with parallel edges: give each edge once, with the sum of its weights")
    place = {vertex: i for i, vertex in enumerate(other)}
    edges = [(place[u], place[v]) for u, v in other.edges]
    try:
        weights = np.array([float(weight) for _, _, weight in other.edges.data("weight", default=1.0)])
    except (TypeError, ValueError):
        raise InputError("an edge has a weight that is no number") from None
    made = edge_list(len(place), edges, weights)
    return Graph(made.n, made.tails, made.heads, made.weights, tuple(map(str, place)))


def from_adjacency(A: Float[np.ndarray, "n n"]) -> Graph:
    """The graph with a_ij = A_ij; zeros are no edges, and the diagonal does not matter, since f(0) = 0.

    InputError where A differs from its transpose by more than rounding: the flow on it would have no energy.
    """
    gap = np.abs(A - A.T)
    if not gap.max(initial=0.0) <= 1e-12 * np.abs(A).max(initial=0.0):
        i, j = divmod(int(gap.argmax()), len(A))
        raise InputError(
            f"A_{i},{j} = {A[i, j]:g} but A_{j},{i} = {A[j, i]:g}: a directed graph has no energy"
        )
    tails, heads = np.nonzero(np.triu(A, 1))
    return edge_list(len(A), np.stack([tails, heads], 1), A[tails, heads])


def named_graph(text: str) -> Graph:
    """The graph of a name: cycle:8, complete:5, path:4, star:6 (n vertices), bowtie, diamond, cube, or FILE.graphml.

    InputError for a name that is none of these, and for a file that cannot be read.
    """
    shape, colon, size = text.partition(":")
    if text in NAMED:
        return replace(from_networkx(NAMED[text]()), name=text)
    if colon and shape in SHAPES:
        if not size.isdigit() or not SMALLEST[shape] <= int(size) <= 100_000:
            raise InputError(
                f"`graph` {text!r}: {shape}:N with N a whole number from {SMALLEST[shape]}", field="graph"
            )
        return replace(from_networkx(SHAPES[shape](int(size))), name=text)
    if text.endswith(".graphml"):
        return replace(from_networkx(read_graphml(Path(text))), name=text)
    raise InputError(
        f"`graph` {text!r} is none of {', '.join(f'{s}:N' for s in SHAPES)}, {', '.join(NAMED)}, FILE.graphml",
        field="graph",
    )


def read_graphml(path: Path) -> nx.Graph:
    """The graph in a GraphML file; InputError for a file that cannot be read."""
    if not path.is_file():
        raise InputError(f"`graph` {path}: there is no such file", field="graph")
    try:
        return nx.read_graphml(path)
    except Exception as error:  # the parser's own errors have no common class
        raise InputError(f"`graph` {path} is no GraphML: {error}", field="graph") from None
