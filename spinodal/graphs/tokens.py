r"""Attention as a graph of tokens: weights, the rate of a vertex, and levels of attention.

The article [preetham2023] has attention weights as edges of a graph of tokens, a vertex dynamics
x_i' = f(x_i) + sum_j a_ij g(x_i, x_j), and levels of attention. Its formulas are not available;
those below are reconstructions [derived], row by row in docs/graphs.md.

    symbol  meaning                                       shape
    q, k    queries and keys                              n c
    m       mask, symmetric                               n n
    a       attention weights, a_ij = a_ji >= 0           n n
    w       weights of a level's reading of the next one  m n
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array

from spinodal.errors import InputError

LARGEST = 700.0  # e^709 is the last power of e in double precision


def attention_weights(
    q: Float[np.ndarray, "n c"], k: Float[np.ndarray, "n c"], mask: Bool[np.ndarray, "n n"]
) -> Float[np.ndarray, "n n"]:
    """a_ij = m_ij exp((q_i.k_j + q_j.k_i) / (2 sqrt c))  [derived, row 1 of docs/graphs.md].

    The attention weights of queries and keys [n c], made symmetric so that the flow along them has an energy; they are
    not divided by their sum. `m` is a mask [n n], 1 where vertices may see each other.

    InputError for a mask that differs from its transpose (a causal one does: no energy exists there), and for scores
    whose exponential overflows.
    """
    if not (mask == mask.T).all():
        raise InputError(
            "the mask is not symmetric: attention through it is a directed graph, which has no energy"
        )
    scores = q @ k.T
    scores = (scores + scores.T) / (2 * math.sqrt(q.shape[1]))
    if scores[mask].max(initial=0.0) > LARGEST:
        raise InputError(
            f"a score of {scores[mask].max():.4g} overflows: scale q and k so that scores stay below 700"
        )
    return np.where(mask, np.exp(np.minimum(scores, LARGEST)), 0.0)


def row_softmax(A: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """P = D^-1 A, D = diag(sum_j a_ij), so that d_i P_ij = d_j P_ji  [derived].

    Divides every row of symmetric weights by its sum, as softmax does; a row of zeros stays zero. The flow along P is
    the gradient flow of the weights A with M = D.
    """
    d = A.sum(-1, keepdims=True)
    return np.divide(A, d, out=np.zeros_like(A), where=d > 0)


def vertex_rate(
    x: Float[np.ndarray, " n"],
    A: Float[np.ndarray, "n n"],
    phi: Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]],
    g: Callable[[Float[np.ndarray, "..."], Float[np.ndarray, "..."]], Float[np.ndarray, "..."]],
) -> Float[np.ndarray, " n"]:
    """x_i' = phi(x_i) + sum_j a_ij g(x_i, x_j)  [derived, row 2 of docs/graphs.md].

    The rate of every vertex for any weights a, coupling g and local dynamics phi. It is a gradient flow only where
    a_ij = a_ji and g(x_i, x_j) = f(x_j - x_i) with f odd: then it equals `System.force`.
    """
    return phi(x) + (A * g(x[:, None], x[None])).sum(1)


def level_average(O: Float[np.ndarray, "n *c"], w: csr_array) -> Float[np.ndarray, "m *c"]:
    """O(v) = sum_u w(u, v) O(u) / sum_u w(u, v)  [derived, row 12 of docs/graphs.md].

    The weighted mean of the outputs of one level that each vertex of the next level reads. The weights are a partition
    of unity; a vertex that reads nothing gets 0. The cost is the number of stored weights.
    """
    if w.nnz and not (np.isfinite(w.data) & (w.data >= 0)).all():
        raise InputError(f"a weight between levels is {w.data.min():g}: they are finite and not negative")
    total = np.asarray(w.sum(1)).ravel()
    mean = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
    flat = O.reshape(len(O), -1)
    return (mean[:, None] * (w @ flat)).reshape(len(mean), *O.shape[1:])
