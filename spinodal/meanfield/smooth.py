"""A density to look at: smoothed by a kernel, from its moments."""

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, ive

SHARPNESS = 120.0  # of the von Mises kernel that a density is seen through: Diracs are 0.1 wide


def smooth_density(
    moments: np.ndarray, d: int, *, points: int = 241
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, "t c"]]:
    """(angle, rho / uniform): the density through a kernel e^{b cos}, from its moments m_0..m_K; never negative.

    Complex moments are of the circle, angles from 0 to 2 pi; real ones of latitudes, from 0 to pi.
    """
    k = np.arange(moments.shape[1])
    nu = d / 2 - 1
    passed = ive(k + nu, SHARPNESS) / ive(nu, SHARPNESS)
    if np.iscomplexobj(moments):
        angle = np.linspace(0, 2 * np.pi, points)
        wave = np.where(k > 0, 2, 1)[:, None] * np.exp(1j * k[:, None] * angle)
        return angle, np.maximum(((moments.conj() * passed) @ wave).real, 0)
    angle = np.linspace(0, np.pi, points)
    u, last, now = np.cos(angle), np.ones(points), np.cos(angle)
    total = np.ones((len(moments), points))
    for j in range(1, len(k)):
        if d == 2:
            count = 2.0
        else:
            count = (
                (2 * j + d - 2) / (j + d - 2) * np.exp(gammaln(j + d - 1) - gammaln(j + 1) - gammaln(d - 1))
            )
        total += passed[j] * count * moments[:, j : j + 1] * now
        last, now = now, ((2 * j + d - 2) * u * now - j * last) / (j + d - 2)
    return angle, np.maximum(total, 0)
