r"""Attention on the circle in O(n): Jacobi--Anger, with sums over tokens and values at tokens by `cells`.

    e^{b (cos phi - 1)} = J_0 + 2 sum_k J_k cos k phi,   J_k = e^{-b} I_k(b),
    Z(theta) = J_0 + b Y(theta),   Y = Re sum_k (2 J_k / b) m_k^* e^{ik theta},   m_k = sum_j w_j e^{ik theta_j},
and the drift along the circle is Y' / Z for SA and clock * Y' for USA [derived]. J_k / b
is written (J_{k-1} - J_{k+1}) / 2k, which holds at b = 0 too. With b < 0 all is scaled by e^b, I_k(b) =
(-1)^k I_k(-b), and J_k / b has the sign (-1)^(k+1).

The error is absolute, a few eps of the largest Z possible. Relative to a token's own Z_i it is
eps / Z_i: large for a token on its own, and larger than the drift itself in a metastable state. A light token far from
all mass has a Z_i below that error: its bound is infinite, and the choice of engines computes it again in logarithms.

With matrices the kernel e^{x^T A y} is band-limited in both angles: e^{x^T A y} = sum_kl C_kl e^{i(k theta + l phi)}.
"""

from functools import lru_cache
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Complex, Float
from scipy.special import ive

from spinodal.errors import InputError
from spinodal.flows.engines.cells import (
    BLOCK,
    LEAST,
    WIDTH,
    cells,
    locate,
    modes,
    polynomial,
    rounding,
    table,
)
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel, square
from spinodal.flows.engines.law import EPS, Attention, Drift, Law, quotient
from spinodal.loops import compiled, in_parts

TAIL = EPS / 16  # sum of what is left out, relative to the largest value
BETA_MAX = 1e5  # 65536 cells
COUPLING_MAX = 2e3  # a coupling matrix of about 1000 x 1000 modes


class Plan(NamedTuple):
    """The constants for one beta: J_0, Y_k = 2 J_k / b for k = 1..K, and M, the number of cells."""

    J0: float
    Y: Float[np.ndarray, " k"]
    M: int


@lru_cache
def plan(beta: float) -> Plan:
    """The modes and cells for one beta: as many modes as the tail of the series needs to be rounding."""
    size = abs(beta)
    if size > BETA_MAX:
        raise InputError(
            f"`beta` {beta:g}: the circle engine ends at {BETA_MAX:g}; use `engine` 'direct'",
            field=("beta", "engine"),
        )
    K = 32
    while ive(K, size) * K > TAIL**2:
        K *= 2
    k = np.arange(1, K)
    Y = (ive(k - 1, size) - ive(k + 1, size)) / k
    strength = Y * np.maximum(k, size)  # of Y' and of Z
    tail = np.cumsum(strength[::-1])[::-1]
    Y = Y[: max(1, np.count_nonzero(tail > TAIL))]
    signs = (-1.0) ** np.arange(len(Y)) if beta < 0 else 1.0
    return Plan(float(ive(0, size)), signs * Y, cells(np.append(0.0, strength[: len(Y)])))


@compiled()
@no_type_check
def fill_drift(x, a, cell, off, constants, drift, Z, error):
    """Z = J_0 + beta Y; the drift along the unit tangent (-y, x) is rate Y'. One loop fills both and `error`.

    Where Z is not certainly larger than its error, the drift is 0 and its bound infinite.
    """
    J0, beta, clock, noise = constants
    for j in range(off.size):
        y, slope = polynomial(a, cell[j], off[j])
        z = max(J0 + beta * y, 2 * noise)
        rate = 1 / z if clock == 0 else clock
        known = z > 2 * noise
        slope = slope if known else 0.0
        Z[j] = z
        error[j] = 2 * noise * rate if known else np.inf
        drift[2 * j] = -rate * slope * x[2 * j + 1]
        drift[2 * j + 1] = rate * slope * x[2 * j]


@compiled()
@no_type_check
def drift_and_bound(x, a, M, constants, drift, Z, error, start, stop):
    """Fills drift, Z, error of the tokens from start to stop; constants = (J_0, beta, clock, noise)."""
    cell, off = np.empty(BLOCK, np.int32), np.empty(BLOCK)
    for b in range(start, stop, BLOCK):
        e = min(stop, b + BLOCK)
        locate(x[2 * b : 2 * e], M, cell[: e - b], off[: e - b])
        fill_drift(
            x[2 * b : 2 * e],
            a,
            cell[: e - b],
            off[: e - b],
            constants,
            drift[2 * b : 2 * e],
            Z[b:e],
            error[b:e],
        )


@compiled()
@no_type_check
def looked_up(a, cell, off):
    """sum_p a_cp s^p at each token: the function with coefficients a, from the cell c and the offset s."""
    f = np.empty(off.size)
    for j in range(off.size):
        f[j], _ = polynomial(a, cell[j], off[j])
    return f


def coupled_mean(
    x: Float[np.ndarray, "n 2"], weights: Float[np.ndarray, " n"], coupling: Float[np.ndarray, "2 2"]
) -> Attention:
    """Z_i^-1 sum_j w_j e^{x_i^T A x_j} x_j for any coupling A = b Q^T K, in O(n).

    Values follow by linearity: V times this mean.
    """
    n = len(x)
    top = float(np.linalg.norm(coupling, 2))
    C = coupling_modes(coupling, top)
    K = len(C) // 2
    of_targets, of_sources = np.abs(C).sum(1)[K:], np.abs(C).sum(0)[K:]
    M = cells(2 * (of_targets + of_sources))
    m = modes(x, weights, K + 1, M).conj()
    m = np.concatenate([m[:0:-1].conj(), m])  # m_k = sum_j w_j e^{ik theta_j}, k = -K-1..K+1
    sums = C[K:] @ np.stack([m[1:-1], (m[2:] + m[:-2]) / 2, (m[2:] - m[:-2]) / 2j], 1)
    sums[1:] *= 2
    Z, X, Y = (values(x, table(f, M)) for f in sums.T)
    return quotient(np.stack([X, Y], 1), Z, rounding(n) * (4 + 2 * top), np.zeros((n, 2)), top)


def coupling_modes(A: Float[np.ndarray, "2 2"], top: float) -> Complex[np.ndarray, "k l"]:
    """C_kl of e^{x^T A y - top} = sum_kl C_kl e^{i(k theta + l phi)}, k, l = -K..K, until the tail is rounding.

    The exponent has a rounding error of top eps, so that the tail of the sums of |C_kl| stays at that level.
    """
    if top > COUPLING_MAX:
        raise InputError(
            f"|beta Q^T K| = {top:g}: the circle engine ends at {COUPLING_MAX:g}; use `engine` 'direct'",
            field="engine",
        )
    tail, N = EPS * (1 + top / 8), 32
    while True:
        angle = 2 * np.pi * np.arange(N) / N
        circle = np.stack([np.cos(angle), np.sin(angle)])
        C = np.fft.fftshift(np.fft.fft2(np.exp(circle.T @ A @ circle - top))) / N**2
        edge = np.maximum(np.abs(C).sum(0), np.abs(C).sum(1))
        K = N // 2 - 1
        if edge[0] + edge[1] < 8 * tail:
            break
        N *= 2
    C = C[1:, 1:]  # -N/2 has no partner
    keep = np.flatnonzero(edge[1 + K :] > tail).max()
    return C[K - keep : K + keep + 1, K - keep : K + keep + 1]


def values(x: Float[np.ndarray, "n 2"], a: Float[np.ndarray, " c"]) -> Float[np.ndarray, " n"]:
    """The function with these coefficients, at the tokens."""
    cell, off = np.empty(len(x), np.int32), np.empty(len(x))
    locate(np.ascontiguousarray(x).reshape(-1), len(a) // WIDTH - 1, cell, off)
    return looked_up(a, cell, off)


def drift(x: Float[np.ndarray, "n 2"], weights: Float[np.ndarray, " n"], law: Law) -> Drift:
    """dtheta/dt = Y'(theta) / Z(theta), or clock * Y'(theta)."""
    n = len(x)
    J0, Y, M = plan(law.beta)
    m = modes(x, weights, len(Y), M)
    a = table(np.append(0.0, Y * m[1:]), M)
    room = np.empty(
        4 * n
    )  # in one piece: three would be returned to the system and faulted in again at each call
    velocity, Z, error = room[: 2 * n], room[2 * n : 3 * n], room[3 * n :]
    constants = (J0 * m[0].real, law.beta, law.clock or 0.0, rounding(n))
    flat = np.ascontiguousarray(x).reshape(-1)
    in_parts(
        lambda start, stop: drift_and_bound(flat, a, M, constants, velocity, Z, error, start, stop), n, LEAST
    )
    return Drift(velocity.reshape(n, 2), Z, error)


def average(kernel: Kernel, x: Float[np.ndarray, "n 2"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i = (sum_j p_ij x_j) - x_i, of any Q^T K."""
    mean = coupled_mean(x, weights, kernel.beta * square(kernel.coupling))
    return Attention(mean.shift - x, mean.log_partition, mean.error_bound)


def drift_cost(problem: Problem) -> float:
    return 120 + 3 * min(abs(problem.beta), 300) + 0.01 * problem.n


def average_cost(problem: Problem) -> float:
    return 300 + 30 * abs(problem.beta) + 0.05 * problem.n


ENGINE = Engine(
    "circle",
    average=Routine(average, average_cost, COUPLING_MAX),
    drift=Routine(drift, drift_cost, BETA_MAX),
    d=2,
    matrices=True,
    negative=True,
)
