r"""A bound on the error of attention whose logits are large, as those of long tokens are.

A logit l_ij = <t_i, s_j> is rounded by delta = 4 eps |t_i| max_j |s_j|. Where that is not small the weights are known
all the same if they select one token: with c_i the value of the largest logit, D_ij = |v_j - c_i|_1 and p the weights,

    |error of sum_j p_ij v_j| <= 2 (e^{2 delta} - 1) sum_j p_ij D_ij,
                              <= 2 sum_j min(1, e^{l_ij - max_k l_ik + 2 delta}) D_ij

to first order in delta, and for any delta  [derived]. Rows of 0 and 1 have D = 0 where p is not.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from spinodal.flows.engines.kernel import Scores
from spinodal.flows.engines.law import EPS, rounding_of_sum
from spinodal.flows.engines.pairs import BLOCK as PARTS
from spinodal.loops import product

BLOCK = 2**20  # logits at a time


def selection_bound(
    targets: Float[np.ndarray, "n k"],
    sources: Float[np.ndarray, "m k"],
    values: Float[np.ndarray, "m d"],
    weights: Float[np.ndarray, " m"],
    causal: bool,
    placed: Scores | None = None,
) -> Float[np.ndarray, " n"]:
    """The bound on the error of sum_j p_ij (v_j - v_i) for every target, over j <= i where causal; memory O(n)."""
    n, m = len(targets), len(sources)
    bound, rows_at_once = np.zeros(n), max(1, BLOCK // m)
    with np.errstate(divide="ignore"):
        log_w = np.log(weights)
    rounding = 4 * EPS * np.linalg.norm(targets, axis=1) * np.linalg.norm(sources, axis=1).max()
    rounding += 0.0 if placed is None else 4 * EPS * placed.largest
    for start in range(0, n, rows_at_once):
        rows = slice(start, start + rows_at_once)
        l = product(targets[rows], sources.T) + log_w + (0.0 if placed is None else placed.values[rows])
        if causal:
            l[np.arange(m) > np.arange(n)[rows, None]] = -np.inf
        best, delta = l.argmax(1), rounding[rows]
        l -= np.maximum(l.max(1), -np.finfo(float).max)[:, None]
        away = cdist(values[best], values, "cityblock")
        p = np.exp(l)
        share = np.sum(p * away, 1) / np.maximum(p.sum(1), 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            few = 2 * np.expm1(2 * delta) * share
        any_size = 2 * np.sum(np.exp(np.minimum(l + 2 * delta[:, None], 0.0)) * away, 1)
        shift = np.abs(values[best] - values[rows]).sum(1)
        summed = EPS * (8 + rounding_of_sum(m, PARTS, PARTS / 4 + m / PARTS)) * (share + shift)
        bound[rows] = np.minimum(np.where(share > 0, few, 0.0), any_size) + summed
    return bound
