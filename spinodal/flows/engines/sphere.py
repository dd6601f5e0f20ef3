r"""Attention on S^2 in O(n): Funk--Hecke, with spherical transforms at arbitrary points by cells or by ducc0.

    e^{b (<x,y> - 1)} = 4 pi sum_l i_l sum_m Y_lm(x) Y_lm^*(y),    i_l = e^{-b} sqrt(pi / 2b) I_{l+1/2}(b),
    Z(x) = 4 pi i_0 a_00 Y_00 + b Y(x),   Y = sum_{l>0} 4 pi (i_l / b) a_lm Y_lm(x),   a_lm = sum_j w_j Y_lm^*(x_j),
and the drift is grad Y / Z for SA, clock * grad Y for USA. i_l / b has a limit at b = 0.

The error is absolute, as on the circle: relative to a token's own Z_i it is eps / Z_i, and infinite where Z_i is less.
"""

from typing import Any, no_type_check

import numpy as np
from ducc0.sht import adjoint_synthesis_general, synthesis_general
from jaxtyping import Complex, Float

from spinodal.flows.engines.cells import LEAST
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention, Drift, Law, quotient
from spinodal.flows.engines.sphere_cells import (
    BETA_MAX,
    cell_moments,
    coefficients,
    deal_tokens,
    degrees,
    fill_values,
    grid,
    rounding_by_cells,
    sums,
)
from spinodal.flows.engines.sphere_loops import POLAR, angles, take
from spinodal.loops import compiled, in_parts, use_widest_vectors

ACCURACY = 1e-13  # asked of ducc0
CELLS_BETA_MAX = 100.0  # beyond, tables of harmonics take more than 50 MB
SHARE = 100_000  # tokens that are worth a transform of their own
SCALAR: dict[str, Any] = {"spin": 0, "epsilon": ACCURACY, "nthreads": 1}
GRADIENT = SCALAR | {"spin": 1, "mode": "DERIV1"}


@compiled()
@no_type_check
def fill_drift(x, Y, along, across, constants, drift, Z, error):
    """Z = i_0 + beta Y; drift = rate (e_theta dY/dtheta + e_phi dY/dphi / sin theta).

    Where Z is not certainly larger than its error, the drift is 0 and its bound infinite.
    """
    use_widest_vectors()
    i0, beta, clock, noise = constants
    for j in range(Z.size):
        c, s, z = x[3 * j], x[3 * j + 1], x[3 * j + 2]
        rho = np.sqrt(c * c + s * s)
        scale = 1 / max(rho, POLAR)
        c, s = (c * scale, s * scale) if rho > POLAR else (1.0, 0.0)
        Z[j] = max(i0 + beta * Y[j], 2 * noise)
        f = 1 / Z[j] if clock == 0 else clock
        known = Z[j] > 2 * noise
        a, b = (f * along[j], f * across[j]) if known else (0.0, 0.0)
        drift[3 * j] = a * z * c - b * s
        drift[3 * j + 1] = a * z * s + b * c
        drift[3 * j + 2] = -a * rho
        error[j] = 2 * noise * f if known else np.inf


@compiled()
@no_type_check
def fill_chunk(x, tokens, where, scale, constants, drift, Z, error):
    """`fill_drift` with Y and its slopes read from the rows of `tokens`, whose memory `drift` may share."""
    Y, along, across = np.empty(where.size), np.empty(where.size), np.empty(where.size)
    take(tokens, where, Y, along, across)
    for j in range(where.size):
        along[j] *= scale
    fill_drift(x, Y, along, across, constants, drift, Z, error)


def located(x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """(theta, phi) of the tokens."""
    n, flat, at = len(x), np.ascontiguousarray(x).reshape(-1), np.empty((2, len(x)))
    in_parts(lambda a, b: angles(flat[3 * a : 3 * b], *at[:, a:b]), n, LEAST)
    return at.T


def expand(
    at: Float[np.ndarray, "n 2"], weights: Float[np.ndarray, " n"], beta: float
) -> tuple[float, Complex[np.ndarray, " k"]]:
    """(4 pi i_0 a_00 Y_00, 4 pi (i_l / b) a_lm of Y).

    Parts of the tokens are summed in their order, each on one thread: on more, ducc0's sums have no fixed order.
    """
    i = 4 * np.pi * degrees(beta)
    L = len(i) - 1
    parts = in_parts(
        lambda a, b: adjoint_synthesis_general(map=weights[None, a:b], loc=at[a:b], lmax=L, **SCALAR),
        len(at),
        SHARE,
    )
    alm = np.sum(parts, 0)
    l = np.concatenate([np.arange(m, L + 1) for m in range(L + 1)])
    return float(alm[0, 0].real * i[0] / np.sqrt(4 * np.pi)), alm[0] * np.where(l > 0, i[l], 0)


def drift(x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], law: Law) -> Drift:
    """dx/dt = grad Y(x) / Z(x), or clock * grad Y(x), by the cheaper of two ways."""
    n, beta = weights.size, law.beta
    return (by_cells if cells_cost(n, beta) < harmonics_cost(n, beta) else by_harmonics)(x, weights, law)


def by_cells(x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], law: Law) -> Drift:
    """The drift by moments of cells and polynomials in cells: for many tokens, and beta that few cells resolve."""
    n, g, flat = len(x), grid(law.beta), np.ascontiguousarray(x).reshape(-1)
    at = deal_tokens(flat, np.ascontiguousarray(weights), g.N)
    alm = sums(g, cell_moments(g, at))
    mean = float(alm[0, 0, 0] * g.i[0] * np.sqrt(4 * np.pi))
    fill_values(coefficients(g, alm * (4 * np.pi * np.append(0, g.i[1:]))[:, None]), at)
    velocity, Z, error = at.tokens.reshape(-1)[: 3 * n], at.s[:n], at.t[:n]
    constants = (mean, law.beta, law.clock or 0.0, rounding_by_cells(n, g))
    chunks, size = at.where.shape

    def fill(start: int, stop: int) -> None:
        for k in range(start, stop):
            a, b = k * size, min(n, (k + 1) * size)
            out = velocity[3 * a : 3 * b], Z[a:b], error[a:b]
            fill_chunk(
                flat[3 * a : 3 * b], at.tokens[k], at.where[k, : b - a], 2 * g.N / np.pi, constants, *out
            )

    in_parts(fill, chunks, 1)
    return Drift(velocity.reshape(n, 3), Z, error)


def by_harmonics(x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], law: Law) -> Drift:
    """The drift by transforms of ducc0: for few tokens, and any beta."""
    n, at, L = len(x), located(x), len(degrees(law.beta)) - 1
    mean, alm = expand(at, weights, law.beta)
    flat = np.ascontiguousarray(x).reshape(-1)
    velocity, Z, error = np.empty(3 * n), np.empty(n), np.empty(n)
    constants = (mean, law.beta, law.clock or 0.0, rounding(n))

    def fill(a: int, b: int) -> None:
        there = {"alm": alm[None], "loc": at[a:b], "lmax": L}
        Y = synthesis_general(**there, **SCALAR)[0]
        along, across = synthesis_general(**there, **GRADIENT)
        fill_drift(
            flat[3 * a : 3 * b], Y, along, across, constants, velocity[3 * a : 3 * b], Z[a:b], error[a:b]
        )

    in_parts(fill, n, SHARE)
    return Drift(velocity.reshape(n, 3), Z, error)


def rounding(n: int) -> float:
    """Error of such a sum over n tokens, in units of the largest value that it could have."""
    return 8 * ACCURACY + EPS * np.sqrt(n)


def average(kernel: Kernel, x: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i and log Z_i, from the Z of the weights w_j and of the d sets of weights w_j x_jk.

    Z is linear in the weights, so that the latter are sum_j w_j e^{b (<x_i, x_j> - 1)} x_jk.
    """
    n, at, L, beta = len(x), located(x), len(degrees(kernel.top)) - 1, kernel.top

    def potential(w: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        mean, alm = expand(at, w, beta)
        Y = lambda a, b: synthesis_general(alm=alm[None], loc=at[a:b], lmax=L, **SCALAR)[0]
        return mean + beta * np.concatenate(in_parts(Y, n, SHARE))

    Z, *sums = map(potential, (weights, *(weights * x.T)))
    return quotient(np.stack(sums, 1), Z, 2 * rounding(n), x, beta)


def harmonics_cost(n: int, beta: float) -> float:
    """Microseconds of a drift by transforms of ducc0."""
    return 600 + 12 * beta + 0.2 * n


def cells_cost(n: int, beta: float) -> float:
    """Microseconds of a drift by cells: their number grows with beta, that of waves in each with its root."""
    return 900 + 60 * beta**1.5 + 0.07 * n if beta <= CELLS_BETA_MAX else np.inf


def drift_cost(problem: Problem) -> float:
    return min(harmonics_cost(problem.n, problem.beta), cells_cost(problem.n, problem.beta))


def average_cost(problem: Problem) -> float:
    return 4 * harmonics_cost(problem.n, problem.beta)


ENGINE = Engine(
    "sphere",
    average=Routine(average, average_cost, BETA_MAX),
    drift=Routine(drift, drift_cost, BETA_MAX),
    d=3,
)
