r"""Two tokens, or two clusters: the time until they merge.

Two tokens are the equiangular curve with n = 2, cos u in place of g. Two clusters of masses m and 1 - m
obey, with c = cos u, R = e^{beta (1-c)}, P = m (1-m) and S = m^2 + (1-m)^2 [derived],

    USA:  u' = -e^{beta c} sin u, whatever the masses,
    SA:   u' = -sin u (S R + 2 P) / (P R^2 + S R + P).

    symbol  meaning
    u       angle between the two, 0 < u < pi
    m       share of one cluster in the mass of both
"""

import numpy as np
from scipy.integrate import quad

from spinodal.errors import InputError
from spinodal.theory.domain import LARGEST_EXPONENT, Numbers, real, signed_temperature, temperature
from spinodal.theory.gamma import clock, deficit, primitive_rise, time_sa, time_usa

RIGHT_ANGLE = np.pi / 2


def two_token_time_sa(angle: Numbers, beta: Numbers, start: Numbers = RIGHT_ANGLE) -> Numbers:
    """t = int (e^beta + e^{beta cos u}) / (2 e^{beta cos u} sin u) du from `angle` to `start`  [glpr2023].

    The time in which two tokens under SA come from the angle `start` to `angle`, in radians.

    >>> import numpy as np
    >>> from spinodal import theory
    >>> theory.two_token_time_sa(np.array([1.0, 0.1]), beta=4.0).round(6).tolist()
    [6.708089, 10.021878]
    """
    return time_sa(_deficit("angle", angle), 2, signed_temperature(beta), _deficit("start", start))


def two_token_time_usa(angle: Numbers, beta: Numbers, start: Numbers = RIGHT_ANGLE) -> Numbers:
    """t = int du / (e^{beta cos u} sin u) from `angle` to `start`  [glpr2023].

    The time in which two tokens under USA come from the angle `start` to `angle`, in radians. Two clusters of any
    masses that sum to one take this time too [derived].
    """
    return time_usa(_deficit("angle", angle), 2, signed_temperature(beta), _deficit("start", start))


def two_token_angle_sa(t: Numbers, beta: Numbers, start: Numbers = RIGHT_ANGLE) -> Numbers:
    """u(t) with u' = -2 e^{beta cos u} sin u / (e^beta + e^{beta cos u})  [glpr2023].

    The angle between two tokens at time t under SA, the inverse of `two_token_time_sa`.
    """
    v = deficit(time_sa, t, 2, signed_temperature(beta), _deficit("start", start))
    return 2 * np.arcsin(np.sqrt(v / 2))


def two_token_angle_usa(t: Numbers, beta: Numbers, start: Numbers = RIGHT_ANGLE) -> Numbers:
    """u(t) with u' = -e^{beta cos u} sin u  [glpr2023].

    The angle between two tokens at time t under USA, the inverse of `two_token_time_usa`.
    """
    v = deficit(time_usa, t, 2, signed_temperature(beta), _deficit("start", start))
    return 2 * np.arcsin(np.sqrt(v / 2))


def two_cluster_time_sa(
    angle: Numbers, beta: Numbers, start: Numbers = RIGHT_ANGLE, share: Numbers = 0.5
) -> Numbers:
    """t = int (P R^2 + S R + P) / (S R + 2 P) du / sin u from `angle` to `start`  [derived].

    The time in which two clusters, one with a `share` m of the mass, come from one angle to another under SA,
    where P = m (1 - m), S = m^2 + (1 - m)^2 and R = e^{beta (1 - cos u)}. Here P R^2 + S R + P = (S R + 2 P)
    (R P/S + a) + r with a = 1 - 2 P^2/S^2 and r = P - 2 P a: the integral of R P/S is G P/S, that of a is a
    logarithm, and only the bounded rest r / (S R + 2 P) is integrated numerically.
    """
    m = real("share", share, 0.0, 1.0, ends=False)
    v, v0 = _deficit("angle", angle), _deficit("start", start)
    beta = signed_temperature(beta)
    P, S = m * (1 - m), m**2 + (1 - m) ** 2
    a = 1 - 2 * (P / S) ** 2
    y, y0 = clock(v, 2), clock(v0, 2)
    waiting = P / S * primitive_rise(v, 2, beta, v0) / 2
    return waiting + a * (y - y0) / 2 + (P - 2 * P * a) * _bounded_rest(y0, y, beta, P, S)


def waiting_time(angle: Numbers, beta: Numbers, share: Numbers = 0.5) -> Numbers:
    """t ~ (P/S) e^{beta (1 - cos u)} / (beta sin^2 u), P = m (1 - m), S = m^2 + (1 - m)^2  [derived].

    The time that SA takes to merge two clusters, with shares m and 1 - m of the mass, from an angle u, for
    large beta: Laplace's method in `two_cluster_time_sa`, with a relative error O(1/beta). Under USA divide
    by (P/S) e^beta.
    """
    m = real("share", share, 0.0, 1.0, ends=False)
    v = _deficit("angle", angle)
    beta = real("beta", temperature(beta), 0.0, np.inf, ends=False)
    real("beta (1 - cos angle)", beta * v, 0.0, LARGEST_EXPONENT)
    return m * (1 - m) / (m**2 + (1 - m) ** 2) * np.exp(beta * v) / (beta * v * (2 - v))


def causal_rate(k: Numbers) -> Numbers:
    """1 - 1/k  [derived].

    The rate at which token k > 1 of a causal flow with V = I approaches the first token, which rests. Near the
    consensus x_1(0) of [causal2024] all weights are 1/k and the flow is triangular. The second token is the slowest:
    its angle to the first is `two_token_angle_sa` at half the time.
    """
    return 1 - 1 / real("k", k, 2.0, np.inf)


def _deficit(name: str, angle: Numbers) -> Numbers:
    """1 - cos(angle), without cancellation."""
    return 2 * np.sin(real(name, angle, 0.0, np.pi, ends=False) / 2) ** 2


@np.vectorize
def _bounded_rest(y0, y, beta, P, S):
    """int_{y0}^{y} dy / (2 (S R + 2 P)), R = e^{beta v} at v = 2 / (e^y + 1)."""
    rest = lambda y: 0.5 / (S * np.exp(2 * beta / (np.exp(y) + 1)) + 2 * P)
    value, error = quad(rest, y0, y, epsrel=1e-12, epsabs=1e-13)
    if error > 1e-9 * max(1.0, abs(value)):
        raise InputError(f"beta = {beta}: the quadrature of the merging time has an error of {error:.1e}")
    return value
