r"""The convex hull of tokens: its vertices, its volume, and how far tokens are from its vertices  [clusters2023].

    conv(x) = { sum_i c_i x_i : c_i >= 0, sum_i c_i = 1 }

Rescaled tokens without layer norm tend to the boundary of a polytope, with V = I to its vertices. Tokens nearer to each
other than 1e-6 of the largest distance from their mean are one point, so that a cluster at a vertex is one vertex.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spinodal.arrays import points_array
from spinodal.errors import InputError
from spinodal.observables.clusters import components
from spinodal.observables.entry import Observable
from spinodal.observables.frames import frames, observes
from spinodal.types import Trajectory

SAME = (
    1e-6  # of the largest distance from the mean, within which tokens are one point, and a direction is flat
)
MOST = 7  # dimensions, above which a hull has too many faces


@observes
def hull_vertices(trajectory: Trajectory) -> Bool[Tensor, "t b n"]:
    """Whether each token is a vertex of the convex hull of the valid ones; of tokens in one place the first.

    InputError for tokens that span more than 7 dimensions, unless every point is a vertex of a simplex.

    >>> import numpy as np
    >>> from spinodal import observables
    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.2, 0.2]])
    >>> observables.hull_vertices(corners)[0, 0].tolist()
    [True, True, True, False]
    """
    found = torch.zeros((len(trajectory.tokens), *trajectory.valid.shape), dtype=torch.bool)
    for t, b, x, tokens in valid_points(trajectory):
        found[t, b, tokens[vertex_indices(x)]] = True
    return found


@observes
def hull_volume(trajectory: Trajectory) -> Float[Tensor, "t b"]:
    """The volume of the convex hull in R^d: its length for d = 1, its area for d = 2; 0 where it is flat.

    InputError for tokens that span more than 7 dimensions.
    """
    from scipy.spatial import ConvexHull

    found = torch.zeros(len(trajectory.tokens), len(trajectory.valid), dtype=torch.float64)
    for t, b, x, _ in valid_points(trajectory):
        _, y = span(x)
        if y.shape[1] == x.shape[1]:
            require_few(y)
            found[t, b] = float(np.ptp(y)) if y.shape[1] == 1 else ConvexHull(y).volume
    return found


@observes
def vertex_distance(
    trajectory: Trajectory, vertices: Float[Tensor, "k d"] | Float[np.ndarray, "k d"] | None = None
) -> Float[Tensor, "t b"]:
    """max_i min_v |x_i - v|: how far the farthest token is from the nearest vertex  [clusters2023].

    Of the hull of the tokens at each time if no `vertices` [k d] are given. 0 where every token is at a vertex.
    """
    d = trajectory.tokens.shape[-1]
    corners = None if vertices is None else points_array(vertices, "vertices")
    if corners is not None and corners.shape[1] != d:
        raise InputError(
            f"`vertices` have shape {corners.shape}: points [k d] with d = {d}", field="vertices"
        )
    from scipy.spatial import KDTree

    found = torch.zeros(len(trajectory.tokens), len(trajectory.valid), dtype=torch.float64)
    for t, b, x, _ in valid_points(trajectory):
        near = KDTree(x[vertex_indices(x)] if corners is None else corners).query(x)[0]
        found[t, b] = float(np.max(near))
    return found


def valid_points(
    trajectory: Trajectory,
) -> Iterator[tuple[int, int, Float[np.ndarray, "m d"], Int[Tensor, " m"]]]:
    """Yields (time index, sequence, its valid tokens [m d], their indices [m])."""
    for t, x in enumerate(frames(trajectory)):
        for b, (tokens, valid) in enumerate(zip(x, trajectory.valid, strict=True)):
            if not valid.any():
                raise InputError(f"sequence {b} has no valid token")
            yield t, b, tokens[valid].cpu().numpy(), torch.nonzero(valid)[:, 0].cpu()


def span(x: Float[np.ndarray, "n d"]) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, "m k"]]:
    """(first token of each point, coordinates of the points in the k dimensions that they span)."""
    y = x - x.mean(0)
    size = float(np.linalg.norm(y, axis=1).max())
    if size == 0:
        return np.zeros(1, np.int64), np.zeros((1, 0))
    first = np.unique(components(y, SAME * size), return_index=True)[1]
    y = y[first] - y[first].mean(0)
    along, singular, _ = np.linalg.svd(y, full_matrices=False)
    k = int(np.count_nonzero(singular > SAME * singular[0]))
    return first, along[:, :k] * singular[:k]


def vertex_indices(x: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " k"]:
    """The indices of the points at the vertices of their convex hull, in the order of the points."""
    from scipy.spatial import ConvexHull

    first, y = span(x)
    n, k = y.shape
    if n <= k + 1:  # a simplex, or one point
        return first
    if k == 1:
        return np.sort(first[[y[:, 0].argmin(), y[:, 0].argmax()]])
    require_few(y)
    return np.sort(first[ConvexHull(y).vertices])


def require_few(y: Float[np.ndarray, "n k"]) -> None:
    if y.shape[1] > MOST:
        raise InputError(f"tokens span {y.shape[1]} dimensions: convex hulls are for {MOST} at most")


HULL_VERTICES = Observable(
    "hull_vertices",
    "vertices of the convex hull",
    "Constant from some time on: tokens end at the vertices or the faces of this polytope.",
    values=lambda trajectory, scales: hull_vertices(trajectory).sum(-1).double(),
    equiangular=lambda g, n, scales: np.full(len(g), float(n)),
    of_points=True,
)
HULL_VOLUME = Observable(
    "hull_volume",
    "volume of the convex hull; length for d = 1, area for d = 2",
    "Falling: tokens move into the hull that they had; rescaled ones never leave it.",
    values=lambda trajectory, scales: hull_volume(trajectory),
    equiangular=lambda g, n, scales: np.zeros(len(g)),
    of_points=True,
)
VERTEX_DISTANCE = Observable(
    "vertex_distance",
    "largest distance of a token to the nearest vertex of the hull",
    "Falling towards 0: all tokens gather at the vertices of a polytope.",
    values=lambda trajectory, scales: vertex_distance(trajectory),
    equiangular=lambda g, n, scales: np.zeros(len(g)),
    of_points=True,
)
