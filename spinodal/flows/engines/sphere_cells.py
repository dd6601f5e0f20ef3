r"""Sums over tokens on S^2, and functions on it at tokens, by cells: no harmonic is computed at a token.

Cut [0, pi] into N latitudes and the circle into 2 N longitudes, of half-width h = pi / 2N. In the cell with centre
(theta_c, phi_c) a token has offsets (t, s) in [-1, 1]^2, and with Chebyshev's polynomials T
    Y_lm = P_lm(theta) e^{im phi} = e^{im phi_c} sum_ab beta_lmcb alpha_ma T_a(s) T_b(t),  alpha_ma ~ i^a J_a(m h).
Only the pairs with a // 4 + b // 4 < `TILES` are kept, tiles of four by four in a triangle; what is left out is summed,
and is part of the bound. The sums a_lm = sum_j w_j Y_lm^*(x_j) are made of moments of cells, sum_j w_j s_j^a t_j^b, and
the way back ends in one polynomial a cell: that is attention on S^2 in O(n) [derived].

    symbol  meaning                                                     shape
    x       tokens as unit vectors, flat                                3n
    s, t    offsets along longitude and latitude, in half-widths        n
    k       place of a token among those sorted by cell                 n
    a, b    powers of s and t                                           -
    B       tile: powers 4B..4B+3 of t, with those of s below 16 - 4B   -
    c, r    cell: longitude and latitude                                -
    L       largest degree                                              -
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int
from numpy.polynomial.chebyshev import cheb2poly
from scipy.special import jv

from spinodal.errors import InputError
from spinodal.flows.engines.cells import LEAST
from spinodal.flows.engines.law import EPS, rounding_of_sum
from spinodal.flows.engines.sphere_loops import (
    BLOCK,
    LANES,
    POWERS,
    TILES,
    deal,
    give_back,
    longitude_moments,
    longitude_values,
    sort_longitude,
)
from spinodal.loops import in_parts, one_thread_of_algebra

# Of all cells, each B in one piece, as matrix products read it
Tiles = tuple[Float[np.ndarray, "c ..."], ...]
ORDERS = 24  # of which what is left out is summed; the next are 1e-8 of these
BETA_MAX = 1e4  # 1000 degrees
WIDE = np.longdouble
TAIL = EPS / 16  # sum of the degrees that are left out, relative to the largest value
LOST = 64 * EPS  # by the terms that are left out, at most


@lru_cache
def degrees(beta: float) -> Float[np.ndarray, " l"]:
    """[i_0, i_1 / b, i_2 / b, ...], as many degrees as the tail of the series needs to be rounding."""
    if beta > BETA_MAX:
        raise InputError(
            f"`beta` {beta:g}: the sphere engine ends at {BETA_MAX:g}; use `engine` 'direct'",
            field=("beta", "engine"),
        )
    L = 64 + int(14 * np.sqrt(beta))  # where i_l is below e^-70
    ratio, i = np.zeros(L + 2), np.empty(L + 1)
    # i_l / (b i_{l-1}) from the last, since scipy's Bessel functions are good to 1e-14 alone
    for l in range(L, 0, -1):
        ratio[l] = 1 / (2 * l + 1 + beta**2 * ratio[l + 1])
    i[0] = before = -np.expm1(-2 * beta) / (2 * beta) if beta > 0 else 1.0
    for l in range(1, L + 1):
        i[l] = before * ratio[l]
        before = beta * i[l]
    tail = np.cumsum(strengths(i, beta)[::-1])[::-1]
    return i[: 1 + max(1, np.count_nonzero(tail[1:] > TAIL))]


def strengths(i: Float[np.ndarray, " l"], beta: float) -> Float[np.ndarray, " l"]:
    """(2l + 1) (i_l / b) max(l, b), and i_0: the most that each degree l adds to a Z or to a gradient."""
    l = np.arange(len(i))
    return (2 * l + 1) * i * np.where(l > 0, np.maximum(l, beta), 1)


class Grid(NamedTuple):
    """The cells and the harmonics in them, which depend on beta alone.

    P[m] [l, 2, (b, latitude)], l >= m: the coefficients of P_lm and m P_lm / sin theta. E[B] [(re im, m), (longitude,
    a)]: those of e^{-im phi} in powers of s, as many as B has tiles. `growth` says how much larger than the largest
    value the terms of a sum may be, `lost` what the terms left out add to it at most.
    """

    N: int
    i: Float[np.ndarray, " l"]
    P: tuple[Float[np.ndarray, "_ 2 c"], ...]
    E: tuple[Float[np.ndarray, "k _"], ...]
    growth: float
    lost: float


def legendre(L: int) -> Iterator[tuple[Float[np.ndarray, "m q"], Float[np.ndarray, "m q"]]]:
    """P_lm and m P_lm / sin theta, m = 0..l, for l = 0..L, at L + 1 nodes from 0 to pi.

    Y_lm = (-1)^m P_lm(theta) e^{im phi} is orthonormal. Near a pole the recursion loses l^2 eps, unless `WIDE` has more
    digits than doubles.
    """
    theta = WIDE(np.pi) / (L + 1) * (np.arange(L + 1) + 0.5)
    z, s = np.cos(theta), np.sin(theta)
    before, P = np.zeros((0, L + 1), WIDE), np.full((1, L + 1), np.sqrt(1 / (4 * WIDE(np.pi))))
    for l in range(L + 1):
        m = np.arange(l + 1, dtype=WIDE)[:, None]
        yield P.astype(float), (m * P / s).astype(float)
        following = z * P
        following[:l] -= np.sqrt((l * l - m * m) / (4 * l * l - 1))[:l] * before
        following *= np.sqrt((4 * (l + 1) ** 2 - 1) / ((l + 1) ** 2 - m * m))
        before, P = P, np.concatenate([following, np.sqrt(1 + 1 / (2 * WIDE(l + 1))) * s * P[-1:]])


def turn(k: Int[np.ndarray, " *k"], N: int) -> Complex[np.ndarray, " *k"]:
    """e^{i pi k / 2N}, whatever the size of k."""
    return np.exp(0.5j * np.pi / N * (k % (4 * N)))


def waves_in_cells(L: int, N: int) -> tuple[Float[np.ndarray, "k a"], Float[np.ndarray, "2 q c"]]:
    """(alpha, X): e^{ikhs} = sum_a i^a alpha_ka T_a(s); X maps values at the nodes of `legendre` to cells.

    X[0] is for sums of cos k theta, X[1] for those of sin k theta. It yields the coefficients of T_b(t) in
    latitude r, with errors of eps J_b and not of eps.
    """
    k, order, node = np.arange(L + 1)[:, None], np.arange(ORDERS), 2 * np.arange(L + 1) + 1
    alpha = (2 - (order == 0)) * jv(order, k * np.pi / (2 * N))
    waves = (alpha * 1j ** (order % 4))[:, :, None] * turn(k * (2 * np.arange(N) + 1), N)[:, None]
    at_nodes = turn(k * node, L + 1).T * (2 - (k.T == 0)) / (L + 1)
    return alpha, np.stack([part(at_nodes) @ part(waves).reshape(L + 1, -1) for part in (np.real, np.imag)])


@lru_cache(maxsize=4)
def grid(beta: float) -> Grid:
    """`harmonics_in_cells` with as few cells as keep the terms that are left out below `LOST`."""
    N = 3 + int(3.6 * np.sqrt(beta))
    while (g := harmonics_in_cells(beta, N)).lost >= LOST:
        N += 1
    return g


@one_thread_of_algebra()
def harmonics_in_cells(beta: float, N: int) -> Grid:
    """The `Grid` of N latitudes; it bounds what the terms left out add to a Z or a numerator  [derived].

    The vector Y of all Y_lm of a degree l has |Y|^2 = (2l + 1) / 4 pi everywhere. The terms left out of it are no
    longer than the sum of the lengths of their coefficients, in its slope along theta b^2 / h of these; and by Cauchy
    and Schwarz an error e of Y(x) adds |e| |Y| to a sum_j w_j <Y(x), Y(x_j)>.
    """
    i = degrees(beta)
    L, h, order = len(i) - 1, np.pi / (2 * N), np.arange(ORDERS)
    alpha, X = waves_in_cells(L, N)
    P = tuple(np.empty((L + 1 - m, 2, POWERS * N)) for m in range(L + 1))
    squares = (2 - (np.arange(L + 1) == 0))[:, None] * alpha**2
    left_out = order[:, None, None] // 4 + order // 4 >= TILES
    of_Z = of_slope = 0.0
    for l, (values, across) in enumerate(legendre(L)):
        table = np.empty((l + 1, 2, ORDERS * N))
        for parity in (0, 1):
            m = slice(parity, None, 2)
            table[m, 0] = values[m] @ X[parity]
            table[m, 1] = across[m] @ X[1 - parity]
        for m in range(l + 1):
            P[m][l - m] = table[m, :, : POWERS * N]
        length = np.sqrt(table.reshape(l + 1, -1).T ** 2 @ squares[: l + 1])
        length = length.reshape(2, ORDERS, N, ORDERS) * left_out
        whole, off = np.sqrt((2 * l + 1) / (4 * np.pi)), length[0].sum((0, 2)).max()
        slope = np.hypot(np.einsum("bra,b->r", length[0], order**2 / h), length[1].sum((0, 2))).max()
        strength = 4 * np.pi * i[l] * (l > 0)
        of_Z += strength * beta * (2 * whole + off) * off
        of_slope += strength * ((whole + off) * slope + l * whole * off)

    alpha = alpha[:, :POWERS] * (-1j) ** (order[:POWERS] % 4)
    centre = turn(-np.arange(L + 1)[:, None] * (2 * np.arange(2 * N) + 1), N)
    waves = [
        (centre[:, :, None] * (alpha[:, :A] @ MONOMIALS[:A, :A])[:, None]).reshape(L + 1, -1)
        for A in range(POWERS, 0, -4)
    ]
    E = tuple(np.concatenate([wave.real, wave.imag]) for wave in waves)
    growth = strengths(i, beta) @ np.exp(np.sqrt(2) * h * np.arange(L + 1))
    return Grid(N, i, P, E, float(growth), max(of_Z, of_slope))


MONOMIALS = np.zeros((POWERS, POWERS))
for degree in range(POWERS):
    MONOMIALS[degree, : degree + 1] = cheb2poly([0] * degree + [1])


class Sorted(NamedTuple):
    """Tokens sorted by cell in two steps: each chunk k by longitude c, then each longitude by latitude r.

    A chunk fits in cache. Rows of tokens[k] are first (s, theta, weight), later (Y, dY/dt, V): longitude c
    begins at row begin[k, c], and token j is row where[k, j]. Among all tokens of longitude c, sorted by
    latitude, row j is number inner[k, j]. Their offsets `s` and `t` begin at start[c], those of latitude r
    first[c, r] later.
    """

    tokens: Float[np.ndarray, "k c"]
    where: Int[np.ndarray, "k j"]
    inner: Int[np.ndarray, "k j"]
    begin: Int[np.ndarray, "k c"]
    start: Int[np.ndarray, " c"]
    first: Int[np.ndarray, "c r"]
    s: Float[np.ndarray, " p"]
    t: Float[np.ndarray, " p"]

    def in_longitudes(self, loop: Callable[[int], Any]) -> None:
        """Calls loop(c) for every longitude c, on threads where there are enough tokens."""
        count = len(self.first)
        least = max(1, LEAST * count // self.where.size)
        in_parts(lambda a, b: [loop(c) for c in range(a, b)], count, least)


def deal_tokens(x: Float[np.ndarray, " k"], w: Float[np.ndarray, " n"], N: int) -> Sorted:
    """`Sorted` with the tokens of each chunk sorted by longitude; `cell_moments` sorts them by latitude."""
    n, chunks = len(w), -(-len(w) // LEAST)
    size, padded = -(-n // chunks), n + 2 * N * N * LANES
    tokens, (s, t) = np.empty((chunks, 3 * size)), np.empty((2, padded))
    where, inner = np.empty((2, chunks, size), np.int32)
    begin = np.empty((chunks, 2 * N + 1), np.int64)
    first = np.empty((2 * N, N + 1), np.int64)

    def loop(start: int, stop: int) -> None:
        for k in range(start, stop):
            a, b = k * size, min(n, (k + 1) * size)
            deal(x[3 * a : 3 * b], w[a:b], N, where[k, : b - a], tokens[k], begin[k])

    in_parts(loop, chunks, 1)
    start = np.append(0, np.cumsum(np.diff(begin).sum(0) + N * LANES))
    return Sorted(tokens, where, inner, begin, start, first, s, t)


@one_thread_of_algebra()
def cell_moments(g: Grid, at: Sorted) -> Tiles:
    """sum_j w_j s_j^a T_b(t_j) of each cell: tile B [c, a, b, r]."""
    M = tuple(np.empty((2 * g.N, POWERS - 4 * B, 4, g.N)) for B in range(TILES))

    def collect(c: int) -> None:
        part, first = slice(at.start[c], at.start[c + 1]), at.first[c]
        ordered = np.empty((3, part.stop - part.start))  # in caches, where stores are faster
        sort_longitude(at.tokens, at.begin, c, first, at.inner, ordered)
        moments = np.zeros((POWERS, POWERS, g.N))
        longitude_moments(ordered, first, moments)
        moments = MONOMIALS @ moments
        for B, tile in enumerate(M):
            tile[c] = moments[: POWERS - 4 * B, 4 * B : 4 * B + 4]
        at.s[part], at.t[part] = ordered[:2]

    at.in_longitudes(collect)
    return M


@one_thread_of_algebra()
def fill_values(C: Tiles, at: Sorted) -> None:
    """at.tokens <- (Y, dY/dt, V) of the tokens, from the coefficients of s^a T_b(t): tile B [c, a, 2, b, r]."""

    def fill(c: int) -> None:
        part = slice(at.start[c], at.start[c + 1])
        values = np.empty((3, part.stop - part.start))
        polynomials = np.zeros((POWERS, 2, POWERS, C[0].shape[-1]))
        for B, tile in enumerate(C):
            polynomials[: POWERS - 4 * B, :, 4 * B : 4 * B + 4] = tile[c]
        longitude_values(MONOMIALS.T @ polynomials, at.s[part], at.t[part], at.first[c], values)
        give_back(values, at.inner, at.begin, c, at.tokens)

    at.in_longitudes(fill)


def rounding_by_cells(n: int, g: Grid) -> float:
    """Error of a value made of sums over n tokens, in units of the largest that it could have."""
    return g.lost + g.growth * EPS * (16 + rounding_of_sum(n, BLOCK, BLOCK / 4 + n / BLOCK))


@one_thread_of_algebra()
def sums(g: Grid, M: Tiles) -> Float[np.ndarray, "m l 2"]:
    """(Re, Im) of a_lm = sum_j w_j Y_lm^*(x_j), m >= 0, up to the sign (-1)^m, from `cell_moments`."""
    N, L = g.N, len(g.i) - 1
    waves = np.empty((TILES, 2 * (L + 1), 4 * N))
    for B, (E, tile) in enumerate(zip(g.E, M, strict=True)):
        np.matmul(E, tile.reshape(-1, 4 * N), out=waves[B])
    waves = waves.reshape(TILES, 2, L + 1, 4 * N).transpose(2, 0, 3, 1).reshape(L + 1, -1, 2)
    alm = np.zeros((L + 1, L + 1, 2))
    for m in range(L + 1):
        alm[m, m:] = g.P[m][:, 0] @ waves[m]
    return alm


@one_thread_of_algebra()
def coefficients(g: Grid, alm: Float[np.ndarray, "m l 2"]) -> Tiles:
    """What `fill_values` reads, of Y = sum_lm a_lm Y_lm, m of either sign, and of V = dY/dphi / sin theta."""
    N, L = g.N, len(g.i) - 1
    waves = np.empty((TILES, 2, L + 1, 2, 4 * N))
    for m in range(L + 1):
        f = (2 - (m == 0)) * alm[m, m:].T @ g.P[m].reshape(L + 1 - m, -1)
        waves[:, :, m] = f.reshape(2, 2, TILES, 4 * N).transpose(2, 0, 1, 3)
    waves[:, :, :, 1] = np.stack([-waves[:, 1, :, 1], waves[:, 0, :, 1]], 1)
    flat = waves.reshape(TILES, 2 * (L + 1), 8 * N)
    return tuple((E.T @ f).reshape(2 * N, -1, 2, 4, N) for E, f in zip(g.E, flat, strict=True))
