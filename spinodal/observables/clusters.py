r"""Clusters: the connected components of tokens whose cosine is at least 1 - epsilon.

Never the rank of a matrix: three clusters in a plane have rank two. Components are exact, and take memory O(n):

- on the circle neighbours in angle decide, after a sort;
- in more dimensions tokens in one cell of side r / sqrt(d), r = sqrt(2 epsilon), are within r of each other. Cells
  are joined where their first tokens are within r. Of the others only cells within r plus their radii are in
  doubt, and are joined by the nearest pair of their tokens.

    symbol  meaning
    r       distance of unit vectors with cosine 1 - epsilon
    spread  largest distance in a cell from its first token
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables.entry import Observable
from spinodal.observables.frames import directions, observes
from spinodal.types import Trajectory

BLOCK = 2**22  # pairs of cells, or of points, at a time


@observes
def cluster_labels(trajectory: Trajectory, epsilon: float) -> Int[Tensor, "t b n"]:
    """Component of {<x_i, x_j> >= 1 - epsilon} of each token, numbered from 0 by first token; -1 on padding."""
    if not 0 < epsilon < 2:
        raise InputError(f"epsilon = {epsilon}: must be between 0 and 2")
    valid = trajectory.valid
    found = []
    for x in directions(trajectory):
        if x.shape[-1] == 2:
            root = _circle_roots(x, valid, 2 * np.arcsin(np.sqrt(epsilon / 2)))
        else:
            root = torch.zeros_like(valid, dtype=torch.int64)
            for sequence, points, present in zip(root, x, valid, strict=True):
                labels = components(points[present].cpu().numpy(), np.sqrt(2 * epsilon))
                token = torch.nonzero(present)[:, 0]
                first = np.unique(labels, return_index=True)[1]
                sequence[present] = token[torch.as_tensor(first[labels], device=token.device)]
        found.append(_number_components(root, valid))
    return torch.stack(found)


@observes
def cluster_count(trajectory: Trajectory, epsilon: float) -> Int[Tensor, "t b"]:
    """Number of components of {<x_i, x_j> >= 1 - epsilon}.

    >>> import torch
    >>> from spinodal import observables
    >>> from spinodal.types import Trajectory
    >>> angle = torch.tensor([[0.0, 1.0, 3.0], [0.0, 0.1, 3.0]])
    >>> tokens = torch.stack([angle.cos(), angle.sin()], -1)[:, None]
    >>> valid = torch.ones(1, 3, dtype=torch.bool)
    >>> trajectory = Trajectory(torch.tensor([0.0, 1.0]), tokens, valid)
    >>> observables.cluster_count(trajectory, epsilon=0.01).tolist()
    [[3], [2]]
    """
    return cluster_labels(trajectory, epsilon).amax(-1) + 1


def components(x: Float[np.ndarray, "n d"], r: float) -> Int[np.ndarray, " n"]:
    """Label of each point in the graph of distances <= r, from 0; points of any length."""
    n, d = x.shape
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    # an irrational shift keeps coordinates that are exactly zero off the walls; the shrunk side, rounding
    cell = np.floor(x / (r / np.sqrt(d) * (1 - 1e-9)) + (np.sqrt(5) - 1) / 2)
    order = np.lexsort(cell.T)
    start = np.flatnonzero(np.append(True, np.any(np.diff(cell[order], axis=0) != 0, axis=1)))
    size = np.diff(start, append=n)
    first = x[order[start]]
    spread = np.maximum.reduceat(np.linalg.norm(x[order] - np.repeat(first, size, axis=0), axis=1), start)
    label = np.arange(len(start))
    for i, j, distance in _neighbours(first, spread, r):
        label = _join_cells(label, i, j, distance <= r)
        doubtful = (distance > r) & (distance <= r + spread[i] + spread[j]) & (label[i] != label[j])
        i, j = i[doubtful], j[doubtful]
        near = _touching(x[order], start, size, i, j, r)
        label = _join_cells(label, i, j, near)
    labels = np.empty(n, dtype=np.int64)
    labels[order] = np.repeat(label, size)
    return labels


def _neighbours(first, spread, r):
    """Yields (i, j, distance) of cells whose first tokens are within r + 2 max(spread_i, spread_j)."""
    tree = KDTree(first)
    # cells of like spread together, so that one radius serves a block
    waiting = [np.argsort(spread)]
    while waiting:
        block = waiting.pop()
        part, reach = KDTree(first[block]), r + 2 * spread[block[-1]]
        if len(block) > 1 and part.count_neighbors(tree, reach) > BLOCK:
            waiting += np.array_split(block, 2)
            continue
        pairs = part.sparse_distance_matrix(tree, reach, output_type="ndarray")
        i, j = block[pairs["i"]], pairs["j"]
        once = (i != j) & ((spread[i] > spread[j]) | ((spread[i] == spread[j]) & (i < j)))
        yield i[once], j[once], pairs["v"][once]


def _join_cells(label, i, j, edge):
    """Labels after joining cells i and j where `edge` holds."""
    if not edge.any():
        return label
    graph = coo_array((np.ones(edge.sum()), (label[i[edge]], label[j[edge]])), shape=(len(label), len(label)))
    return connected_components(graph, directed=False)[1][label]


def _touching(x, start, size, i, j, r):
    """Whether cells i and j, runs of x, hold two points within r of each other."""
    near = np.zeros(len(i), dtype=bool)
    pairs = size[i] * size[j]
    large = pairs > BLOCK
    for p in np.flatnonzero(large):
        a, b = (x[start[c] : start[c] + size[c]] for c in (i[p], j[p]))
        near[p] = np.isfinite(KDTree(a).query(b, distance_upper_bound=np.nextafter(r, np.inf))[0]).any()
    small = np.flatnonzero(~large)
    for chunk in np.split(small, np.flatnonzero(np.diff(np.cumsum(pairs[small]) // BLOCK)) + 1):
        owner = np.repeat(chunk, pairs[chunk])
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(pairs[chunk]) - pairs[chunk], pairs[chunk])
        a = x[start[i[owner]] + rank // size[j[owner]]]
        b = x[start[j[owner]] + rank % size[j[owner]]]
        near[owner[np.sum((a - b) ** 2, axis=1) <= r**2]] = True
    return near


def _circle_roots(x, valid, gap):
    """First token of each component on the circle, tokens of neighbouring angles joined up to `gap`."""
    angle = torch.atan2(x[..., 1], x[..., 0]).masked_fill(~valid, torch.inf)
    angle, order = angle.sort(dim=-1)
    present = angle.isfinite()
    apart = torch.ones_like(present)
    apart[:, 1:] = angle.diff(dim=-1) > gap  # inf - inf, between two paddings, is no gap
    run = apart.cumsum(-1) - 1
    last = (present.sum(-1, keepdim=True) - 1).clamp(min=0)
    closes = angle[:, :1] + 2 * torch.pi - angle.gather(-1, last) <= gap
    run = torch.where(closes & (run == run.gather(-1, last)), 0, run)
    n = x.shape[1]
    first = torch.full_like(order, n).scatter_reduce(-1, run, torch.where(present, order, n), "amin")
    return torch.zeros_like(order).scatter(-1, order, first.gather(-1, run)).clamp(max=n - 1)


def _number_components(root, valid):
    """Components by their first tokens, numbered in that order; -1 on padding."""
    own = root == torch.arange(root.shape[-1], device=root.device)
    number = (own & valid).cumsum(-1) - 1
    return number.gather(-1, root).masked_fill(~valid, -1)


CLUSTERS = Observable(
    "clusters",
    "clusters",
    "Falling towards 1 by steps: groups of tokens that meet and then wait for each other.",
    values=lambda trajectory, scales: cluster_count(trajectory, scales.epsilon).double(),
    equiangular=lambda g, n, scales: np.where(g >= 1 - scales.epsilon, 1.0, float(n)),
)
