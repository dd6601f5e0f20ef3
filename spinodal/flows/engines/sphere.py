r"""Attention on S^2 in O(n): Funk--Hecke, with spherical transforms at arbitrary points by ducc0.

    e^{b (<x,y> - 1)} = 4 pi sum_l i_l sum_m Y_lm(x) Y_lm^*(y),    i_l = e^{-b} sqrt(pi / 2b) I_{l+1/2}(b),
    Z(x) = 4 pi i_0 a_00 Y_00 + b Y(x),   Y = sum_{l>0} 4 pi (i_l / b) a_lm Y_lm(x),   a_lm = sum_j w_j Y_lm^*(x_j),
and the drift is grad Y / Z for SA, clock * grad Y for USA. i_l / b is written (i_{l-1} - i_{l+1}) / (2l + 1).

The error is absolute, as on the circle: relative to a token's own Z_i it is eps / Z_i, and infinite where Z_i is less.
"""

from functools import lru_cache
from typing import Any, no_type_check

import numpy as np
from ducc0.sht import adjoint_synthesis_general, synthesis_general
from jaxtyping import Complex, Float
from scipy.special import ive

from spinodal.errors import InputError
from spinodal.flows.engines.cells import LEAST, octant
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention, Drift, Law, quotient
from spinodal.loops import compiled, in_parts, use_widest_vectors

TAIL = EPS / 16  # sum of what is left out, relative to the largest value
ACCURACY = 1e-13  # asked of ducc0
BETA_MAX = 1e4  # 1000 degrees
SHARE = 100_000  # tokens that are worth a transform of their own
SCALAR: dict[str, Any] = {"spin": 0, "epsilon": ACCURACY, "nthreads": 1}
GRADIENT = SCALAR | {"spin": 1, "mode": "DERIV1"}


@lru_cache
def degrees(beta: float) -> Float[np.ndarray, " l"]:
    """[i_0, i_1 / b, i_2 / b, ...], as many degrees as the tail of the series needs to be rounding."""
    if beta > BETA_MAX:
        raise InputError(
            f"`beta` {beta:g}: the sphere engine ends at {BETA_MAX:g}; use `engine` 'direct'",
            field=("beta", "engine"),
        )
    L = 32
    while ive(L + 0.5, beta) * L**2 > TAIL**2:
        L *= 2
    l = np.arange(L + 1)
    i = np.sqrt(np.pi / (2 * beta)) * ive(l + 0.5, beta) if beta > 0 else 1.0 * (l == 0)
    slope = (i[:-2] - i[2:]) / (2 * l[1:-1] + 1)
    strength = (2 * l[1:-1] + 1) * slope * np.maximum(l[1:-1], beta)
    tail = np.cumsum(strength[::-1])[::-1]
    return np.append(i[0], slope[: max(1, np.count_nonzero(tail > TAIL))])


@compiled()
@no_type_check
def angles(x, at):
    """at = (theta, phi) of the tokens; phi = 0 at the poles."""
    use_widest_vectors()
    for j in range(at.size // 2):
        c, s, z = x[3 * j], x[3 * j + 1], x[3 * j + 2]
        square = c * c + s * s
        rho = np.sqrt(square)
        theta = octant(z, rho) + np.pi / 8
        theta = theta if rho <= abs(z) else np.pi / 2 - theta
        at[2 * j] = theta if z >= 0 else np.pi - theta
        scale = 1 / max(rho, 1e-200)
        c = c * scale if square > 0 else 1.0
        s *= scale
        phi = octant(c, s) + np.pi / 8
        phi = phi if abs(s) <= abs(c) else np.pi / 2 - phi
        phi = phi if c >= 0 else np.pi - phi
        at[2 * j + 1] = phi if s >= 0 else 2 * np.pi - phi


@compiled()
@no_type_check
def fill_drift(x, Y, along, across, constants, drift, Z, error):
    """Z = i_0 + beta Y; drift = rate (e_theta dY/dtheta + e_phi dY/dphi / sin theta).

    Where Z is not certainly larger than its error, the drift is 0 and its bound infinite.
    """
    i0, beta, clock, noise = constants
    for j in range(Z.size):
        c, s, z = x[3 * j], x[3 * j + 1], x[3 * j + 2]
        rho = np.sqrt(c * c + s * s)
        c, s = (c / rho, s / rho) if rho > 0 else (1.0, 0.0)
        Z[j] = max(i0 + beta * Y[j], 2 * noise)
        f = 1 / Z[j] if clock == 0 else clock
        known = Z[j] > 2 * noise
        a, b = (f * along[j], f * across[j]) if known else (0.0, 0.0)
        drift[3 * j] = a * z * c - b * s
        drift[3 * j + 1] = a * z * s + b * c
        drift[3 * j + 2] = -a * rho
        error[j] = 2 * noise * f if known else np.inf


def located(x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """(theta, phi) of the tokens."""
    n, flat, at = len(x), np.ascontiguousarray(x).reshape(-1), np.empty((len(x), 2))
    in_parts(lambda a, b: angles(flat[3 * a : 3 * b], at[a:b].reshape(-1)), n, LEAST)
    return at


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
    """dx/dt = grad Y(x) / Z(x), or clock * grad Y(x)."""
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
    """Z is linear in the weights, so sum_j w_j e^{b (<x_i, x_j> - 1)} x_jk is the Z of the weights w_j x_jk."""
    n, at, L, beta = len(x), located(x), len(degrees(kernel.top)) - 1, kernel.top

    def potential(w: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        mean, alm = expand(at, w, beta)
        Y = lambda a, b: synthesis_general(alm=alm[None], loc=at[a:b], lmax=L, **SCALAR)[0]
        return mean + beta * np.concatenate(in_parts(Y, n, SHARE))

    Z, *sums = map(potential, (weights, *(weights * x.T)))
    return quotient(np.stack(sums, 1), Z, 2 * rounding(n), x, beta)


def drift_cost(problem: Problem) -> float:
    return 600 + 12 * problem.beta + 0.2 * problem.n


def average_cost(problem: Problem) -> float:
    return 4 * drift_cost(problem)


ENGINE = Engine(
    "sphere",
    average=Routine(average, average_cost, BETA_MAX),
    drift=Routine(drift, drift_cost, BETA_MAX),
    d=3,
)
