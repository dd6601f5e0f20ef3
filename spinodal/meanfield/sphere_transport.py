r"""W2 of densities on S^2, distances being angles: cells of equal mass, and the cheapest assignment of their points.

    W2(mu_N, nu_N)^2 = min over permutations s of (1/N) sum_c angle(p_c, q_s(c))^2
    |W2(mu, nu) - W2(mu_N, nu_N)| <= e(mu) + e(nu),    e(mu)^2 = E angle(x, p_c(x))^2 >= W2(mu, mu_N)^2     [derived]
    W2(mu_N, nu_N)^2 = W2(mu, nu)^2 + C / N + ..., of which C is removed by a second N of half the size

mu_N has the mass 1 / N at the point p_c of each of N cells: bands of latitude by cumulative mass, cut by cumulative
mass along their longitudes. While nodes of a solver carry a density, its cells are those of the start, and move with
them, so that mu_N changes smoothly with mu; the mass of a node is spread evenly halfway to its neighbours, which enters
the bound to leading order in their distance. Nodes that have met are atoms: then cells are cut anew, whole ones from
each atom first.

    symbol  meaning                                             shape
    x, w    nodes and their masses                              n 3, n
    cells   shares of the nodes in each cell, summing to one    N n
    p, q    points of the cells of two densities                N 3
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array, vstack
from scipy.spatial.distance import cdist

from spinodal.meanfield.modes import SphereModes
from spinodal.meanfield.panels import TINY
from spinodal.meanfield.sphere import Sphere, gauss_nodes

CELLS = 512, 256  # an assignment takes time of their cube: 0.1 s of 512 at the most
ROUNDING = 1e-9  # of a cell
SCATTERED = 0.9  # |mean| of a cell below which it is torn, and its point is its heaviest node


class Points(NamedTuple):
    """N points of equal mass, and a bound on the W2 of what they stand for to them."""

    at: Float[np.ndarray, "N 3"]
    error: float


class Distance(NamedTuple):
    """W2 and a bound on its error; None where it is as exact as the solver."""

    value: float
    error: float | None = None


class Level(NamedTuple):
    """N points of the reference, and the cells of a density that is carried by nodes."""

    goal: Points
    cells: csr_array


def distance_on_sphere(
    reference: SphereModes | Float[np.ndarray, "m 3"], solver: Sphere
) -> Callable[[], Distance]:
    """The function that measures W2 of a solver's present density to modes, or to tokens of equal mass."""
    goals = {len(goal.at): goal for goal in (points_of_reference(reference, solver.degree, N) for N in CELLS)}
    levels = [Level(goal, equal_cells(solver.x, solver.weights, N)) for N, goal in goals.items()]

    def points(level: Level) -> Points:
        if solver.labelled:
            return points_of(level.cells, solver.x, share_square(solver.x, solver.weights, solver.degree))
        return points_of(cells_of_atoms(solver.x, solver.weights, len(level.goal.at)), solver.x)

    def distance() -> Distance:
        here = [points(level) for level in levels]
        found = [wasserstein_of_points(p.at, level.goal.at) for p, level in zip(here, levels, strict=True)]
        value = limit(found, list(goals))
        return Distance(value, here[0].error + levels[0].goal.error + abs(value - found[0]))

    return distance


def points_of_reference(
    reference: SphereModes | Float[np.ndarray, "m 3"], degree: int, number: int
) -> Points:
    """N points of modes, on nodes of this degree, or each of m tokens N / m times, N about `number`."""
    if not isinstance(reference, SphereModes):
        return Points(np.repeat(reference, max(1, round(number / len(reference))), 0), 0.0)
    x, area = gauss_nodes(degree)
    w = area * reference.density(x)
    w = w / w.sum()
    return points_of(equal_cells(x, w, number), x, share_square(x, w, degree))


def limit(found: list[float], numbers: list[int]) -> float:
    """W of W_N^2 = W^2 + C / N, from W_N of two N; of one N itself."""
    if len(found) == 1:
        return found[0]
    (fine, coarse), (N, M) = found, numbers
    return float(np.sqrt(max(0.0, fine**2 - (coarse**2 - fine**2) * M / (N - M))))


def wasserstein_of_points(p: Float[np.ndarray, "N 3"], q: Float[np.ndarray, "N 3"]) -> float:
    """W2 of two sets of N points of equal mass: the cheapest assignment, by angles."""
    cost = angle_of(cdist(p, q)) ** 2
    return float(np.sqrt(cost[linear_sum_assignment(cost)].mean()))


def equal_cells(x: Float[np.ndarray, "n 3"], w: Float[np.ndarray, " n"], number: int) -> csr_array:
    """Shares [N n] of the nodes in each of N cells of equal mass: bands of latitude, cut into longitudes.

    There are as many cells to a band as cells of one size on the sphere have there. Nodes of one latitude, or of one
    longitude, are cut in equal parts.
    """
    bands = max(1, round(np.sqrt(np.pi * number / 4)))
    ends = np.rint(number * (1 - np.cos(np.pi * np.arange(bands + 1) / bands)) / 2).astype(int)
    places = (-x[:, 2], np.arctan2(x[:, 1], x[:, 0]))
    ring, meridian = (np.unique(np.round(at, 12), return_inverse=True)[1] for at in places)
    latitude = shares(np.bincount(ring, w), ends / number)
    rows = []
    for share, count in zip(latitude.T, np.diff(ends), strict=True):
        band = share[ring] * w
        longitude = shares(np.bincount(meridian, band), np.arange(count + 1) / count)
        cells = band * longitude.T[:, meridian]
        rows.append(csr_array(cells / cells.sum(1, keepdims=True)))
    return csr_array(vstack(rows))


def cells_of_atoms(x: Float[np.ndarray, "n 3"], w: Float[np.ndarray, " n"], number: int) -> csr_array:
    """Shares [N n] as of `equal_cells`, with as many whole cells to a node as its mass fills."""
    whole = np.floor(number * w + ROUNDING).astype(int)
    rest, left = np.maximum(number * w - whole, 0.0), number - int(whole.sum())
    own = np.repeat(np.arange(len(w)), whole)
    cells = csr_array((np.ones(len(own)), (np.arange(len(own)), own)), shape=(len(own), len(w)))
    return csr_array(vstack([cells, equal_cells(x, rest, left)])) if left else cells


def shares(mass: Float[np.ndarray, " k"], ends: Float[np.ndarray, " e"]) -> Float[np.ndarray, "k m"]:
    """The share of each mass, laid one after the other, that lies between two ends, which are shares of the sum."""
    after = np.cumsum(mass) / mass.sum()
    after[-1] = 1.0
    before = np.concatenate([[0.0], after[:-1]])
    common = np.minimum.outer(after, ends[1:]) - np.maximum.outer(before, ends[:-1])
    return np.maximum(common, 0.0) / np.maximum(after - before, TINY)[:, None]


def points_of(cells: csr_array, x: Float[np.ndarray, "n 3"], square: float = 0.0) -> Points:
    """The points of cells whose nodes are at x, and the bound on W2 to them; `square` is of mass about its node."""
    mean = cells @ x
    length = np.linalg.norm(mean, axis=1)
    at = mean / np.maximum(length, TINY)[:, None]
    torn = np.flatnonzero(length < SCATTERED)
    if len(torn):
        at[torn] = x[np.asarray(cells[torn].argmax(1)).ravel()]
    cell = np.repeat(np.arange(len(at)), np.diff(cells.indptr))
    away = angle_of(np.linalg.norm(at[cell] - x[cells.indices], axis=1))
    return Points(at, float(np.sqrt(cells.data @ away**2 / len(at) + square)))


def share_square(x: Float[np.ndarray, "n 3"], w: Float[np.ndarray, " n"], degree: int) -> float:
    """The mean square distance of mass from its node, whose share ends midway to the neighbours on Gauss's grid.

    s^2 / 12 of an interval s, by half of it on each side, along latitudes and along longitudes.
    """
    grid = x.reshape(degree + 1, 2 * degree + 2, 3)
    east = angle_of(np.linalg.norm(np.roll(grid, -1, 1) - grid, axis=2)) ** 2
    south = angle_of(np.linalg.norm(grid[1:] - grid[:-1], axis=2)) ** 2
    north = np.concatenate([south[:1], south])  # a cap at a pole is no longer than the share beside it
    south = np.concatenate([south, south[-1:]])
    return float(w @ (east + np.roll(east, 1, 1) + north + south).ravel() / 24)


def angle_of(chord: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The angle between unit vectors at this distance."""
    return 2 * np.arcsin(np.minimum(chord / 2, 1.0))
