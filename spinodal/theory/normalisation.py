r"""Equiangular tokens under six normalisation schemes: one curve g, in a clock of each scheme's own.

Write a token as r theta. Every scheme moves directions as SA does, divided by a factor s, so equiangular
tokens follow the same curve g in the clock d tau = dt / s. Where r grows (pre, peri) it has, in that clock,
the closed form r = r_0 e^tau sqrt(sigma(start) / sigma(g)), sigma(g) = 1 + (n-1) g [derived].

    scheme  s         r'                      scheme  s            r'
    post    1         0                       peri    r |A|        <theta, A> / |A|
    pre     r         <theta, A>              nGPT    |A| / alpha  0
    mix     post up to `switch`, then pre     sqrt    sqrt(t + 1)  0

    symbol  meaning                                           [norm2025]
    A       attention output of a token, sum_j w_ij theta_j   A_j
    radius  r at the start                                    r_0
    C       limit of (1-g) e^{2 tau}, for the tails           not there
"""

import numpy as np
from scipy.integrate import solve_ivp

from spinodal.errors import InputError
from spinodal.theory.domain import (
    LARGEST_EXPONENT,
    LEAST_BETA,
    Counts,
    Number,
    Numbers,
    count,
    real,
    signed_temperature,
    temperature,
)  # fmt: skip
from spinodal.theory.gamma import (
    clock,
    cosine,
    deficit_at,
    gamma_sa,
    one_share,
    primitive,
    scaled_exponential_integral,
)


def slope_post(n: Counts, beta: Numbers) -> Numbers:
    """g'(0) = 2 / (e^beta + n - 1)  [norm2025].

    How fast orthonormal tokens begin to align under post-LN; under mix-LN and sqrt scaling too.
    """
    return 2 * one_share(signed_temperature(beta), count("n", n, 2))


def slope_pre(n: Counts, beta: Numbers, radius: Numbers = 1.0) -> Numbers:
    """g'(0) = 2 / (r_0 (e^beta + n - 1))  [norm2025].

    How fast orthonormal tokens of length r_0 = `radius` begin to align under pre-LN.
    """
    return slope_post(n, beta) / real("radius", radius, 0.0, np.inf, ends=False)


def slope_peri(n: Counts, beta: Numbers, radius: Numbers = 1.0) -> Numbers:
    """g'(0) = 2 / (r_0 sqrt(e^{2 beta} + n - 1))  [norm2025].

    How fast orthonormal tokens of length r_0 = `radius` begin to align under peri-LN.
    """
    share = one_share(2 * signed_temperature(beta), count("n", n, 2))
    return 2 * np.sqrt(share) / real("radius", radius, 0.0, np.inf, ends=False)


def slope_ngpt(n: Counts, beta: Numbers, alpha: Numbers = 1.0) -> Numbers:
    """g'(0) = 2 alpha_0 / sqrt(e^{2 beta} + n - 1)  [norm2025].

    How fast orthonormal tokens begin to align under nGPT with step alpha_0 = `alpha`.
    """
    return real("alpha", alpha, 0.0, np.inf) * slope_peri(n, beta)


def gamma_pre(t: Numbers, n: int, beta: Number, *, radius: Number = 1.0, start: Number = 0.0) -> Numbers:
    """g' = g'_SA / r, r' = <theta, A>  [norm2025].

    The common cosine of n tokens at time t under pre-LN, by numerical integration; `radius` is their length at the
    start.
    """
    return _curve(t, n, beta, radius, start, lambda r, size, along: (r, along))


def gamma_mix(t: Numbers, n: int, beta: Number, *, switch: Number, radius: Number = 1.0) -> Numbers:
    """g' = g'_SA up to t = `switch`, then g' = g'_SA / r, r' = <theta, A>  [norm2025].

    The common cosine of n orthonormal tokens at time t under mix-LN: post-LN first, then pre-LN with r = `radius`.
    """
    t, there = real("t", t, 0.0, np.inf), float(np.asarray(gamma_sa(switch, n, beta)))
    late = gamma_pre(np.maximum(t - switch, 0.0), n, beta, radius=radius, start=there)
    return np.where(t < switch, gamma_sa(np.minimum(t, switch), n, beta), late)


def gamma_peri(t: Numbers, n: int, beta: Number, *, radius: Number = 1.0, start: Number = 0.0) -> Numbers:
    """g' = g'_SA / (r |A|), r' = <theta, A> / |A|  [norm2025].

    The common cosine of n tokens at time t under peri-LN, by numerical integration; `radius` is their length at the
    start.
    """
    return _curve(t, n, beta, radius, start, lambda r, size, along: (r * size, along / size))


def gamma_ngpt(t: Numbers, n: int, beta: Number, *, alpha: Number = 1.0, start: Number = 0.0) -> Numbers:
    """g' = alpha g'_SA / |A|  [norm2025].

    The common cosine of n tokens at time t under nGPT with a constant alpha. For an alpha that varies, leave it 1 and
    give t = int alpha.
    """
    real("alpha", alpha, 0.0, np.inf, ends=False)
    return _curve(t, n, beta, 1.0, start, lambda r, size, along: (size / alpha, 0.0))


def gamma_sqrt(t: Numbers, n: Counts, beta: Numbers, start: Numbers = 0.0) -> Numbers:
    """g(t) = g_SA(2 (sqrt(t+1) - 1))  [norm2025].

    The common cosine of n tokens at time t under scaling by the square root of the depth.
    """
    return gamma_sa(2 * (np.sqrt(real("t", t, 0.0, np.inf) + 1) - 1), n, beta, start)


def log_tail_post(t: Numbers, n: Counts, beta: Numbers) -> Numbers:
    """log(1-g) -> log C - 2 t  [norm2025; C derived].

    How orthonormal tokens approach consensus under post-LN, with
    n log C = (n-1) log n - euler - log beta - U(beta n/(n-1)) - G(1), U and G of `theory.gamma`.
    """
    n, beta = count("n", n, 2), real("beta", temperature(beta), 0.0, LARGEST_EXPONENT, ends=False)
    G = (
        -np.euler_gamma
        - np.log(beta)
        - scaled_exponential_integral(beta * n / (n - 1))
        - primitive(1.0, n, beta)
    )
    return ((n - 1) * np.log(n) + G) / n - 2 * real("t", t, 0.0, np.inf)


def log_tail_pre(t: Numbers, n: Counts, beta: Numbers, radius: Numbers = 1.0) -> Numbers:
    """log(1-g) -> log(C r_0^2 / (n t^2))  [norm2025; C derived].

    How orthonormal tokens approach consensus under pre-LN and peri-LN: r = r_0 e^tau / sqrt(n) ends at unit speed, so
    that r ~ t and tau ~ log(sqrt(n) t / r_0).
    """
    t = real("t", t, 0.0, np.inf, ends=False)
    radius = real("radius", radius, 0.0, np.inf, ends=False)
    return log_tail_post(0.0, n, beta) + 2 * np.log(radius / t) - np.log(n)


def log_tail_sqrt(t: Numbers, n: Counts, beta: Numbers) -> Numbers:
    """log(1-g) -> log C + 4 - 4 sqrt(t+1)  [norm2025; C derived].

    How orthonormal tokens approach consensus under scaling by the square root of the depth.
    """
    return log_tail_post(2 * (np.sqrt(real("t", t, 0.0, np.inf) + 1) - 1), n, beta)


def _curve(t, n: int, beta: Number, radius: Number, start: Number, scheme) -> Numbers:
    """g(t) by DOP853 in (y, log r), where `scheme(r, |A|, <theta, A>)` is (s, r')."""
    t = real("t", t, 0.0, 1e100)
    n, beta = int(count("n", n, 2)), float(temperature(beta, least=LEAST_BETA))
    r0 = float(real("radius", radius, 0.0, np.inf, ends=False))

    def rate(_, state):
        y, log_r = state
        v = deficit_at(y, n)
        E, sigma, r = np.exp(-beta * v), n - (n - 1) * v, np.exp(log_r)
        Z = 1 + (n - 1) * E
        size = np.sqrt((1 - E) ** 2 + 2 * (1 - E) * E * sigma + n * sigma * E**2) / Z
        speed, growth = scheme(r, size, 1 - (n - 1) * v * E / Z)
        return 2 * n * E / (Z * speed), growth / r

    times, back = np.unique(t, return_inverse=True)
    y0 = clock(1 - cosine("start", start, np.asarray(n)), n)
    run = solve_ivp(
        rate, (0.0, times[-1] or 1.0), (y0, np.log(r0)), method="DOP853", t_eval=times, rtol=1e-12, atol=1e-12
    )
    if not run.success:
        raise InputError(f"n = {n}, beta = {beta}: the curve stopped at t = {run.t[-1]:g}: {run.message}")
    return np.asarray(1 - deficit_at(run.y[0], n))[back].reshape(t.shape)
