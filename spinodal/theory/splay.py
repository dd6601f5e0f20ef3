r"""The splay state: n equally spaced tokens on the circle, and the rates at which it falls apart.

The perturbation e^{2 pi i p j / n} of the angles is an eigenvector by symmetry. Equally spaced tokens see
every harmonic of the kernel that is p modulo n, so its eigenvalue is the continuum's k^2 I_k / beta summed
over those aliases, less the same sum for p = 0, as a rotation has the eigenvalue 0. It holds for beta < 0 as
well, with I_k(beta) = (-1)^k I_k(-beta).

    symbol  meaning
    p       wave number of the perturbation, an integer; p and n - p share an eigenvalue
"""

import numpy as np
from scipy.special import ive

from spinodal.errors import InputError
from spinodal.limits import require_at_most
from spinodal.theory.domain import LARGEST_EXPONENT, TERMS, Counts, Numbers, count, real, signed_temperature


def splay_rate_usa(p: Counts, n: int, beta: Numbers) -> Numbers:
    """lambda_p = (1/beta) [ sum_j (p+jn)^2 I_{p+jn}(beta) - sum_j (jn)^2 I_{jn}(beta) ], j in Z  [derived].

    The rate at which a perturbation of wave number p grows from n equally spaced tokens on the circle under USA; its
    continuum limit is in [bpa2024]. beta may be negative; InputError for 0 and for |beta| above 700.

    >>> from spinodal import theory
    >>> [round(theory.splay_rate_usa(1, 3, beta), 4) for beta in (-0.7, -0.6)]
    [-0.0355, 0.0675]
    """
    return np.exp(real("|beta|", np.abs(beta), 0.0, LARGEST_EXPONENT)) * _rates(p, n, beta)[0]


def splay_rate_sa(p: Counts, n: int, beta: Numbers) -> Numbers:
    """lambda_p = `splay_rate_usa` / sum_j I_{jn}(beta)  [derived].

    The rate at which a perturbation of wave number p grows from n equally spaced tokens on the circle under SA, where
    every Z_i is the sum in the denominator. beta may be negative; InputError for 0.
    """
    rate, Z = _rates(p, n, beta)
    return rate / Z


def _rates(p: Counts, n: int, beta: Numbers) -> tuple[Numbers, Numbers]:
    """The eigenvalue under USA and Z / n, both times e^{-|beta|}."""
    n = int(count("n", n, 2))
    beta = signed_temperature(beta)[..., None]
    if np.any(beta == 0):
        raise InputError("beta = 0: the formula does not apply where it divides by beta", field="beta")
    size = np.abs(beta)
    p = np.asarray(p)[..., None] % n
    # I_k(beta) e^{-beta} is near e^{-k^2 / (2 beta)} for large beta: sixteen widths leave e^{-128}
    J = int((16 * np.sqrt(np.max(size)) + 40) / n) + 2
    require_at_most(TERMS, float(J) * beta.size * p.size, "terms of the sums, for a beta this large")
    zero = n * np.arange(-J, J + 1)

    def bessel(k):
        return np.where((beta < 0) & (k % 2 == 1), -1.0, 1.0) * ive(np.abs(k), size)

    def curvature(k):
        return np.sum(k**2 * bessel(k), axis=-1)

    return (curvature(p + zero) - curvature(zero)) / beta[..., 0], np.sum(bessel(zero), axis=-1)
