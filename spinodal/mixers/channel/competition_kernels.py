r"""Competition of phases with its layer norm, and the gradient of both: one token after another, float32.

Departures sum to zero over phases, so that their mean is zero: the layer norm is a division by the root of their mean
square, and costs no pass over memory. With d_j = P r_j - 1, Q = mean_j d_j^2, s = (mean_e z^2 Q + eps)^{-1/2}, g the
gradient in the result s z d, D = sum_j g_j d_j, c = s mean_e (z D) / P and w = s z P c  [derived]:

    dz = s (D - w Q)        da_j = b s z r_j (P g_j - w d_j - D + w Q - sum_j g_j)

    symbol  meaning                                                          shape
    za      z and the maps a_j, one phase after another                      t p e
    k, m    log2 K_j, 0 for the last phase; the largest over phases          p w, w
    d, Q    departures from the feed in units of it, and their mean square   p w, w
    b       STEEPNESS: the log partition factors are b a_j

Rows of work are w numbers long, e rounded up to whole vectors: loops over them have no remainder.
"""

import math
from typing import no_type_check

import numpy as np

from spinodal.loops import compiled, plus, use_widest_vectors
from spinodal.mixers.channel.gates import STEEPNESS

PLAIN = {"contract"}  # a nan stays one
LANES = 16  # float32 numbers of the widest vector
ZERO, ONE, EPS = np.float32(0.0), np.float32(1.0), np.float32(1e-5)
B, LOG2K = np.float32(STEEPNESS), np.float32(STEEPNESS / math.log(2))
ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits
LEAST = np.float32(-126.0)
T1, T2, T3, T4, T5, T6 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(1, 7))  # of 2^f


@compiled(inline="always", fastmath=PLAIN)
@no_type_check
def power_of_two(y):
    """2^y for y <= 0 to float32 rounding; below y = -126 it is 2^-126."""
    y = LEAST if y < LEAST else y
    n = y + ROUND
    f = y - (n - ROUND)
    p = ONE + f * (T1 + f * (T2 + f * (T3 + f * (T4 + f * (T5 + f * T6)))))
    exponent = (np.float32(n).view(np.int32) + np.int32(127)) << np.int32(23)
    return p * np.int32(exponent).view(np.float32)


@compiled(fastmath=PLAIN)
@no_type_check
def read(row, z, k, m):
    """Fills z, k = log2 K and m, the largest log2 K over all phases, from the row of `za` of one token."""
    for e in range(row.shape[1]):
        z[e] = row[0, e]
        m[e] = ZERO
    for j in range(1, len(row)):
        for e in range(row.shape[1]):
            y = LOG2K * row[j, e]
            k[j - 1, e] = y
            m[e] = m[e] if y < m[e] else y


@compiled(fastmath=PLAIN)
@no_type_check
def split(k, m, d, Q):
    """Fills d and Q of one token from k and m, which it overwrites.

    Q is summed from d, since P sum_j r_j^2 - 1 would lose the mean square of small d to rounding.
    """
    use_widest_vectors()
    phases = np.float32(len(k))
    for e in range(len(m)):
        Q[e] = ZERO
    for j in range(len(k)):
        above, share = k[j], d[j]
        for e in range(len(m)):
            share[e] = power_of_two(above[e] - m[e])
            Q[e] += share[e]
    for e in range(len(m)):
        m[e] = phases / Q[e]
        Q[e] = ZERO
    for j in range(len(k)):
        share = d[j]
        for e in range(len(m)):
            share[e] = share[e] * m[e] - ONE
            Q[e] += share[e] * share[e]
    for e in range(len(m)):
        Q[e] /= phases


@compiled(fastmath=PLAIN)
@no_type_check
def scale(z, Q, features):
    """s = (mean_e z^2 Q + eps)^{-1/2} of one token."""
    use_widest_vectors()
    total = ZERO
    for e in range(len(z)):
        total = plus(total, z[e] * z[e] * Q[e])
    return ONE / np.sqrt(total / np.float32(features) + EPS)


@compiled(fastmath=PLAIN)
@no_type_check
def workspace(phases, features):
    """Work arrays: k and d [p w], and five rows [5 w] for z, m and others, all zero.

    Numbers behind the last feature add nothing to sums: those of z stay zero, the others finite.
    """
    width = -(-features // LANES) * LANES
    shares = np.zeros((2, phases, width), np.float32)
    return shares[0], shares[1], np.zeros((5, width), np.float32)


@compiled(fastmath=PLAIN)
@no_type_check
def forward(za, y, start, stop):
    """Writes y = s z d for the tokens [start, stop)."""
    P, E = za.shape[1:]
    k, d, rows = workspace(P, E)
    z, m, Q = rows[0], rows[1], rows[2]
    for i in range(start, stop):
        out = y[i]
        read(za[i], z, k, m)
        split(k, m, d, Q)
        s = scale(z, Q, E)
        for e in range(E):
            z[e] *= s
        for j in range(P):
            for e in range(E):
                out[j, e] = z[e] * d[j, e]


@compiled(fastmath=PLAIN)
@no_type_check
def backward(za, g, dza, start, stop):
    """Writes dz and da_j, one after another, into `dza` for the tokens [start, stop)."""
    P, E = za.shape[1:]
    k, d, rows = workspace(P, E)
    z, m, Q, D, G = rows[0], rows[1], rows[2], rows[3], rows[4]
    phases = np.float32(P)
    for i in range(start, stop):
        grad, out = g[i], dza[i]
        read(za[i], z, k, m)
        split(k, m, d, Q)
        s = scale(z, Q, E)
        for e in range(E):
            D[e] = G[e] = ZERO
        for j in range(P):
            for e in range(E):
                D[e] += grad[j, e] * d[j, e]
                G[e] += grad[j, e]
        c = ZERO
        for e in range(E):
            c = plus(c, z[e] * D[e])
        c *= s * s / np.float32(E)
        for e in range(E):
            w = z[e] * c
            D[e] -= w * Q[e]
            out[0, e] = s * D[e]
            z[e] *= B * s / phases
            m[e], Q[e], D[e] = z[e] * phases, z[e] * w, z[e] * (D[e] + G[e])
        for j in range(P - 1):
            for e in range(E):
                out[j + 1, e] = (d[j, e] + ONE) * (m[e] * grad[j, e] - Q[e] * d[j, e] - D[e])
