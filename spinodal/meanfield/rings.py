"""Rings: latitudes of S^{d-1}, their area, and sums over them of Gegenbauer's polynomials P_k, P_k(1) = 1."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from spinodal.loops import compiled


def ring_area(phi: Float[np.ndarray, "..."], d: int) -> Float[np.ndarray, "..."]:
    """sin^{d-2} phi over its integral from 0 to pi: the density of the uniform probability in phi."""
    total = np.sqrt(np.pi) * np.exp(gammaln((d - 1) / 2) - gammaln(d / 2))
    return np.sin(phi) ** (d - 2) / total


@compiled()
@no_type_check
def ring_moments(u, w, top, d):
    """[sum_j w_j P_k(u_j)] for k = 0..top-1; P_{k+1} = ((2k+d-2) u P_k - k P_{k-1}) / (k+d-2), k >= 1."""
    m = np.zeros(top)
    last, now = np.ones(u.size), u.copy()
    for j in range(u.size):
        m[0] += w[j]
        if top > 1:
            m[1] += w[j] * u[j]
    for k in range(1, top - 1):
        f, g = (2 * k + d - 2) / (k + d - 2), k / (k + d - 2)
        total = 0.0
        for j in range(u.size):
            following = f * u[j] * now[j] - g * last[j]
            last[j] = now[j]
            now[j] = following
            total += w[j] * following
        m[k + 1] = total
    return m


@compiled()
@no_type_check
def ring_sums(u, values, slopes, d):
    """(sum_k values_k P_k(u), sum_k slopes_k dP_k/du) at all u."""
    f, df = np.empty(u.size), np.empty(u.size)
    for j in range(u.size):
        # P_k of dimension d and, one degree behind, of dimension d + 2
        last, now, upper_last, upper = 1.0, u[j], 0.0, 1.0
        total, slope = values[0], 0.0
        for k in range(1, values.size):
            total += values[k] * now
            slope += slopes[k] * (k * (k + d - 2) / (d - 1)) * upper
            following = ((2 * k + d - 2) * u[j] * now - k * last) / (k + d - 2)
            last, now = now, following
            q = k - 1
            following = ((2 * q + d) * u[j] * upper - q * upper_last) / (q + d)
            upper_last, upper = upper, following
        f[j], df[j] = total, slope
    return f, df
