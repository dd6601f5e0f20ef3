r"""Newton's method for grad E = 0, in least squares, for many starts at once.

    x <- x - V diag(s / (s^2 + mu)) U^T r,      J = U diag(s) V^T

with r = grad E and J = H finds equilibria of every index alike, stays off the kernel (translations, and
manifolds of equilibria), and converges at degenerate points too, linearly; a plain solve with H does none
of these. With one row more, (|x - c|^2 - R^2) / 2R, it finds equilibria at distance R from c.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.graphs.energy import System

FLOOR = 1e-15  # of the residual, relative to the scale
REFUSALS = 12  # in a row, after which a start is given up


class Sphere(NamedTuple):
    """Where to look for equilibria."""

    centre: Float[np.ndarray, " n"]
    radius: float


def refine_states(
    system: System, x: Float[np.ndarray, "b n"], *, sphere: Sphere | None = None, steps: int = 120
) -> tuple[Float[np.ndarray, "b n"], Float[np.ndarray, " b"]]:
    """x <- x - (H^2 + mu)^-1 H grad E(x) until |grad E|^2 falls no more, and max |grad E| of each result.

    Refines many states [b n] to equilibria at once, by Levenberg and Marquardt's form of Newton's method. A state stops
    where |grad E| has a minimum, which may not be zero: read the second result before calling it an equilibrium. On a
    sphere the second result includes the distance to it.
    """
    x = x.copy()
    r = residual(system, x, sphere)
    merit = (r * r).sum(-1)
    mu = 1e-2 * merit
    refusals = np.zeros(len(x), dtype=int)
    for _ in range(steps):
        active = np.flatnonzero((merit > (FLOOR * system.scale) ** 2) & (refusals < REFUSALS))
        if not len(active):
            break
        U, s, Vt = factors(system, x[active], sphere)
        damped = s**2 + mu[active, None]
        along = np.einsum("bri,br->bi", U, r[active]) * s / np.where(damped > 0, damped, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            tried = x[active] - np.einsum("bij,bi->bj", Vt, along)
            left = residual(system, tried, sphere)
            new = (left * left).sum(-1)
        better = new < merit[active]
        accepted, refused = active[better], active[~better]
        x[accepted], r[accepted], merit[accepted] = tried[better], left[better], new[better]
        mu[accepted] *= 0.1
        refusals[accepted] = 0
        mu[refused] = np.maximum(10 * mu[refused], 1e-12 * system.scale**2)
        refusals[refused] += 1
    return x, np.abs(r).max(-1, initial=0.0)


def residual(system: System, x: Float[np.ndarray, "b n"], sphere: Sphere | None) -> Float[np.ndarray, "b r"]:
    """grad E at each state, and on a sphere the scaled distance to it."""
    g = system.gradient(x)
    if sphere is None:
        return g
    distance = ((x - sphere.centre) ** 2).sum(-1, keepdims=True) - sphere.radius**2
    return np.concatenate([g, system.scale * distance / (2 * sphere.radius)], -1)


def factors(
    system: System, x: Float[np.ndarray, "b n"], sphere: Sphere | None
) -> tuple[Float[np.ndarray, "b r k"], Float[np.ndarray, "b k"], Float[np.ndarray, "b k n"]]:
    """J = U diag(s) V^T; without a sphere J is symmetric, and its eigenvalues and eigenvectors cost less."""
    H = system.hessian(x)
    if sphere is None:
        eigenvalues, V = np.linalg.eigh(H)
        return V, eigenvalues, V.swapaxes(-1, -2)
    outward = (system.scale * (x - sphere.centre) / sphere.radius)[..., None, :]
    return np.linalg.svd(np.concatenate([H, outward], -2), full_matrices=False)
