r"""Attention on S^{d-1} in O(n) by harmonics of d variables, for d = 4 to 8 while tokens are spread  [derived].

    e^{b (<x,y> - 1)} = sum_l mu_l sum_{f of degree l} f(x) f(y),
    mu_l = e^{-b} Gamma(v+1) (2/b)^v I_{l+v}(b),   v = d/2 - 1,

over functions f that are orthonormal on the sphere, of which sum f(x) f(y) of degree l is at most the number of them.
They are made of one variable more at a time: with h a harmonic of degree m of k - 1 variables and a = m + (k-2)/2,

    f = q_j(x_k, r_k^2) h,   x_k q_j = c_{j+1} q_{j+1} + c_j r_k^2 q_{j-1},   c_j^2 = j (j+2a-1) / 4 (j+a) (j+a-1),

has degree m + j; r_k^2 = x_1^2 + ... + x_k^2. Sums over tokens, and then over functions, are products of matrices.

The error is absolute, as on the circle: relative to a token's own Z_i it is eps / Z_i, and infinite where Z_i is less.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.special import betaln, gammaln, hyp0f1, ive

from spinodal.errors import InputError
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention, quotient, rounding_of_sum
from spinodal.loops import in_parts, one_thread_of_algebra

TAIL = 3e-14  # sum of what is left out, relative to the largest value
MOST = 250_000  # functions, whose sums take 2 MB for each value
BLOCK = 512  # tokens at a time
LEAST = 1024  # tokens a thread takes at least
DIMENSIONS = range(4, 9)  # of the automatic choice: the circle and S^2 have engines of their own
LOST = 1e-8  # error of half of the tokens, relative to the largest drift, at which an attempt is given up


def number_of_functions(degree: int, d: int) -> int:
    """How many harmonics of d variables there are up to a degree."""
    return math.comb(degree + d - 1, d - 1) + math.comb(degree + d - 2, d - 1)


@lru_cache
def eigenvalues(beta: float, d: int) -> Float[np.ndarray, " l"]:
    """[mu_0, mu_1, ...], as many as the tail of the series needs; empty where these are more than `MOST` functions."""
    v, L = d / 2 - 1, 1
    while number_of_functions(L, d) <= MOST:
        L += 1
    l = np.arange(L + 1)
    if beta <= 1:
        mu = (
            np.exp(gammaln(v + 1) - gammaln(l + v + 1) - beta)
            * (beta / 2) ** l
            * hyp0f1(l + v + 1, beta**2 / 4)
        )
    else:
        mu = np.exp(gammaln(v + 1) + v * math.log(2 / beta)) * ive(l + v, beta)
    count = np.diff([number_of_functions(k, d) for k in range(L + 1)], prepend=0)
    tail = np.cumsum((count * mu)[::-1])[::-1]  # of this degree and all above it
    few = np.count_nonzero(tail > TAIL)
    return mu[:few] if few <= L else mu[:0]


@lru_cache
def coefficients(k: int, degree: int) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "j m"]]:
    """q_0, and c_1 to c_degree, of k variables over harmonics of degree m = 0 to `degree`."""
    m, j = np.arange(degree + 1), np.arange(1, degree + 1)[:, None]
    a = m + (k - 2) / 2
    first = np.exp((betaln(0.5, (k - 1) / 2) - betaln(0.5, a + 0.5)) / 2)
    return first, np.sqrt(j * (j + 2 * a - 1) / (4 * (j + a) * (j + a - 1)))


def radial(
    x: Float[np.ndarray, " b"], square: Float[np.ndarray, " b"], k: int, degree: int
) -> Float[np.ndarray, "j m b"]:
    """q_j of k variables over harmonics of degree m, for j + m <= degree; the rest is not filled."""
    first, c = coefficients(k, degree)
    q = np.empty((degree + 1, degree + 1, len(x)))
    q[0] = first[:, None]
    for j in range(degree):
        m = degree - j
        new = np.multiply(x, q[j, :m], out=q[j + 1, :m])
        if j:
            new -= (c[j - 1, :m, None] * square) * q[j - 1, :m]
        new /= c[j, :m, None]
    return q


def functions(
    x: Float[np.ndarray, "b d"], degree: int
) -> Iterator[tuple[int, Float[np.ndarray, "j b"], Float[np.ndarray, "c b"]]]:
    """(m, q, h) for each m: the functions q_j h_c up to a degree, h the harmonics of degree m of x_1 to x_{d-1}."""
    x = np.ascontiguousarray(x.T)
    found = [np.ones_like(x[:1])]
    power = np.stack([x[0], x[1]]) * math.sqrt(2)  # real and imaginary part of sqrt(2) (x_1 + i x_2)^m
    for _ in range(degree):
        found.append(power)
        power = np.stack([power[0] * x[0] - power[1] * x[1], power[0] * x[1] + power[1] * x[0]])
    square = x[0] ** 2 + x[1] ** 2
    for k in range(3, len(x)):
        square = square + x[k - 1] ** 2
        q = radial(x[k - 1], square, k, degree)
        found = [np.concatenate([q[l - m, m] * found[m] for m in range(l + 1)]) for l in range(degree + 1)]
    q = radial(x[-1], square + x[-1] ** 2, len(x), degree)
    for m, h in enumerate(found):
        yield m, q[: degree + 1 - m, m], h


def moments(
    x: Float[np.ndarray, "n d"], values: Float[np.ndarray, "n v"], degree: int
) -> list[Float[np.ndarray, "_ _"]]:
    """sum_j f(x_j) v_j of all functions f = q_k h_c: for each m an array [(k v) c]."""
    total: list[np.ndarray] = [np.zeros(())] * (degree + 1)
    for start in range(0, len(x), BLOCK):
        v = values[start : start + BLOCK].T
        for m, q, h in functions(x[start : start + BLOCK], degree):
            total[m] = total[m] + (q[:, None] * v).reshape(-1, v.shape[1]) @ h.T
    return total


def sums(
    x: Float[np.ndarray, "n d"],
    total: list[Float[np.ndarray, "_ _"]],
    mu: Float[np.ndarray, " l"],
    width: int,
) -> Float[np.ndarray, "n v"]:
    """sum_f mu_f f(x_i) sum_j f(x_j) v_j, from the moments."""
    out = np.zeros((len(x), width))
    for start in range(0, len(x), BLOCK):
        part = out[start : start + BLOCK]
        for m, q, h in functions(x[start : start + BLOCK], len(mu) - 1):
            found = (total[m] @ h).reshape(len(q), width, -1)
            found *= (mu[m:, None] * q)[:, None]
            part += found.sum(0).T
    return out


def average(kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i and log Z_i, from the sums sum_j w_j e^{b (<x_i, x_j> - 1)} (1, x_j) over harmonics.

    InputError for d < 3, and where there are more than `MOST` functions.
    """
    n, d = x.shape
    if d < 3:
        raise InputError(
            f"engine 'harmonics' needs d >= 3, the tokens have d = {d}; use 'auto' as `engine`",
            field="engine",
        )
    mu = eigenvalues(kernel.top, d)
    if kernel.inverse_temperature < 0:
        mu = mu * (-1.0) ** np.arange(len(mu))
    if not len(mu):
        raise InputError(
            f"engine 'harmonics' would need more than {MOST} functions for d = {d}, beta = {kernel.top:g}; "
            "use 'auto' as `engine`",
            field="engine",
        )
    values = np.concatenate([weights[:, None], weights[:, None] * x], 1)
    with one_thread_of_algebra():
        parts = in_parts(lambda a, b: moments(x[a:b], values[a:b], len(mu) - 1), n, LEAST)
        total = [np.sum(of_degree, 0) for of_degree in zip(*parts, strict=True)]
        out = np.concatenate(in_parts(lambda a, b: sums(x[a:b], total, mu, d + 1), n, LEAST))
    noise = TAIL + EPS * (8 + 2 * len(mu) + rounding_of_sum(n, BLOCK, BLOCK / 8 + n / BLOCK))
    return quotient(out[:, 1:], out[:, 0], noise, x, kernel.top)


def attempt(
    kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]
) -> Attention | None:
    """The average; None where half of the tokens would have to be computed again."""
    mean = average(kernel, x, weights)
    tangent = mean.shift - np.sum(mean.shift * x, 1, keepdims=True) * x
    return None if np.median(mean.error_bound) > LOST * np.abs(tangent).max() else mean


def cost(problem: Problem) -> float:
    """Microseconds of an attempt, doubled because it may be given up; inf where it is not to be tried."""
    d = problem.d or 0
    degrees = len(eigenvalues(abs(problem.beta), d)) if d in DIMENSIONS and problem.n >= LEAST else 0
    if not degrees:
        return math.inf
    numbers = (d + 1) * number_of_functions(degrees - 1, d)
    return 2 * problem.n * (3 + 0.03 * degrees**2 + 6e-4 * numbers)


ENGINE = Engine("harmonics", average=Routine(average, cost, attempt=attempt), negative=True)
