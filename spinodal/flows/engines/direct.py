r"""Every pair, in the form without cancellation: the reference, and the engine of small and slow systems.

Near a cluster "average, then project" subtracts two nearly equal vectors. But with
q = |x_i - x_j|^2 the projection is P_{x_i} x_j = (x_j - x_i) + q x_i / 2, a small number made of
small numbers, and <x_i, x_j> - 1 = -q / 2. So no digit is lost, however slow the flow [derived].

On the circle and on S^2 every pair is visited once and pulls at both its tokens. In other
dimensions, and for general queries, keys and values, the weights come from dot products, whose
rounding costs beta eps of a weight and nothing more, and the differences stay differences.

    symbol  meaning                                             shape
    s, w    tokens, one row a coordinate; their weights         d n, n
    kappa   beta / (2 ln 2): e^{-beta q/2} = 2^{-kappa q}
    force   sum_j w_j e^{-beta q/2} of (x_j - x_i) [d=3], of the sine x_i x x_j [d=2]
    spread  sum_j w_j e^{-beta q/2} q, which says how large the summed terms were
    others  sum_j w_j e^{-beta q/2} without the token itself: Z, less w_i
"""

from collections.abc import Callable
from itertools import pairwise
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import (
    EPS,
    FAINT,
    Attention,
    Drift,
    Law,
    from_shift,
    replace_rows,
    rounding_of_sum,
)
from spinodal.flows.engines.pairs import interaction
from spinodal.flows.engines.selection import selection_bound
from spinodal.loops import compiled, exp2, in_parts, plus, use_widest_vectors

LANES = 16  # loops over tokens are padded to a multiple, so that none has a slow end
TILE = 512  # tokens of a tile
ROWS = 32  # rows of a tile whose pull on its columns is summed before it is added to the others
ADDITIONS = 96  # one after the other in a tile and over the parts of a loop: the lanes of a row, ROWS, TILE / ROWS, 16
DOUBTFUL = 1e-7  # of the largest shift: an error from which long tokens have a sharper bound computed


@compiled()
@no_type_check
def row_on_circle(s, w, part, i, kappa, mirror):
    """(force, spread, others) of token i = (x, y, weight), summed over a tile.

    With `mirror` the terms of token i in the sums of the tokens of the tile are added to `part`.
    """
    use_widest_vectors()
    x, y = s
    force, spread, others = part
    xi, yi, wi = i
    a = b = c = 0.0
    if mirror:
        for j in range(w.size):
            dx, dy = x[j] - xi, y[j] - yi
            q = dx * dx + dy * dy
            sine = xi * dy - yi * dx
            e = exp2(-kappa * q)
            ej, ei = w[j] * e, wi * e
            a = plus(a, ej * sine)
            b = plus(b, ej * q)
            c = plus(c, ej)
            force[j] -= ei * sine
            spread[j] += ei * q
            others[j] += ei
    else:
        for j in range(w.size):
            dx, dy = x[j] - xi, y[j] - yi
            q = dx * dx + dy * dy
            sine = xi * dy - yi * dx
            ej = w[j] * exp2(-kappa * q)
            a = plus(a, ej * sine)
            b = plus(b, ej * q)
            c = plus(c, ej)
    return a, b, c


@compiled()
@no_type_check
def row_on_sphere(s, w, part, i, kappa, mirror):
    """(force (3 numbers), spread, others) of token i = (x, y, z, weight), as `row_on_circle`."""
    use_widest_vectors()
    x, y, u = s
    fx, fy, fu, spread, others = part
    xi, yi, ui, wi = i
    ax = ay = au = b = c = 0.0
    if mirror:
        for j in range(w.size):
            dx, dy, du = x[j] - xi, y[j] - yi, u[j] - ui
            q = dx * dx + dy * dy + du * du
            e = exp2(-kappa * q)
            ej, ei = w[j] * e, wi * e
            ax = plus(ax, ej * dx)
            ay = plus(ay, ej * dy)
            au = plus(au, ej * du)
            b = plus(b, ej * q)
            c = plus(c, ej)
            fx[j] -= ei * dx
            fy[j] -= ei * dy
            fu[j] -= ei * du
            spread[j] += ei * q
            others[j] += ei
    else:
        for j in range(w.size):
            dx, dy, du = x[j] - xi, y[j] - yi, u[j] - ui
            q = dx * dx + dy * dy + du * du
            ej = w[j] * exp2(-kappa * q)
            ax = plus(ax, ej * dx)
            ay = plus(ay, ej * dy)
            au = plus(au, ej * du)
            b = plus(b, ej * q)
            c = plus(c, ej)
    return ax, ay, au, b, c


@compiled()
@no_type_check
def add_rows(total, part, J):
    """total_k[J:] += part_k for every row k, as loops, since numba takes seconds to compile the slices."""
    for k in range(len(part)):
        for j in range(part.shape[1]):
            total[k, J + j] += part[k, j]


@compiled()
@no_type_check
def tile_on_circle(s, w, kappa, at, total):
    """total = [force, spread, others] += the sums of tokens i in [I, A) over j in [J, B), and of j over i."""
    I, A, J, B = at
    whole, part = np.zeros((3, B - J)), np.zeros((3, B - J))
    tile, weights = (s[0, J:B], s[1, J:B]), w[J:B].copy()
    pulled = (part[0], part[1], part[2])
    for i in range(I, A):
        if I == J:
            weights[i - I] = 0.0
        token = (s[0, i], s[1, i], w[i])
        row = row_on_circle(tile, weights, pulled, token, kappa, I != J)
        if I == J:
            weights[i - I] = w[i]
        for k in range(3):
            total[k, i] += row[k]
        if I != J and ((i - I) % ROWS == ROWS - 1 or i == A - 1):
            add_rows(whole, part, 0)
            part[:] = 0.0
    add_rows(total, whole, J)


@compiled()
@no_type_check
def tile_on_sphere(s, w, kappa, at, total):
    """total = [force (3 rows), spread, others] += the sums over tiles, as in `tile_on_circle`."""
    I, A, J, B = at
    whole, part = np.zeros((5, B - J)), np.zeros((5, B - J))
    tile, weights = (s[0, J:B], s[1, J:B], s[2, J:B]), w[J:B].copy()
    pulled = (part[0], part[1], part[2], part[3], part[4])
    for i in range(I, A):
        if I == J:
            weights[i - I] = 0.0
        token = (s[0, i], s[1, i], s[2, i], w[i])
        row = row_on_sphere(tile, weights, pulled, token, kappa, I != J)
        if I == J:
            weights[i - I] = w[i]
        for k in range(5):
            total[k, i] += row[k]
        if I != J and ((i - I) % ROWS == ROWS - 1 or i == A - 1):
            add_rows(whole, part, 0)
            part[:] = 0.0
    add_rows(total, whole, J)


@compiled()
@no_type_check
def normalise_sums(x, w, total, beta, clock, noise):
    """(drift, Z, error_bound) from the sums; a clock of 0 is SA's, 1 / Z_i."""
    n, d = x.shape
    drift, Z, error = np.empty((n, d)), np.empty(n), np.empty(n)
    for i in range(n):
        spread, others = total[-2, i], total[-1, i]
        Z[i] = others + w[i]
        f = 1 / Z[i] if clock == 0 else clock
        if d == 2:
            drift[i, 0] = -x[i, 1] * total[0, i] * f
            drift[i, 1] = x[i, 0] * total[0, i] * f
        else:
            for _ in range(2):  # a second projection removes what rounding left of the first
                radial = 0.0
                for k in range(d):
                    radial += total[k, i] * x[i, k]
                for k in range(d):
                    total[k, i] -= radial * x[i, k]
            for k in range(d):
                drift[i, k] = total[k, i] * f
        # sum_j w_j e |x_j - x_i| is at most sqrt(spread * others); 2^-1000 is the least weight of exp2
        error[i] = f * (noise * np.sqrt(spread) * np.sqrt(others) + 2 * EPS * beta * spread + 1e-300)
    return drift, Z, error


def drift(x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], law: Law) -> Drift:
    """num_i = sum_j w_j e^{-b q/2} ((x_j - x_i) + q x_i / 2), q = |x_i - x_j|^2, over every pair."""
    n, d = x.shape
    if d > 3 or law.beta < 0:
        return drift_at(x, x, weights, law)
    tile = tile_on_circle if d == 2 else tile_on_sphere
    padded = n + -n % LANES
    s, w = np.zeros((d, padded)), np.zeros(padded)
    s[:, :n], w[:n] = x.T, weights
    kappa = law.beta / (2 * np.log(2))
    spans = list(pairwise([*range(0, n, TILE), padded]))
    pairs = [(*a, *b) for k, a in enumerate(spans) for b in spans[k:]]

    parts = in_parts(lambda a, b: tile_sums(tile, pairs[a:b], s, w, kappa), len(pairs), 2)
    total = np.sum(parts, 0)
    noise = EPS * (8 + rounding_of_sum(n, TILE, ADDITIONS + n / TILE))
    answer = Drift(*normalise_sums(x, w, total, law.beta, law.clock or 0.0, noise))
    faint = np.flatnonzero(answer.Z < FAINT)  # of which the least weight of exp2, 2^-1000, may be a part
    if len(faint):
        replace_rows(answer, faint, drift_at(x[faint], x, weights, law))
    return answer


def tile_sums(
    tile: Callable,
    pairs: list[tuple[int, ...]],
    s: Float[np.ndarray, "d m"],
    w: Float[np.ndarray, " m"],
    kappa: float,
) -> Float[np.ndarray, "k m"]:
    """[force, spread, others] of all tokens from these pairs of tiles."""
    total = np.zeros((2 * len(s) - 1, s.shape[1]))
    for at in pairs:
        tile(s, w, kappa, at, total)
    return total


def drift_at(
    points: Float[np.ndarray, "m d"],
    x: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"],
    law: Law,
    causal: bool = False,
) -> Drift:
    """The drift at any points of the sphere, in any dimension.

    With a causal mask point i reads the tokens j <= i, with the weights that they have among all.
    """
    mean = interaction(law.beta * points, x, x, weights, points, causal)
    return from_shift(points, mean, law)


def average(kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i = sum_j p_ij (x_j - x_i) over every pair, by differences."""
    targets, sources = kernel.logits(x)
    placed = kernel.position_scores(len(x))
    mean = interaction(targets, sources, x, weights, x, kernel.causal, placed)
    if kernel.euclidean and mean.error_bound.max() > DOUBTFUL * np.abs(mean.shift).max():
        selected = selection_bound(targets, sources, x, weights, kernel.causal, placed)
        return mean._replace(error_bound=np.minimum(mean.error_bound, selected))
    return mean


def drift_cost(problem: Problem) -> float:
    """Microseconds; for d = 2 and 3 each pair is computed once for both of its tokens."""
    n, d = problem.n, problem.d
    return (
        15 + {2: 0.6e-3, 3: 0.9e-3}[d] * n * n if d in (2, 3) and problem.beta >= 0 else average_cost(problem)
    )


def average_cost(problem: Problem) -> float:
    n, d = problem.n, problem.d or 2
    return 20 + (1.2e-3 + 0.2e-3 * d) * n * n


ENGINE = Engine(
    "direct",
    average=Routine(average, average_cost),
    drift=Routine(drift, drift_cost),
    matrices=True,
    causal=True,
    exact=True,
    negative=True,
    biased=True,
    placed=True,
    euclidean=True,
)
