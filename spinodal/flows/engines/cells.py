r"""Sums over tokens on the circle, and functions on it at tokens, by cells: no sin, cos or exp a token.

Cut the circle into M cells of half-width h = pi / M with centres phi_c. For an offset |s| <= h
e^{ik(phi_c + s)} = e^{ik phi_c} sum_p (iks)^p / p!, and few powers suffice where k h is small. So
    m_k = sum_j w_j e^{ik theta_j} = sum_p (ik)^p / p! sum_c e^{ik phi_c} M_cp,  M_cp = sum_{j in c} w_j s_j^p
costs `MOMENTS` additions a token and as many Fourier transforms of length M; and the way back,
    f(theta) = Re sum_k f_k e^{ik theta} = sum_p a_cp s^p in cell c,
costs `TERMS` multiplications a token. Two such passes are attention on the circle [derived].

    symbol  meaning                                         shape
    x       tokens as unit vectors, flat                    2n
    cell    the cell of each token, 0..M (M is 0 again)     n
    off     its offset s                                    n
    K       largest mode                                    -
"""

import math
from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Complex, Float
from numpy.polynomial import Chebyshev, Polynomial

from spinodal.flows.engines.law import EPS
from spinodal.loops import ROUND, compiled, in_parts, use_widest_vectors

MOMENTS = 7
TERMS = 8
WIDTH = 8  # doubles of a cell in memory: one cache line
BLOCK = 512  # tokens at a time: their cells and offsets stay in the nearest cache
CHUNK = 32 * BLOCK  # tokens of one sum, before it is added to the others
LEAST = 32 * BLOCK  # tokens that are worth another thread


SIN, COS = math.sin(math.pi / 8), math.cos(math.pi / 8)
TAYLOR = Polynomial([math.comb(2 * k, k) / (4**k * (2 * k + 1)) for k in range(24)])  # arcsin(x) / x in x^2
REST = Chebyshev.interpolate(TAYLOR - TAYLOR.cutdeg(11), 11, [0, SIN**2])  # its tail, in eleven degrees
ARCSIN = tuple(map(float, (TAYLOR.cutdeg(11) + REST.convert(kind=Polynomial)).coef))


@compiled(inline="always")
@no_type_check
def octant(c, s):
    """The angle of (max(|c|, |s|), min(|c|, |s|)), less pi/8: an arcsine of 0.39 at most, to 1e-16."""
    a, b = abs(c), abs(s)
    x = COS * min(a, b) - SIN * max(a, b)
    t = x * x
    p = ARCSIN[11]
    p = p * t + ARCSIN[10]
    p = p * t + ARCSIN[9]
    p = p * t + ARCSIN[8]
    p = p * t + ARCSIN[7]
    p = p * t + ARCSIN[6]
    p = p * t + ARCSIN[5]
    p = p * t + ARCSIN[4]
    p = p * t + ARCSIN[3]
    p = p * t + ARCSIN[2]
    p = p * t + ARCSIN[1]
    p = p * t + ARCSIN[0]
    return p * x


@compiled()
@no_type_check
def locate(x, M, cell, off):
    """Cell and offset of each token: those of its mirror image in the first octant, mirrored back."""
    use_widest_vectors()
    width = 2 * np.pi / M
    for j in range(off.size):
        c, s = x[2 * j], x[2 * j + 1]
        t = octant(c, s) / width
        k = (t + ROUND) - ROUND
        up, right = math.copysign(1.0, s), math.copysign(1.0, c)
        low = 1.0 if abs(s) <= abs(c) else -1.0
        side = up * right * low  # -1 where the mirror image runs backwards
        off[j] = side * (t - k) * width
        k = M / 16 * (8.0 - up * (4.0 + right * (2.0 + low))) + side * k
        cell[j] = np.int32(min(max(k, 0.0), M))


@compiled()
@no_type_check
def scatter(cell, off, w, scale, moments):
    """moments[cell, p] += scale w off^p; the next column sums the rounding errors of the masses (p = 0)."""
    for j in range(cell.size):
        k = np.uint32(cell[j]) * WIDTH
        s = off[j]
        s2 = s * s
        p0 = w[j] * scale
        p1 = p0 * s
        p4 = p0 * s2 * s2
        before = moments[k]
        mass = before + p0
        virtual = mass - before
        moments[k + MOMENTS] += (before - (mass - virtual)) + (p0 - virtual)
        moments[k] = mass
        moments[k + 1] += p1
        moments[k + 2] += p0 * s2
        moments[k + 3] += p1 * s2
        moments[k + 4] += p4
        moments[k + 5] += p4 * s
        moments[k + 6] += p4 * s2


@compiled()
@no_type_check
def add_part(total, part):
    """total += part, and part = 0."""
    for j in range(total.size):
        total[j] += part[j]
        part[j] = 0.0


@compiled()
@no_type_check
def collect_moments(x, w, M, scale, start, stop):
    """Moments of the tokens from start to stop, one cell after the other."""
    cell, off = np.empty(BLOCK, np.int32), np.empty(BLOCK)
    total, part = np.zeros((M + 1) * WIDTH), np.zeros((M + 1) * WIDTH)
    for b in range(start, stop, BLOCK):
        e = min(stop, b + BLOCK)
        locate(x[2 * b : 2 * e], M, cell[: e - b], off[: e - b])
        scatter(cell[: e - b], off[: e - b], w[b:e], scale, part)
        if (b - start) % CHUNK == CHUNK - BLOCK or e == stop:
            add_part(total, part)
    return total


@compiled(inline="always")
@no_type_check
def polynomial(a, cell, s):
    """sum_p a_p s^p of a cell and its derivative."""
    k = np.uint32(cell) * WIDTH
    g = a[k + 7]
    y = g * s + a[k + 6]
    g = g * s + y
    y = y * s + a[k + 5]
    g = g * s + y
    y = y * s + a[k + 4]
    g = g * s + y
    y = y * s + a[k + 3]
    g = g * s + y
    y = y * s + a[k + 2]
    g = g * s + y
    y = y * s + a[k + 1]
    return y * s + a[k], g * s + y


@lru_cache
def powers(K: int) -> Complex[np.ndarray, "p k"]:
    """(ik)^p / p! for k = 0..K."""
    p = np.arange(TERMS)[:, None]
    return (1j * np.arange(K + 1)) ** p / np.array([math.factorial(q) for q in range(TERMS)])[:, None]


def cells(strength: Float[np.ndarray, " k"]) -> int:
    """The least power of two M >= 256 with sum_k strength_k (k h)^p / p! <= 1e-16, h = pi / M.

    p is the first power that the moments leave out; M is at least four times the number of modes.
    """
    k = np.arange(len(strength))
    M = 256
    while 4 * len(k) > M or np.sum(strength * (k * np.pi / M) ** MOMENTS) / math.factorial(MOMENTS) > 1e-16:
        M *= 2
    return M


def modes(
    x: Float[np.ndarray, "n 2"], w: Float[np.ndarray, " n"], K: int, M: int
) -> Complex[np.ndarray, " k"]:
    """sum_j w_j e^{-ik theta_j} for k = 0..K."""
    n = len(w)
    flat = np.ascontiguousarray(x).reshape(-1)
    # weights of order one: equal ones are then counted without rounding
    parts = in_parts(lambda start, stop: collect_moments(flat, w, M, float(n), start, stop), n, LEAST)
    moments = whole_masses(np.sum(parts, 0)) / n
    moments[0] += moments[M]
    return modes_of_moments(moments[:M], K)


def whole_masses(sums: Float[np.ndarray, " s"]) -> Float[np.ndarray, "c p"]:
    """The moments of every cell from the sums of `scatter`, with the rounding errors added to the masses."""
    cells = sums.reshape(-1, WIDTH)
    cells[:, 0] += cells[:, MOMENTS]
    return cells[:, :MOMENTS]


def modes_of_moments(moments: Float[np.ndarray, "c p"], K: int) -> Complex[np.ndarray, " k"]:
    """sum_j w_j e^{-ik theta_j} for k = 0..K, from the moments of every cell."""
    spectra = np.fft.rfft(np.ascontiguousarray(moments.T))[:, : K + 1]
    return np.sum(powers(K)[:MOMENTS].conj() * spectra, 0)


def table(f: Complex[np.ndarray, " k"], M: int) -> Float[np.ndarray, " c"]:
    """Coefficients, cell after cell, of Re sum_k f_k e^{ik theta}."""
    spectra = np.zeros((TERMS, M // 2 + 1), complex)
    spectra[:, : len(f)] = powers(len(f) - 1) * f * (M / 2)
    spectra[:, 0] *= 2
    a = np.zeros((M + 1, WIDTH))
    a[:M, :TERMS] = np.fft.irfft(spectra, M).T
    a[M] = a[0]
    return a.reshape(-1)


def rounding(n: int) -> float:
    """Error of such a sum over n tokens, in units of the largest value that it could have."""
    return EPS * (8 + np.sqrt(CHUNK + n / CHUNK) / 2)
