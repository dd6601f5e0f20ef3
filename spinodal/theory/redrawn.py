r"""Weights that every layer draws anew: a noise that all tokens have in common.

At beta = 0 layers x <- normalise(x + h V m), m the mean of the tokens and V of independent normal entries of variance
1 / d, move all tokens by the same h V m, normal with the variance h^2 |m|^2 / d in each direction. Of two tokens at the
cosine c the mean of dc is, by Ito, (|m|^2 / d) [tr(P_i P_j) - (d - 1) c] dtau, with tau = h^2 times the layers:

    dc/dtau = (1 - c) (d - 2 - c) / d |m|^2,    |m|^2 = (1 + (n - 1) c) / n                              [derived]

for n tokens with one cosine, from c(0) = 0. In high d all pairs keep to it, and at d = inf it is the curve of SA at
beta = 0, half as fast, c = (e^tau - 1) / (e^tau + n - 1). In low d cosines spread: the variance of log |m|^2 grows by
about 4 / d while tau does by 1.
"""

import numpy as np
from scipy.optimize import brentq

from spinodal.theory.domain import Counts, Numbers, count, real

BELOW_ONE = 1 - 1e-15
LATEST = 30.0  # beyond, 1 - c is rounding


def redrawn_time(gamma: Numbers, n: Counts, d: Counts) -> Numbers:
    """tau = n d int_0^gamma dc / ((1 - c) (d - 2 - c) (1 + (n - 1) c))  [derived].

    h^2 times the number of layers after which n orthogonal tokens in R^d have the mean cosine gamma, at beta = 0 with
    values that every layer draws anew. InputError unless 0 <= gamma < 1, and for d < 4.
    """
    gamma, n, d = real("gamma", gamma, 0.0, BELOW_ONE), 1.0 * count("n", n, 2), 1.0 * count("d", d, 4)
    apart = -np.log1p(-gamma) / (n * (d - 3))
    grown = np.log1p((n - 1) * gamma) / (n * (d - 2 + 1 / (n - 1)))
    rest = np.log1p(-gamma / (d - 2)) / ((d - 3) * (1 + (n - 1) * (d - 2)))
    return n * d * (apart + grown + rest)


def redrawn_cosine(tau: Numbers, n: Counts, d: Counts) -> Numbers:
    """c of dc/dtau = (1 - c) (d - 2 - c) / d (1 + (n - 1) c) / n, c(0) = 0  [derived].

    The mean cosine of n orthogonal tokens in R^d after tau = h^2 times the number of layers, at beta = 0 with values
    that every layer draws anew: the inverse of `redrawn_time`.

    >>> from spinodal import theory
    >>> round(float(theory.redrawn_cosine(4.0, 8, 256)), 4)
    0.8657
    """
    tau, n, d = np.broadcast_arrays(real("tau", tau, 0.0, LATEST), count("n", n, 2), count("d", d, 4))
    inverse = lambda t, k, w: brentq(lambda c: float(redrawn_time(c, k, w)) - t, 0.0, BELOW_ONE, xtol=1e-15)
    return np.array([inverse(*row) for row in zip(tau.flat, n.flat, d.flat, strict=True)]).reshape(tau.shape)
