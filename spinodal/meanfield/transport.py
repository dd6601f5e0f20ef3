r"""W2 of densities to a reference, distances being angles: by quantiles on the circle and on latitudes.

    line     W2^2 = int_0^1 |F^{-1}(u) - G^{-1}(u)|^2 du
    circle   the least over a of int_0^1 |F^{-1}(u) - G^{-1}(u + a)|^2 du, G^{-1}(u + 1) = G^{-1}(u) + 2 pi

F and G are distribution functions. The integral over a circle is convex in a, so that its least value is found by a
search. To a Dirac all mass moves along its own great circle, in any geometry. Between zonal densities about one axis
mass moves along meridians, on the line of latitudes [derived]. Quantiles are linear between the points of a density, so
that W2 below 1e-4 is not told from 0.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from spinodal.meanfield.lagrangian import Lagrangian
from spinodal.meanfield.modes import Start

FINE = 4096  # points of a reference that is given by modes
DEGREE = 256  # that panels resolve: points of a density are 16 / 256 of a node's share apart, at most
GAUSS = (
    0.5 - 0.5 / np.sqrt(3),
    0.5 + 0.5 / np.sqrt(3),
)  # of an interval, on which the integrand is a parabola


class Quantiles(NamedTuple):
    """F^{-1}, piecewise linear through (share, place): `share` does not decrease from 0 to 1."""

    share: Float[np.ndarray, " k"]
    place: Float[np.ndarray, " k"]

    def __call__(self, u: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        return np.interp(u, self.share, self.place)


def quantiles(
    place: Float[np.ndarray, " n"], mass: Float[np.ndarray, " n"], atoms: int, period: float | None
) -> Quantiles:
    """F^{-1} of points with masses, of which the last `atoms` are atoms; linear between the others."""
    atom = np.arange(len(place)) >= len(place) - atoms
    x = place if period is None else place % period
    order = np.argsort(x, kind="stable")
    x, w, atom = x[order], mass[order] / mass.sum(), atom[order]
    after = np.cumsum(w)
    before, middle = after - w, after - w / 2
    share = np.stack([np.where(atom, before, middle), np.where(atom, after, middle)], 1).ravel()
    return Quantiles(np.clip(share, 0, 1), np.repeat(x, 2))


def quantiles_of(solver: Lagrangian) -> Quantiles:
    """F^{-1} of the density of a solver, on panels that are short enough for degree 256."""
    line = solver.resolved_line(DEGREE)
    return quantiles(line.points, line.weights, len(line.atoms), solver.period)


def reference_quantiles(reference: Start | Float[np.ndarray, "m d"], solver: Lagrangian) -> Quantiles:
    """F^{-1} of a reference: of a density that is given by modes, or of tokens [m d] of equal mass."""
    if isinstance(reference, Start):
        low, high = solver.ends
        at = low + (high - low) * (np.arange(FINE) + 0.5) / FINE
        return quantiles(at, solver.area(at) * reference.density(at), 0, solver.period)
    at = solver.coordinates(reference)
    return quantiles(at, np.ones(len(at)), len(at), solver.period)


def wasserstein_of_quantiles(F: Quantiles, G: Quantiles, period: float | None) -> float:
    """W2 of two measures on a line, or on a circle of this period."""
    if period is None:
        return float(np.sqrt(cost(F, G, 0.0)))
    turns = np.array([-1.0, 0.0, 1.0])[:, None]
    around = [
        Quantiles((turns + each.share).ravel(), (period * turns + each.place).ravel()) for each in (F, G)
    ]
    found = minimize_scalar(
        lambda a: cost(around[0], around[1], a), bounds=(-1, 1), method="bounded", options={"xatol": 1e-10}
    )
    return float(np.sqrt(max(0.0, found.fun)))


def wasserstein_to_point(
    x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], point: Float[np.ndarray, " d"]
) -> float:
    """W2 of weighted unit vectors to a Dirac: (sum_i w_i angle_i^2)^{1/2}."""
    half = np.linalg.norm(x - point, axis=1) / 2
    return float(np.sqrt(weights @ (2 * np.arcsin(np.minimum(half, 1.0))) ** 2))


def cost(F: Quantiles, G: Quantiles, a: float) -> float:
    """int_0^1 |F^{-1}(u) - G^{-1}(u + a)|^2 du, exact for piecewise linear quantiles."""
    knots = np.concatenate([[0.0, 1.0], F.share, G.share - a])
    u = np.unique(knots[(knots >= 0) & (knots <= 1)])
    width, total = np.diff(u), 0.0
    for at in GAUSS:
        here = u[:-1] + at * width
        total += float(width @ (F(here) - G(here + a)) ** 2) / 2
    return total
