r"""Attention on the circle with tokens as sorted angles: `circle`, without arcsines and square roots.

    y_i = theta_i + sum_s a_s k_si,    y_i' = v Y'(y_i) / Z(y_i)  (SA),    v clock Y'(y_i)  (USA),

with Y and Z of `circle`. One pass makes y and its moments, another the drift and its norms. Sorted tokens of
one cell are a run of consecutive tokens, over which its moments and coefficients stay in registers. Where
runs are short, tokens are taken one by one, as `cells` does.

    symbol   meaning                                                     shape
    theta    angles, in cyclic order; any multiple of 2 pi may be added  n
    k, a     stages, in rows of any order, and their coefficients        s n, s
    y        angles moved by them                                        n
    masses   weights over `unit`; None where all are 1                   n
"""

import math
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int

from spinodal.flows.engines.cells import (
    BLOCK,
    LEAST,
    MOMENTS,
    WIDTH,
    modes_of_moments,
    polynomial,
    rounding,
    scatter,
    table,
    whole_masses,
)
from spinodal.flows.engines.circle import plan
from spinodal.flows.engines.law import Law
from spinodal.loops import ROUND, compiled, in_parts, plus, use_widest_vectors

RUN = 16  # tokens of a cell, on average, from which they are a loop of their own
Angles = Float[np.ndarray, " n"]
Stages = tuple[Float[np.ndarray, "r n"], Int[np.ndarray, " r"]]  # rows, and which of them is stage j


class AngularDrift(NamedTuple):
    """|F|, the bound on the error of F, and the largest |F_i| and bound of a token (inf where one is not known)."""

    speed: float
    doubt: float
    top: float
    bound: float


@compiled(fastmath={"contract"})
@no_type_check
def six_stages(k, a):
    """(rows, coefficients) of the stages with coefficients other than 0, at most six in a sum of the method.

    Where there are fewer, the last row is repeated with a coefficient of 0.
    """
    rows, order = k
    index, factor, count = np.zeros(6, np.int64), np.zeros(6), 0
    for j in range(a.size):
        if a[j] != 0 and count < 6:  # where a number is not finite all may count, and any six tell
            index[count], factor[count] = order[j], a[j]
            count += 1
    for j in range(max(count, 1), 6):
        index[j] = index[j - 1]
    i, j, k, m, n, p = index[0], index[1], index[2], index[3], index[4], index[5]
    return (rows[i], rows[j], rows[k], rows[m], rows[n], rows[p]), factor


@compiled(fastmath={"contract"})
@no_type_check
def move(theta, six, y, start, stop):
    """y = theta + sum_j a_j k_j of the entries from start to stop, in one loop over all arrays at once."""
    use_widest_vectors()
    (k0, k1, k2, k3, k4, k5), a = six
    a0, a1, a2, a3, a4, a5 = a[0], a[1], a[2], a[3], a[4], a[5]
    for i in range(start, stop):
        y[i] = theta[i] + (a0 * k0[i] + a1 * k1[i] + a2 * k2[i] + a3 * k3[i] + a4 * k4[i] + a5 * k5[i])


@compiled(fastmath={"contract"})
@no_type_check
def largest_sum(k, a, start, stop):
    """max_i |sum_j a_j k_ji| of the entries from start to stop, as `move` sums; nan where one is nan."""
    use_widest_vectors()
    (k0, k1, k2, k3, k4, k5), a = six_stages(k, a)
    a0, a1, a2, a3, a4, a5 = a[0], a[1], a[2], a[3], a[4], a[5]
    top = np.int64(0)
    for i in range(start, stop):
        v = a0 * k0[i] + a1 * k1[i] + a2 * k2[i] + a3 * k3[i] + a4 * k4[i] + a5 * k5[i]
        # positive doubles, and nan above them, have the order of their bits
        top = max(top, np.float64(abs(v)).view(np.int64))
    return np.int64(top).view(np.float64)


@compiled(fastmath={"contract"})
@no_type_check
def move_all(theta, k, a, y, start, stop):
    """y = theta + sum_j a_j k_j of the entries from start to stop, without moments of y."""
    move(theta, six_stages(k, a), y, start, stop)


@compiled()
@no_type_check
def place(y, M, cell, off):
    """Cell and offset of each angle; returns how many tokens lie in another cell than the one before."""
    use_widest_vectors()
    scale, width, mask = M / (2 * np.pi), 2 * np.pi / M, np.int32(M - 1)
    for j in range(y.size):
        t = y[j] * scale
        z = t + ROUND
        off[j] = (t - (z - ROUND)) * width
        cell[j] = np.int32(np.float64(z).view(np.int64)) & mask
    changes = np.int32(0)
    for j in range(1, y.size):
        changes += np.int32(cell[j] != cell[j - 1])
    return changes


@compiled()
@no_type_check
def end_of_run(cell, start):
    """The first token after `start` in another cell, found by steps that double and then halve."""
    c, low, step = cell[start], start, 8
    while low + step < cell.size and cell[low + step] == c:
        low += step
        step *= 2
    high = min(low + step, cell.size)
    while high - low > 1:
        middle = (low + high) // 2
        if cell[middle] == c:
            low = middle
        else:
            high = middle
    return high


@compiled()
@no_type_check
def add_run(off, masses, start, stop, moments, c):
    """moments[c + p] += sum_j w_j off_j^p of a run; moments[c + MOMENTS] += rounding error of the mass."""
    use_widest_vectors()
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = 0.0
    for j in range(start, stop):
        s = off[j]
        p0 = 1.0 if masses is None else masses[j]
        s2 = s * s
        p1 = p0 * s
        p4 = p0 * s2 * s2
        a0 = plus(a0, p0)
        a1 = plus(a1, p1)
        a2 = plus(a2, p0 * s2)
        a3 = plus(a3, p1 * s2)
        a4 = plus(a4, p4)
        a5 = plus(a5, p4 * s)
        a6 = plus(a6, p4 * s2)
    before = moments[c]
    mass = before + a0
    virtual = mass - before
    moments[c + MOMENTS] += (before - (mass - virtual)) + (a0 - virtual)
    moments[c] = mass
    moments[c + 1] += a1
    moments[c + 2] += a2
    moments[c + 3] += a3
    moments[c + 4] += a4
    moments[c + 5] += a5
    moments[c + 6] += a6


@compiled()
@no_type_check
def move_and_collect(theta, k, a, y, masses, M, start, stop):
    """Moves the angles from start to stop, where there are stages; returns the moments of y, cell after cell."""
    cell, off, moments = np.empty(BLOCK, np.int32), np.empty(BLOCK), np.zeros(M * WIDTH)
    ones, six = np.ones(BLOCK), six_stages(k, a)
    for b in range(start, stop, BLOCK):
        e = min(stop, b + BLOCK)
        size = e - b
        if a.size > 0:
            move(theta, six, y, b, e)
        changes = place(y[b:e], M, cell[:size], off[:size])
        w = None if masses is None else masses[b:e]
        if changes * RUN < size:
            j = 0
            while j < size:
                f = end_of_run(cell[:size], j)
                add_run(off, w, j, f, moments, np.int64(cell[j]) * WIDTH)
                j = f
        elif masses is None:
            scatter(cell[:size], off[:size], ones, 1.0, moments)
        else:
            scatter(cell[:size], off[:size], masses[b:e], 1.0, moments)
    return moments


@compiled()
@no_type_check
def fill_run(a, c, off, start, stop, y, slope):
    """`polynomial` and its derivative at the tokens of a run."""
    use_widest_vectors()
    a0, a1, a2, a3, a4, a5, a6, a7 = (
        a[c],
        a[c + 1],
        a[c + 2],
        a[c + 3],
        a[c + 4],
        a[c + 5],
        a[c + 6],
        a[c + 7],
    )
    for j in range(start, stop):
        s = off[j]
        g = a7
        f = g * s + a6
        g = g * s + f
        f = f * s + a5
        g = g * s + f
        f = f * s + a4
        g = g * s + f
        f = f * s + a3
        g = g * s + f
        f = f * s + a2
        g = g * s + f
        f = f * s + a1
        y[j] = f * s + a0
        slope[j] = g * s + f


@compiled()
@no_type_check
def fill_rates(y, slope, constants, rate):
    """The drift of a block.

    Returns the sums of its squares and of clocks squared, the number of tokens whose Z is unknown, and the bits of the
    largest |drift| and clock.
    """
    use_widest_vectors()
    J0, beta, clock, value, floor = constants
    squares = clocks = unknown = 0.0
    top = fastest = np.int64(0)
    for j in range(rate.size):
        z = J0 + beta * y[j]
        unknown = plus(unknown, 0.0 if z > floor else 1.0)
        f = 1 / max(z, floor) if clock == 0 else clock
        v = value * f * slope[j]
        rate[j] = v
        squares = plus(squares, v * v)
        clocks = plus(clocks, f * f)
        top = max(top, np.float64(abs(v)).view(np.int64))
        fastest = max(fastest, np.float64(f).view(np.int64))
    return squares, clocks, unknown, top, fastest


@compiled()
@no_type_check
def drift_in_cells(y, a, M, constants, rate, start, stop):
    """Fills the drift of the angles from start to stop; returns the numbers of `fill_rates` as doubles."""
    cell, off, f, slope = np.empty(BLOCK, np.int32), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    squares = clocks = unknown = 0.0
    top = fastest = np.int64(0)
    for b in range(start, stop, BLOCK):
        e = min(stop, b + BLOCK)
        size = e - b
        if place(y[b:e], M, cell[:size], off[:size]) * RUN < size:
            j = 0
            while j < size:
                end = end_of_run(cell[:size], j)
                fill_run(a, np.int64(cell[j]) * WIDTH, off, j, end, f, slope)
                j = end
        else:
            for j in range(size):
                f[j], slope[j] = polynomial(a, cell[j], off[j])
        q, p, u, v, c = fill_rates(f[:size], slope[:size], constants, rate[b:e])
        squares, clocks, unknown = squares + q, clocks + p, unknown + u
        top, fastest = max(top, v), max(fastest, c)
    return squares, clocks, unknown, np.int64(top).view(np.float64), np.int64(fastest).view(np.float64)


def unit_masses(weights: Angles) -> tuple[Angles | None, float]:
    """(masses, unit), weights = masses unit; None for masses that are all 1, whose sums are exact."""
    if (weights == weights[0]).all():
        return None, float(weights[0])
    return len(weights) * weights, 1 / len(weights)


def drift_along(
    theta: Angles,
    stages: tuple[Stages, Float[np.ndarray, " s"]],
    weights: tuple[Angles | None, float],
    law: Law,
    value: float,
    out: tuple[Angles, Angles],
) -> AngularDrift:
    """y = theta + sum_s a_s k_s and dy/dt = value Y'(y) / Z(y), or value clock Y'(y), into `out` = (y, dy/dt).

    Without coefficients y is to be theta itself. Weights are (masses, unit), as `unit_masses` has them. The bound of a
    token is that of `circle`, and inf for all where one has a Z that is not certainly above its error.
    """
    n, (k, a), (y, rate), (masses, unit) = len(theta), stages, out, weights
    J0, Y, M = plan(law.beta)
    parts = in_parts(lambda p, q: move_and_collect(theta, k, a, y, masses, M, p, q), n, LEAST)
    m = unit * modes_of_moments(whole_masses(np.sum(parts, 0)), len(Y))
    coefficients = table(np.append(0.0, Y * m[1:]), M)
    floor = 2 * rounding(n)
    constants = (J0 * m[0].real, law.beta, law.clock or 0.0, value, floor)
    parts = in_parts(lambda p, q: drift_in_cells(y, coefficients, M, constants, rate, p, q), n, LEAST)
    squares, clocks, unknown = (math.fsum(part[i] for part in parts) for i in range(3))
    top, fastest = (max(part[i] for part in parts) for i in (3, 4))
    error = math.inf if unknown else floor * abs(value)
    return AngularDrift(math.sqrt(squares), error * math.sqrt(clocks), top, error * fastest)
