r"""Attention of any queries, keys and values over every pair, with sums of differences.

    log Z_i = log sum_j w_j e^{<t_i, s_j> + B_ij},    shift_i = Z_i^-1 sum_j w_j e^{<t_i, s_j> + B_ij} (v_j - a_i)

over all sources j, or over j <= i when causal. B = 0 unless scores are given; -inf is a source that is not read.
beta belongs to the targets: t = beta Q x, s = K x, v = V x. The anchors keep the digits of a clustered state: with
a = V x the terms are as small as the distances, where "average, then subtract" would leave only the rounding of 1
[derived].

    symbol  meaning                               shape
    t, s    targets, sources                      n d, m d
    v, a    values of the sources, anchors        m e, n e
    w       weights of the sources                m
    l       a block's logits, then its weights    -
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float

from spinodal.flows.engines.kernel import Scores
from spinodal.flows.engines.law import EPS, Attention, rounding_of_sum
from spinodal.loops import compiled, exp2, in_parts, plus, use_widest_vectors

BLOCK = 256  # sources at a time: their logits stay in the nearest cache
LANES = 16  # a block is a multiple, so that its loops have no slow end
ROWS = 32  # targets that meet one block before the next is fetched
PER_LN2 = 1 / np.log(2)


@compiled()
@no_type_check
def logits(l, t, s):
    """l_ij = <t_i, s_j> for four targets and a block of sources: each source is fetched once for all four."""
    use_widest_vectors()
    l0, l1, l2, l3 = l[0], l[1], l[2], l[3]
    l[:] = 0.0
    for k in range(0, t.shape[1], 4):
        s0, s1, s2, s3 = s[k], s[k + 1], s[k + 2], s[k + 3]
        t00, t01, t02, t03 = t[0, k], t[0, k + 1], t[0, k + 2], t[0, k + 3]
        t10, t11, t12, t13 = t[1, k], t[1, k + 1], t[1, k + 2], t[1, k + 3]
        t20, t21, t22, t23 = t[2, k], t[2, k + 1], t[2, k + 2], t[2, k + 3]
        t30, t31, t32, t33 = t[3, k], t[3, k + 1], t[3, k + 2], t[3, k + 3]
        for j in range(s0.size):
            l0[j] += t00 * s0[j] + t01 * s1[j] + t02 * s2[j] + t03 * s3[j]
            l1[j] += t10 * s0[j] + t11 * s1[j] + t12 * s2[j] + t13 * s3[j]
            l2[j] += t20 * s0[j] + t21 * s1[j] + t22 * s2[j] + t23 * s3[j]
            l3[j] += t30 * s0[j] + t31 * s1[j] + t32 * s2[j] + t33 * s3[j]


@compiled()
@no_type_check
def add_scores(l, b, i, J):
    """l_qj += B_{i + q, J + j} for four targets and a block of sources; b in units of ln 2."""
    for q in range(min(4, b.shape[0] - i)):
        for j in range(min(l.shape[1], b.shape[1] - J)):
            l[q, j] += b[i + q, J + j] * PER_LN2


@compiled()
@no_type_check
def highest(l, w, rest):
    """The largest logit of a source with weight, or -inf; by halves, which compiles to vectors."""
    use_widest_vectors()
    for j in range(l.size):
        rest[j] = l[j] if w[j] > 0 else -np.inf
    size = l.size
    if size == 0:
        return -np.inf
    while size > 1:
        half = (size + 1) // 2
        low, high = rest[: size - half], rest[half:size]
        for j in range(low.size):
            low[j] = max(low[j], high[j])
        size = half
    return rest[0]


@compiled()
@no_type_check
def weigh(l, w, top):
    """l_j <- w_j 2^{l_j - top}; returns their sum."""
    use_widest_vectors()
    z = 0.0
    for j in range(l.size):
        e = w[j] * exp2(l[j] - top)
        l[j] = e
        z = plus(z, e)
    return z


@compiled()
@no_type_check
def add_differences(shift, spread, l, v, a):
    """shift_i += sum_j l_ij (v_j - a_i) and spread_i += sum_j l_ij |v_j - a_i|_1 for four targets."""
    use_widest_vectors()
    l0, l1, l2, l3 = l[0], l[1], l[2], l[3]
    for k in range(a.shape[1]):
        vk = v[k]
        a0, a1, a2, a3 = a[0, k], a[1, k], a[2, k], a[3, k]
        b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = 0.0
        for j in range(vk.size):
            d0, d1, d2, d3 = vk[j] - a0, vk[j] - a1, vk[j] - a2, vk[j] - a3
            b0 = plus(b0, l0[j] * d0)
            b1 = plus(b1, l1[j] * d1)
            b2 = plus(b2, l2[j] * d2)
            b3 = plus(b3, l3[j] * d3)
            c0 = plus(c0, l0[j] * abs(d0))
            c1 = plus(c1, l1[j] * abs(d1))
            c2 = plus(c2, l2[j] * abs(d2))
            c3 = plus(c3, l3[j] * abs(d3))
        shift[0, k] += b0
        shift[1, k] += b1
        shift[2, k] += b2
        shift[3, k] += b3
        spread[0] += c0
        spread[1] += c1
        spread[2] += c2
        spread[3] += c3


@compiled()
@no_type_check
def attend(t, s, v, a, w, b, causal, start, stop):
    """(shift, spread, log_2 Z) of four targets at a time, from 4 start to 4 stop; t in units of ln 2, no b as [0 0]."""
    m, size = w.size, 4 * (stop - start)
    shift, spread, Z = np.zeros((size, a.shape[1])), np.zeros(size), np.zeros(size)
    top = np.full(size, -np.inf)
    block = s.shape[2]
    l, rest = np.zeros((4, block)), np.empty(block)
    for I in range(0, size, ROWS):
        for J in range(0, m, block):
            for r in range(I, min(I + ROWS, size), 4):
                i = 4 * start + r
                if causal and i + 3 < J:
                    continue
                logits(l, t[i : i + 4], s[J // block])
                if b.size > 0:
                    add_scores(l, b, i, J)
                for q in range(4):
                    number = max(0, min(block, (i + q + 1 if causal else m) - J))
                    row, mass = l[q, :number], w[J : J + number]
                    peak = highest(row, mass, rest)
                    if peak > top[r + q]:
                        fade = exp2(top[r + q] - peak)
                        Z[r + q] *= fade
                        shift[r + q] *= fade
                        spread[r + q] *= fade
                        top[r + q] = peak
                    if top[r + q] > -np.inf:
                        Z[r + q] += weigh(row, mass, top[r + q])
                    else:
                        number = 0
                    l[q, number:] = 0.0
                add_differences(shift[r : r + 4], spread[r : r + 4], l, v[J // block], a[i : i + 4])
    for r in range(size):
        if Z[r] > 0:
            shift[r] /= Z[r]
            spread[r] /= Z[r]
    return shift, spread, top + np.log2(Z)


def pad_rows(rows: Float[np.ndarray, "n d"], number: int) -> Float[np.ndarray, "N D"]:
    """Pads with zeros to a multiple of `number` rows and of 4 columns."""
    n, d = rows.shape
    wider = np.zeros((n + -n % number, d + -d % 4))
    wider[:n, :d] = rows
    return wider


def block_rows(rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "k D B"]:
    """The rows in blocks [k D B] of coordinates, padded with zeros; each block is contiguous in memory."""
    share = -(-len(rows) // -(-len(rows) // BLOCK))
    size = share + -share % LANES
    rows = pad_rows(rows, size)
    return np.ascontiguousarray(rows.reshape(-1, size, rows.shape[1]).transpose(0, 2, 1))


def interaction(
    targets: Float[np.ndarray, "n d"],
    sources: Float[np.ndarray, "m d"],
    values: Float[np.ndarray, "m e"],
    weights: Float[np.ndarray, " m"],
    anchors: Float[np.ndarray, "n e"] | None = None,
    causal: bool = False,
    scores: Scores | None = None,
) -> Attention:
    """shift_i = Z_i^-1 sum_j w_j e^{<t_i, s_j> + B_ij} (v_j - a_i); without anchors a = 0, the plain mean.

    B are the `scores`. Causal: over j <= i, with n = m. Sources without weight, and those with B_ij = -inf, are
    left out; where that leaves none, the shift is 0 and log Z = -inf.
    """
    e = values.shape[1]
    if anchors is None:
        anchors = np.zeros((len(targets), e))
    t, a = pad_rows(targets / np.log(2), 4), pad_rows(anchors, 4)
    s, v = block_rows(sources), block_rows(values)
    b, added = (np.empty((0, 0)), 0.0) if scores is None else scores
    parts = in_parts(
        lambda start, stop: attend(t, s, v, a, weights, b, causal, start, stop), len(t) // 4, ROWS
    )
    shift, spread, log_Z = (np.concatenate(part)[: len(targets)] for part in zip(*parts, strict=True))
    logit = np.linalg.norm(targets, axis=1) * np.linalg.norm(sources, axis=1).max() + added
    m = len(weights)
    noise = EPS * (8 + rounding_of_sum(m, BLOCK, BLOCK / 4 + m / BLOCK) + 4 * logit)  # four lanes or more
    return Attention(shift[:, :e], log_Z * np.log(2), noise * spread + 1e-300)
