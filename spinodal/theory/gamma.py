r"""The equiangular curve: how n tokens with one common cosine approach each other.

If all pairs start with the same cosine g, symmetry keeps them so, and the whole flow is one scalar
equation. In the clock y = log((1 + (n-1) g) / (1 - g)), which is twice the time of the flow with
beta = 0, it separates,

    SA:  dt = (n - 1 + e^{beta (1-g)}) / (2 n) dy        USA:  dt = e^{-beta g} / 2 dy,

and the quadrature is an exponential integral in v = 1 - g [derived]: both times are linear in y and

    G(v) = -Ei(beta v) - e^{beta v} U(beta (n/(n-1) - v)),   U(x) = e^x E_1(x),   dG/dy = e^{beta v},

for beta of either sign, where E_1(x) = -Ei(-x) for x < 0.

    symbol  meaning                                             [glpr2023]
    g       the common cosine, -1/(n-1) < g < 1                 gamma_beta(t), g(0) = 0
    v       1 - g, which keeps its digits near consensus
    y       log((n - (n-1) v) / v)
"""

import numpy as np
from scipy.special import exp1, expi

from spinodal.errors import InputError
from spinodal.theory.domain import LARGEST_EXPONENT, Counts, Numbers, count, real, signed_temperature

Y_CONSENSUS = 700.0  # here 1 - g < 1e-300: consensus, as far as doubles can tell


def gamma_speed_sa(gamma: Numbers, n: Counts, beta: Numbers) -> Numbers:
    """g' = 2 (1-g) ((n-1) g + 1) / (e^{beta (1-g)} + n - 1)  [glpr2023].

    The speed at which n tokens with one common cosine g approach each other under SA with Q = K = V = I.
    """
    n, beta, v = _check(gamma, n, beta)
    return 2 * v * (n - (n - 1) * v) * one_share(beta * v, n)


def gamma_speed_usa(gamma: Numbers, n: Counts, beta: Numbers) -> Numbers:
    """g' = (2/n) e^{beta g} (1-g) ((n-1) g + 1)  [glpr2023].

    The speed at which n tokens with one common cosine g approach each other under USA, whose weights are
    e^{beta <x,y>} / n. InputError for |beta| above 700, where the speed overflows.
    """
    n, beta, v = _check(gamma, n, signed_temperature(beta, LARGEST_EXPONENT))
    return 2 / n * np.exp(beta * (1 - v)) * v * (n - (n - 1) * v)


def gamma_time_sa(gamma: Numbers, n: Counts, beta: Numbers, start: Numbers = 0.0) -> Numbers:
    """t = [(n-1) y + G(1-g)]_start^gamma / (2n)  [derived].

    The time in which n tokens with one common cosine go from `start` to `gamma` under SA. InputError unless
    -1/(n-1) < start <= gamma < 1, and for beta (1-start) above 700, where the time overflows.
    """
    n, beta, v = _check(gamma, n, beta)
    return time_sa(v, n, beta, 1 - cosine("start", start, n))


def gamma_time_usa(gamma: Numbers, n: Counts, beta: Numbers, start: Numbers = 0.0) -> Numbers:
    """t = e^{-beta} [G(1-g)]_start^gamma / 2  [derived].

    The time in which n tokens with one common cosine go from `start` to `gamma` under USA with weights
    e^{beta <x,y>} / n; with weights e^{beta (<x,y> - 1)} / n it is e^beta times longer. InputError unless
    -1/(n-1) < start <= gamma < 1, and for |beta| above 700.
    """
    n, beta, v = _check(gamma, n, beta)
    return time_usa(v, n, beta, 1 - cosine("start", start, n))


def gamma_sa(t: Numbers, n: Counts, beta: Numbers, start: Numbers = 0.0) -> Numbers:
    """g(t) with g' = 2 (1-g) ((n-1) g + 1) / (e^{beta (1-g)} + n - 1)  [glpr2023].

    The common cosine of n tokens at time t under SA with Q = K = V = I, the inverse of `gamma_time_sa`; `start` is
    g(0), and orthonormal tokens have 0.

    >>> import numpy as np
    >>> from spinodal import theory
    >>> theory.gamma_sa(np.array([0.0, 1.0, 10.0]), n=32, beta=1.0).round(6).tolist()
    [0.0, 0.151849, 1.0]
    """
    n, beta, v0 = _check(start, n, beta, name="start")
    return 1 - deficit(time_sa, t, n, beta, v0)


def gamma_usa(t: Numbers, n: Counts, beta: Numbers, start: Numbers = 0.0) -> Numbers:
    """g(t) with g' = (2/n) e^{beta g} (1-g) ((n-1) g + 1)  [glpr2023].

    The common cosine of n tokens at time t under USA, the inverse of `gamma_time_usa`.
    """
    n, beta, v0 = _check(start, n, beta, name="start")
    return 1 - deficit(time_usa, t, n, beta, v0)


def time_sa(v, n, beta, v0) -> Numbers:
    """`gamma_time_sa` from the cosine 1 - v0 to 1 - v."""
    return ((n - 1) * (clock(v, n) - clock(v0, n)) + primitive_rise(v, n, beta, v0)) / (2 * n)


def time_usa(v, n, beta, v0) -> Numbers:
    """`gamma_time_usa` from the cosine 1 - v0 to 1 - v."""
    signed_temperature(beta, LARGEST_EXPONENT)
    return np.exp(-beta) * primitive_rise(v, n, beta, v0) / 2


def one_share(x: Numbers, n: Counts) -> Numbers:
    """1 / (e^x + n - 1), without overflow."""
    E = np.exp(-np.abs(x))
    return np.where(x < 0, 1 / (E + n - 1), E / (1 + (n - 1) * E))


def clock(v, n) -> Numbers:
    """y = log((n - (n-1) v) / v)."""
    return np.log((n - (n - 1) * v) / v)


def deficit_at(y, n) -> Numbers:
    """v = n / (e^y + n - 1)."""
    return n * np.exp(-y) / (1 + (n - 1) * np.exp(-y))


def deficit(time, t: Numbers, n, beta, v0) -> Numbers:
    """v with time(v, n, beta, v0) = t, by bisection in y."""
    t, n, beta, v0 = np.broadcast_arrays(real("t", t, 0.0, np.inf), n, beta, v0)
    low = clock(v0, n)
    high = np.full_like(low, Y_CONSENSUS)
    for _ in range(60):
        y = (low + high) / 2
        late = time(deficit_at(y, n), n, beta, v0) > t
        low, high = np.where(late, low, y), np.where(late, y, high)
    return deficit_at(low, n)


def scaled_exponential_integral(x: Numbers) -> Numbers:
    """U(x) = e^x E_1(x), by its asymptotic series above 50, where the factors leave double precision."""
    near = np.clip(x, -50.0, 50.0)
    far = np.where(x < 0, np.minimum(x, -50.0), np.maximum(x, 50.0))
    series = np.ones_like(far)
    for k in range(30, 0, -1):
        series = 1 - k / far * series
    E_1 = np.where(near < 0, -expi(-near), exp1(np.abs(near)))
    return np.where(np.abs(x) < 50, np.exp(near) * E_1, series / far)


def primitive(v, n, beta) -> Numbers:
    """G(v); at beta = 0, where the logarithms of beta in it cancel, log(w / v) with w = n / (n-1) - v."""
    w = n / (n - 1) - v
    b = np.where(beta != 0, beta, 1.0)
    G = -expi(b * v) - np.exp(b * v) * scaled_exponential_integral(b * w)
    return np.where(beta != 0, G, np.log(w / v))


def cosine(name: str, value: Numbers, n: np.ndarray) -> np.ndarray:
    """The value as float64, where -1/(n-1) < value < 1; else InputError."""
    value = real(name, value, -1.0, 1.0)
    if np.any((value >= 1) | (value * (n - 1) <= -1)):
        raise InputError(f"{name} = {value}: must be in (-1/(n-1), 1); tokens at either end never move")
    return value


def primitive_rise(v, n, beta, v0) -> Numbers:
    """G(v) - G(v0), for v <= v0."""
    if np.any(v > v0):
        raise InputError("gamma must not be below start: the cosine only grows")
    real("beta (1 - start)", np.maximum(beta, 0.0) * v0, 0.0, LARGEST_EXPONENT)
    return primitive(v, n, beta) - primitive(v0, n, beta)


def _check(
    gamma: Numbers, n: Counts, beta: Numbers, *, name: str = "gamma"
) -> tuple[np.ndarray, np.ndarray, Numbers]:
    """(n, beta, 1 - gamma) as arrays; InputError outside their domains."""
    n = count("n", n, 2)
    return n, signed_temperature(beta), 1 - cosine(name, gamma, n)
