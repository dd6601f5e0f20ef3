r"""Newton's method for grad E = 0, in least squares, for many starts at once.

    x <- x - V diag(s / (s^2 + mu)) U^T r,      J = U diag(s) V^T

with r = grad E and J = H finds equilibria of every index alike, stays off the kernel (translations, and
manifolds of equilibria), and converges at degenerate points too, linearly; a plain solve with H does none
of these. Above 500 vertices the same step is the solution of one sparse system, with one vertex of each floating
component held: [[I, J], [J^T, -mu]] [u; s] = [r; 0]. With one row more, (|x - c|^2 - R^2) / 2R, it finds
equilibria at distance R from c.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import block_array, csc_array, eye_array, vstack
from scipy.sparse.linalg import splu

from spinodal.graphs.energy import System
from spinodal.graphs.sparse import is_large, sparse_hessian, sparse_matrix

FLOOR = 1e-15  # of the residual, relative to the scale
NEAR = 1e-12  # the same on a sphere, where an equilibrium is judged by 1e-10
FLAT = 1e-12  # of a singular value, relative to the scale, below which a direction is flat on a sphere
REFUSALS = 12  # in a row, after which a start is given up


class Sphere(NamedTuple):
    """A sphere in the space of states, on which equilibria are searched."""

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
    if is_large(system):
        refined = [refine_large(system, one, sphere, steps) for one in x]
        return np.stack([state for state, _ in refined]), np.array([residual for _, residual in refined])
    x, floor = x.copy(), (FLOOR if sphere is None else NEAR) * system.scale
    r = residual(system, x, sphere)
    merit = (r * r).sum(-1)
    mu = 1e-2 * merit
    refusals = np.zeros(len(x), dtype=int)
    for _ in range(steps):
        active = np.flatnonzero((merit > floor**2) & (refusals < REFUSALS))
        if not len(active):
            break
        with np.errstate(over="ignore", invalid="ignore"):
            tried = x[active] - damped_step(system, x[active], r[active], mu[active], sphere)
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


def damped_step(
    system: System,
    x: Float[np.ndarray, "b n"],
    r: Float[np.ndarray, "b r"],
    mu: Float[np.ndarray, " b"],
    sphere: Sphere | None,
) -> Float[np.ndarray, "b n"]:
    """(J^T J + mu)^-1 J^T r, off the kernel of J.

    Without a sphere J is H. With one it has a row o more, and (H^2 + mu + o o^T)^-1 follows from (H^2 + mu)^-1, which
    the eigenvectors of H make diagonal, by Sherman and Morrison.
    """
    eigenvalues, V = np.linalg.eigh(system.hessian(x))
    n = eigenvalues.shape[-1]
    along = np.einsum("bij,bi->bj", V, r[:, :n]) * eigenvalues
    damped = eigenvalues**2 + mu[:, None]
    inverse = 1 / np.where(damped > 0, damped, np.inf)
    step = along * inverse
    if sphere is not None:
        o = np.einsum("bij,bi->bj", V, system.scale * (x - sphere.centre) / sphere.radius)
        inverse = 1 / np.maximum(damped, (FLAT * system.scale) ** 2)
        step = along * inverse
        gain = (r[:, n] - (o * step).sum(-1)) / (1 + (o * o * inverse).sum(-1))
        step = step + gain[:, None] * o * inverse
    return np.einsum("bij,bj->bi", V, step)


def refine_large(
    system: System, x: Float[np.ndarray, " n"], sphere: Sphere | None, steps: int
) -> tuple[Float[np.ndarray, " n"], float]:
    """The result of `refine_states` for one state of a large graph, by sparse matrices."""
    H = sparse_hessian(system, x, 0.0)
    free = np.setdiff1d(np.arange(H.n), np.unique(H.components, return_index=True)[1][system.floating])
    r = residual(system, x[None], sphere)[0]
    floor = math.sqrt(H.n) * (FLOOR if sphere is None else NEAR) * system.scale
    merit, refusals = float(r @ r), 0
    mu = 1e-2 * merit
    while steps and merit > floor**2 and refusals < REFUSALS:
        steps -= 1
        step = sparse_step(system, x, r, mu, sphere, free)
        tried = x if step is None else x - H.project(step)
        with np.errstate(over="ignore", invalid="ignore"):
            left = residual(system, tried[None], sphere)[0]
            new = float(left @ left)
        if new < merit:
            x, r, merit, refusals = tried, left, new, 0
            mu = 0.1 * mu if mu > 1e-12 * system.scale**2 else 0.0
        else:
            mu, refusals = max(10 * mu, 1e-9 * system.scale**2), refusals + 1
    return x, float(np.abs(r).max(initial=0.0))


def sparse_step(
    system: System,
    x: Float[np.ndarray, " n"],
    r: Float[np.ndarray, " r"],
    mu: float,
    sphere: Sphere | None,
    free: Int[np.ndarray, " k"],
) -> Float[np.ndarray, " n"] | None:
    """The damped step of the `free` vertices, others held; None where the linear system is singular."""
    J = sparse_matrix(system, x)[:, free]
    if sphere is not None:
        outward = csc_array(system.scale * (x - sphere.centre)[None, free] / sphere.radius)
        J = vstack([J, outward])
    a = 1e-2 * system.scale  # scales the two halves alike
    rows = len(r)
    whole = csc_array(block_array([[a * eye_array(rows), J], [J.T, -mu / a * eye_array(len(free))]]))
    try:
        found = splu(whole, permc_spec="COLAMD").solve(np.concatenate([r, np.zeros(len(free))]))
    except RuntimeError:
        return None
    step = np.zeros(len(x))
    step[free] = found[rows:]
    return step
