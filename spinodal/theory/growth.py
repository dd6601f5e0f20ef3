r"""Growth about the uniform density: which number of clusters appears first, and how fast.

A density 1 + epsilon Y_k on the sphere, Y_k a harmonic of degree k, grows at a rate that Funk and Hecke give
in closed form: the kernel e^{beta <x,y>} multiplies Y_k by a_k, and two gradients bring k (k+d-2) / beta.

All is computed from ratios of Bessel functions. With c_m = (2 m / beta) I_m / I_{m-1}, whose continued
fraction c_m = 1 / (1 + beta^2 c_{m+1} / (4 m (m+1))) has no overflow for any beta, degree and dimension,

    a_0(d+2) = c_{d/2} a_0(d),   a_k = beta c_{nu+k} / (2 (nu+k)) a_{k-1},   nu = d/2 - 1   [derived].

With beta < 0 a_k has the sign (-1)^k: odd degrees grow and even ones shrink.

    symbol    meaning                                              [bpa2024]
    a_k       eigenvalue of e^{beta <x,y>} on degree k, uniform probability measure
    lambda_k  growth rate of degree k                              their rate of mode k
    kappa     inverse temperature of the noise sqrt(2/kappa) dW; inf for none
    value     V = value * identity; -1 is the repulsive flow
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import exprel, i0e

from spinodal.errors import InputError
from spinodal.limits import NUMBERS, require_at_most
from spinodal.theory.domain import (
    LARGEST_EXPONENT,
    TERMS,
    Counts,
    Numbers,
    count,
    real,
    signed_temperature,
    temperature,
)

MOST_DEGREES = 2.0**53  # that are told from each other in double precision


def log_funk_hecke(k: Counts, d: int, beta: Numbers) -> Numbers:
    """log a_k = log( Gamma(d/2) (2/beta)^{d/2-1} I_{k+d/2-1}(beta) )  [bpa2024].

    The factor by which the kernel e^{beta <x,y>} multiplies a harmonic of degree k on S^{d-1}, as a logarithm; -inf for
    k > 0 at beta = 0.
    """
    k, d, beta = count("k", k, 0), int(count("d", d, 2)), temperature(beta)
    with np.errstate(divide="ignore"):
        return _log_a0(d, beta) + _log_relative(k, d, beta) + np.where(k > 0, np.log(beta), 0.0)


def growth_rate_sa(
    k: Counts, d: int, beta: Numbers, *, kappa: Numbers = np.inf, value: Numbers = 1.0
) -> Numbers:
    """lambda_k = k (k+d-2) (V a_k / (beta a_0) - 1/kappa)  [bpa2024].

    The rate at which a small harmonic of degree k grows from the uniform density on S^{d-1} under SA, for any beta.
    `kappa` is the inverse strength of noise, inf for none; V = `value` times the identity, -1 repels.

    >>> import numpy as np
    >>> from spinodal import theory
    >>> theory.growth_rate_sa(np.arange(1, 5), d=3, beta=5.0).round(6).tolist()
    [0.320036, 0.623935, 0.672349, 0.510968]
    >>> int(theory.fastest_degree(d=3, beta=5.0))
    3
    """
    k, d, signed = count("k", k, 0), int(count("d", d, 2)), signed_temperature(beta)
    beta = np.asarray(np.abs(signed))
    kappa, value = real("kappa", kappa, 1e-300, np.inf), real("value", value, -np.inf, np.inf)
    attraction = np.where(k > 0, np.exp(_log_relative(k, d, beta)), 0.0)
    attraction = np.where((signed < 0) & (k % 2 == 0), -attraction, attraction)
    return k * (k + d - 2) * (value * attraction - 1 / kappa)


def growth_rate_usa(
    k: Counts, d: int, beta: Numbers, *, kappa: Numbers = np.inf, value: Numbers = 1.0
) -> Numbers:
    """lambda_k = k (k+d-2) (V a_k / beta - 1/kappa)  [bpa2024].

    The rate at which a small harmonic of degree k grows from the uniform density under USA with weights e^{beta <x,y>}.
    `kappa` is the inverse strength of noise, V a multiple of the identity. InputError where a_k overflows, above
    beta = 700 or so.
    """
    size = np.asarray(np.abs(signed_temperature(beta)))
    a0 = np.exp(real("log a_0", _log_a0(int(count("d", d, 2)), size), 0.0, LARGEST_EXPONENT))
    return a0 * growth_rate_sa(k, d, beta, kappa=a0 * kappa, value=value)


def fastest_degree(d: int, beta: Numbers) -> Counts:
    """k_max = argmax_k lambda_k, the same for SA and USA  [bpa2024].

    The number of clusters that appear first on the circle; `fastest_degree_threshold` says at which beta it changes.
    """
    beta = signed_temperature(beta)
    most = 2 * np.sqrt(np.max(np.abs(beta), initial=0.0)) + 4
    if most > MOST_DEGREES:
        raise InputError(
            f"the degree that grows fastest at beta = {np.max(beta):g} cannot be computed: it is near {most / 2:g}",
            field="beta",
        )
    require_at_most(TERMS, most, "degrees that may grow fastest, for a beta this large")
    k = np.arange(1, int(most))
    return 1 + np.argmax(growth_rate_sa(k, d, beta[..., None]), axis=-1)


def fastest_degree_threshold(k: int, d: int) -> float:
    """I_{k+d/2}(beta) / I_{k+d/2-1}(beta) = k (k+d-2) / ((k+1) (k+d-1))  [derived].

    The beta at which lambda_{k+1} = lambda_k, where `fastest_degree` steps from k to k+1. The left side increases with
    beta, so that there is one.
    """
    k, d = int(count("k", k, 1)), int(count("d", d, 2))
    return _bessel_ratio_root(k + d / 2, k * (k + d - 2) / ((k + 1) * (k + d - 1)))


def fastest_degree_large_beta(d: int, beta: Numbers) -> Numbers:
    """k ~ sqrt(2 beta + (d/2-1)^2) - (d/2-1) as beta -> inf  [derived].

    The limit of `fastest_degree` at low temperature: K = k (k+d-2) maximises K e^{-K / (2 beta)} at 2 beta.
    """
    nu = int(count("d", d, 2)) / 2 - 1
    return np.sqrt(2 * temperature(beta) + nu**2) - nu


def noise_threshold(d: int, beta: Numbers) -> Numbers:
    """kappa = beta / a_1  [noise2026].

    The inverse strength of noise above which the uniform density is unstable under USA: twice the K of the
    paper. It is d at beta = 0.
    """
    return 1 / growth_rate_usa(1, d, beta) * (d - 1)


def noise_threshold_sa(d: int, beta: Numbers) -> Numbers:
    """kappa = beta a_0 / a_1  [derived].

    The inverse strength of noise above which the uniform density is unstable under SA: a_0 times that of USA. It is d
    at beta = 0.
    """
    return (d - 1) / growth_rate_sa(1, d, beta)


def tricritical_beta(d: int) -> float:
    """I_{d/2+1}(beta) / I_{d/2}(beta) = 1/d  [noise2026].

    The beta above which the transition from the uniform density under noise is a jump, below which it is continuous.
    """
    d = int(count("d", d, 2))
    return _bessel_ratio_root(d / 2 + 1, 1 / d)


def log_energy_uniform(d: int, beta: Numbers) -> Numbers:
    """log E = log(a_0 / (2 beta))  [glpr2023].

    The energy (1/2 beta) int int e^{beta <x,y>} of the uniform density, the least there is, as a logarithm. InputError
    unless beta > 0.
    """
    beta = real("beta", temperature(beta), 0.0, np.inf, ends=False)
    return _log_a0(int(count("d", d, 2)), beta) - np.log(2 * beta)


def log_energy_dirac(beta: Numbers) -> Numbers:
    """log E = beta - log(2 beta)  [glpr2023].

    The energy (1/2 beta) int int e^{beta <x,y>} of all tokens in one point, the greatest there is, as a logarithm.
    InputError unless beta > 0.
    """
    beta = real("beta", temperature(beta), 0.0, np.inf, ends=False)
    return beta - np.log(2 * beta)


def _log_relative(k: np.ndarray, d: int, beta: np.ndarray) -> Numbers:
    """log( a_k / (beta a_0) ), without its vanishing power of beta at k = 1, for k >= 1; 0 for k = 0."""
    nu, top = d / 2 - 1, int(np.max(k, initial=0))
    ladder = _ladder(nu, top, beta)
    steps = np.log(ladder) - np.log(2 * (nu + np.arange(1, top + 1)))
    with np.errstate(divide="ignore"):
        steps[..., 1:] += np.log(beta)[..., None]
    logs = np.concatenate([np.zeros_like(beta)[..., None], np.cumsum(steps, axis=-1)], axis=-1)
    shape = np.broadcast_shapes(k.shape, beta.shape)
    logs = np.broadcast_to(logs, (*shape, top + 1))
    return np.take_along_axis(logs, np.broadcast_to(k, shape)[..., None], axis=-1)[..., 0]


def _log_a0(d: int, beta: np.ndarray) -> Numbers:
    """log a_0 from the circle's I_0(beta), or the sphere's sinh(beta)/beta, by steps of two dimensions."""
    first = np.log(i0e(beta)) if d % 2 == 0 else np.log(exprel(-2 * beta))
    return beta + first + np.sum(np.log(_ladder(d % 2 / 2, (d - 2) // 2, beta)), axis=-1)


def _ladder(nu: float, top: int, beta: np.ndarray) -> np.ndarray:
    """c_{nu+1}, ..., c_{nu+top}, by the continued fraction, from an m above which nothing matters.

    An error in c_m shrinks by (I_m / I_{m-1})^2 a step, by e^{-m^2/beta} from m down to zero. It starts at
    Amos' upper bound for c.
    """
    last = int(np.sqrt((nu + top) ** 2 + 40 * np.max(beta, initial=0.0))) + 40
    require_at_most(TERMS, last, "terms of a continued fraction, for a degree, a `d` or a `beta` this large")
    require_at_most(NUMBERS, float(beta.size) * top, "numbers, for degrees and values of beta this many")
    m = nu + last
    c = 2 * m / (m - 0.5 + np.sqrt((m + 0.5) ** 2 + beta**2))
    out = np.empty((*beta.shape, top))
    for j in range(last, 0, -1):
        m = nu + j
        c = 1 / (1 + beta**2 * c / (4 * m * (m + 1)))
        if j <= top:
            out[..., j - 1] = c
    return out


def _bessel_ratio_root(m: float, ratio: float) -> float:
    """The beta with I_m(beta) / I_{m-1}(beta) = ratio, 0 < ratio < 1."""

    def excess(beta: float) -> float:
        return beta / (2 * m) * float(_ladder(m - 1, 1, np.asarray(beta))[0]) - ratio

    high = 2 * m
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-13))  # type: ignore[arg-type]
