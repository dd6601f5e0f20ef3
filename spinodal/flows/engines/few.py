r"""The drift of few tokens as one compiled call, for loops that take whole steps without Python.

Values and bounds are those of `direct`: the same loops over pairs, without the set-up of each of its calls.
Where d > `NARROW` and Q = K = V = I, with g_ij = w_j e^{b (c_ij - 1)} and c = x x^T, they come from two
matrix products,

    num_i = sum_{j near} g_ij (x_j - x_i) + sum_{j far} g_ij x_j - x_i sum_{j far} g_ij    [derived],

which cancels among far pairs alone, |x_j - x_i| > `NEAR`, and there costs 2 / `NEAR` of their rounding at most.

    symbol  meaning                                              shape
    x, w    tokens, weights                                      n d, n
    T, S    b Q / ln 2, K: logits are <T x_i, S x_j> ln 2        k d
    V       values                                               d d
    top     b |Q^T K|, the largest logit
    kappa   top / (2 ln 2), of `direct`
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float
from numba.extending import overload

from spinodal.flows.engines.direct import (
    ADDITIONS,
    LANES,
    TILE,
    normalise_sums,
    tile_on_circle,
    tile_on_sphere,
)
from spinodal.flows.engines.kernel import Kernel, norm, square
from spinodal.flows.engines.law import EPS
from spinodal.flows.engines.pairs import BLOCK, attend
from spinodal.loops import compiled, exp2, plus, use_widest_vectors

MOST = 512  # tokens, one tile of `direct`
NARROW = 16  # dimensions up to which differences of all pairs cost no more than two products
NEAR = 0.2  # distance below which a pair is summed by differences
CLOSE = 1 - NEAR**2 / 2  # its cosine
LN2 = float(np.log(2))


class TilePull(NamedTuple):
    """Parameters of the drift of an isotropic head without a mask in d = 2 or 3, for `fill_by_tiles`.

    `top` is b |Q^T K|, `kappa` top / (2 ln 2), `clock` that of the law, 0 for SA's 1 / Z_i; V = `value` I.
    """

    top: float
    kappa: float
    clock: float
    value: float


class ProductPull(NamedTuple):
    """The parameters of `TilePull` in any d, for `fill_by_products`."""

    top: float
    kappa: float
    clock: float
    value: float


class PairPull(NamedTuple):
    """Parameters of the drift of any head, causal or not, for `fill_by_pairs`.

    V is empty where V = v I, and `value` is v then. `size` is |V|; the others are as in `TilePull`.
    """

    top: float
    clock: float
    value: float
    size: float
    causal: bool
    T: Float[np.ndarray, "k d"]
    S: Float[np.ndarray, "k d"]
    V: Float[np.ndarray, "d d"]


FewTokensOutput = TilePull | ProductPull | PairPull


def pull_of(
    kernel: Kernel, values: float | Float[np.ndarray, "d d"], clock: float | None, d: int
) -> FewTokensOutput:
    """The parameters of the drift of few tokens in R^d under a kernel and V, a number where V = v I.

    Their class is that of the fastest routine that serves the head. `clock` is that of the law at Z = 1, None
    for SA.
    """
    top, clock, scalar = float(kernel.top), clock or 0.0, np.ndim(values) == 0
    value, V = (float(values), np.zeros((0, 0))) if scalar else (1.0, np.array(values))
    if (
        kernel.isotropic
        and kernel.inverse_temperature >= 0
        and not kernel.causal
        and scalar
        and not 3 < d <= NARROW
    ):
        return (TilePull if d < 4 else ProductPull)(top, top / (2 * LN2), clock, value)
    T, S = kernel.beta / LN2 * square(kernel.queries, d), 1.0 * square(kernel.keys, d)
    return PairPull(top, clock, value, norm(values), kernel.causal, T, S, V)


@compiled()
@no_type_check
def weigh_cosines(c, w, unit):
    """c_j <- w_j e^{b (c_j - 1)}; returns their sum. unit = b / ln 2."""
    use_widest_vectors()
    total = 0.0
    for j in range(c.size):
        q = max(1.0 - c[j], 0.0)
        e = w[j] * exp2(-unit * q)
        c[j] = e
        total = plus(total, e)
    return total


@compiled()
@no_type_check
def sum_of(a):
    """sum_j a_j."""
    use_widest_vectors()
    total = 0.0
    for j in range(a.size):
        total = plus(total, a[j])
    return total


@compiled()
@no_type_check
def add_near(shift, e, x, centre):
    """shift += e (x - centre); returns e |x - centre|."""
    square = 0.0
    for k in range(shift.size):
        r = x[k] - centre[k]
        square = plus(square, r * r)
        shift[k] += e * r
    return e * np.sqrt(square)


@compiled()
@no_type_check
def fill_by_products(x, w, pull, drift, error):
    """Fills the drift and its bound, with Q = K = V = I."""
    use_widest_vectors()
    n, d = x.shape
    g, near, far, w = np.dot(x, x.T), np.zeros((n, d)), np.empty(n), w.copy()
    noise = EPS * (8 + 4 * pull.top + max(np.sqrt(n + 1), n / 2))
    pairs = np.empty(n, np.int32)
    for i in range(n):
        row, own = g[i], w[i]
        row[i], w[i] = 0.0, 0.0
        count = 0
        for j in range(n):
            if row[j] > CLOSE:
                pairs[count] = j
                count += 1
        others, spread = weigh_cosines(row, w, 2 * pull.kappa), 0.0
        w[i] = own
        for k in range(count):
            j = pairs[k]
            spread += add_near(near[i], row[j], x[j], x[i])
            row[j] = 0.0
        far[i] = sum_of(row)
        Z = others + own
        f = 1 / Z if pull.clock == 0 else pull.clock
        drift[i, 0] = f
        error[i] = f * (noise * (spread + 2 * far[i]) + 1e-300)
    total = np.dot(g, x)
    for i in range(n):
        f, row, own = drift[i, 0], total[i], x[i]
        for k in range(d):
            row[k] += near[i, k] - far[i] * own[k]
        remove_radial(row, own)
        for k in range(d):
            drift[i, k] = f * row[k]
    times_value(pull, drift, error)


@compiled()
@no_type_check
def remove_radial(v, x):
    """v <- v - <v, x> x, twice: the second removes what rounding left of the first."""
    for _ in range(2):
        radial = 0.0
        for k in range(x.size):
            radial = plus(radial, v[k] * x[k])
        for k in range(x.size):
            v[k] -= radial * x[k]


@compiled()
@no_type_check
def fill_by_tiles(x, w, pull, drift, error):
    """Fills the drift and its bound as `direct.drift` has them, on the circle and on S^2."""
    use_widest_vectors()
    n, d = x.shape
    size = n + -n % LANES
    s, masses, total = np.zeros((d, size)), np.zeros(size), np.zeros((2 * d - 1, size))
    for i in range(n):
        masses[i] = w[i]
        for k in range(d):
            s[k, i] = x[i, k]
    at = (np.int64(0), size, np.int64(0), size)
    if d == 2:
        tile_on_circle(s, masses, pull.kappa, at, total)
    else:
        tile_on_sphere(s, masses, pull.kappa, at, total)
    noise = EPS * (8 + max(np.sqrt(TILE + n / TILE), min(n, ADDITIONS + n / TILE) / 2))
    answer, _, bound = normalise_sums(x, w, total, pull.top, pull.clock, noise)
    for i in range(n):
        error[i] = bound[i]
        for k in range(d):
            drift[i, k] = answer[i, k]
    times_value(pull, drift, error)


@compiled()
@no_type_check
def blocks_of(rows, size, number):
    """The rows as blocks [number, d, size] of coordinates, padded with zeros, as in `pairs.block_rows`."""
    m, d = rows.shape
    out = np.zeros((number, d + -d % 4, size))
    for j in range(m):
        for k in range(d):
            out[j // size, k, j % size] = rows[j, k]
    return out


@compiled()
@no_type_check
def padded(rows):
    """The rows padded with zeros to multiples of four in both axes, as in `pairs.pad_rows`."""
    n, d = rows.shape
    out = np.zeros((n + -n % 4, d + -d % 4))
    for i in range(n):
        for k in range(d):
            out[i, k] = rows[i, k]
    return out


@compiled(fastmath={"contract"})
@no_type_check
def longest(rows):
    """max_i |x_i|."""
    top = 0.0
    for i in range(len(rows)):
        q = 0.0
        for k in range(rows.shape[1]):
            q += rows[i, k] * rows[i, k]
        top = max(top, q)
    return np.sqrt(top)


@compiled(fastmath={"contract"})
@no_type_check
def fill_by_pairs(x, w, pull, drift, error):
    """Fills the drift and its bound as `Interaction.split` has them, of any Q, K, V and causal or not."""
    use_widest_vectors()
    n, d = x.shape
    targets, sources = np.dot(x, pull.T.T), np.dot(x, pull.S.T)
    number = -(-n // BLOCK)
    share = -(-n // number)
    size = share + -share % LANES
    t, a = padded(targets), padded(x)
    s, v = blocks_of(sources, size, number), blocks_of(x, size, number)
    shift, spread, log_Z = attend(t, s, v, a, w, np.empty((0, 0)), pull.causal, 0, len(t) // 4)
    reach, whole = longest(sources) * LN2, pull.V.size > 0
    additions = min(n, BLOCK / 4 + n / BLOCK) / 2
    fixed = 8 + max(np.sqrt(BLOCK + n / BLOCK), additions)
    mean = np.empty((n, d))
    for i in range(n):
        for k in range(d):
            mean[i, k] = shift[i, k] + x[i, k] if whole else pull.value * shift[i, k]
    if whole:
        mean = np.dot(mean, pull.V.T)
    for i in range(n):
        out = drift[i]
        logit = reach * longest(targets[i : i + 1])
        bound = EPS * (fixed + 4 * logit) * spread[i] + 1e-300
        for k in range(d):
            out[k] = mean[i, k]
        bound *= pull.size
        if whole:
            bound += EPS * (8 + np.sqrt(d)) * pull.size * (1 + longest(shift[i : i + 1]))
        remove_radial(out, x[i])
        zeta = 0.0 if log_Z[i] == -np.inf else 1.0
        if pull.clock != 0:
            zeta = pull.clock * np.exp(log_Z[i] * LN2 - pull.top)
        for k in range(d):
            out[k] *= zeta
        error[i] = zeta * bound


@compiled()
@no_type_check
def times_value(pull, drift, error):
    """Multiplies a drift by v and its bound by |v|, in place: those of V = v I from those of V = I."""
    if pull.value != 1:
        for i in range(len(drift)):
            error[i] *= abs(pull.value)
            for k in range(drift.shape[1]):
                drift[i, k] *= pull.value


FILLS = {TilePull: fill_by_tiles, ProductPull: fill_by_products, PairPull: fill_by_pairs}


def fill_pull(
    x: Float[np.ndarray, "n d"],
    w: Float[np.ndarray, " n"],
    pull: FewTokensOutput,
    drift: Float[np.ndarray, "n d"],
    error: Float[np.ndarray, " n"],
) -> None:
    """Fills the drift of n <= `MOST` tokens and the bound on its error.

    In a compiled loop it is compiled as a part of that loop, and may round differently than in another one.
    """
    FILLS[type(pull)](x, w, pull, drift, error)


@overload(fill_pull)
@no_type_check
def compile_fill_pull(x, w, pull, drift, error):
    """The implementation of `fill_pull` in compiled code: the function of `FILLS` for the class of `pull`."""
    fill = FILLS[pull.instance_class]
    return lambda x, w, pull, drift, error: fill(x, w, pull, drift, error)
