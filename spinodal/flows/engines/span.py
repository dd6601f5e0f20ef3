r"""Fewer tokens than dimensions: the same flow in the span of the tokens, exactly.

With Q = K = V = I only inner products enter, and the drift of a token is a combination of tokens.
So with x = c B, B orthonormal rows, the flow of c in min(n, d) dimensions is the flow of x.
Reducing costs as much as one field: reduce once, flow c, and lift what is wanted at the end.

Householder's reflections are loops of their own: those of LAPACK round otherwise on another number of threads.
"""

from collections.abc import Sequence
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float, Shaped

from spinodal.arrays import token_array
from spinodal.flows.engines import direct
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention, Drift, Law
from spinodal.loops import compiled, plus, product, use_widest_vectors
from spinodal.sphere import require_unit


@compiled()
@no_type_check
def reflect(v, a):
    """a -= 2 v <v, a>."""
    use_widest_vectors()
    along = 0.0
    for j in range(v.size):
        along = plus(along, v[j] * a[j])
    for j in range(v.size):
        a[j] -= 2 * along * v[j]


@compiled()
@no_type_check
def orthogonalise(x, c, B):
    """x = c B with c triangular, by reflections of which x keeps the directions; c is 0 and B the identity before."""
    n = len(x)
    for k in range(n):
        v = x[k, k:]
        tail = 0.0
        for j in range(1, v.size):
            tail = plus(tail, v[j] * v[j])
        first, length = v[0], np.sqrt(v[0] * v[0] + tail)
        c[k, k] = first if tail == 0 else -length if first > 0 else length
        v[0] = first - c[k, k]
        scale = 1 / np.sqrt(2 * length * (length + abs(first))) if tail > 0 else 0.0
        for j in range(v.size):
            v[j] *= scale
        for i in range(k + 1, n):
            reflect(v, x[i, k:])
            c[i, k] = x[i, k]
    for k in range(n - 1, -1, -1):
        for i in range(k, n):
            reflect(x[k, k:], B[i, k:])


def reduce_to_span(
    x: Shaped[Any, "n d"] | Sequence[Any],
) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "r d"]]:
    """(c, B) with x = c B, r = min(n, d), |c_i| = 1 and B B^T = 1; for n >= d, c = x  [derived].

    Coordinates of the tokens in their own span: with Q = K = V = I the flow of c is that of x in fewer dimensions.
    InputError unless x [n d], an array, a list or a tensor, holds unit vectors.
    """
    return coordinates_in_span(require_unit(token_array(x, "x")))


def coordinates_in_span(
    x: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "r d"]]:
    """`reduce_to_span` of tokens that are unit vectors, or nearly so, by construction."""
    n, d = x.shape
    if n >= d:
        return x, np.eye(d)
    c, B = np.zeros((n, n)), np.eye(n, d)
    orthogonalise(np.array(x, np.float64, order="C"), c, B)
    return c / np.linalg.norm(c, axis=1, keepdims=True), B


def drift(x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], law: Law) -> Drift:
    """The drift of c, lifted by B. The rounding of c moves tokens by eps, and the bound says so."""
    c, B = coordinates_in_span(x)
    if c.shape[1] == 1:
        return Drift(np.zeros_like(x), np.ones(1), np.zeros(1))
    answer = direct.drift(c, weights, law)
    rate = 1.0 if law.clock is None else law.clock * answer.Z
    return Drift(product(answer.drift, B), answer.Z, answer.error_bound + bound_in_span(law.beta) * rate)


def average(kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i of c, lifted by B."""
    c, B = coordinates_in_span(x)
    mean = direct.average(Kernel(kernel.top), c, weights)
    return Attention(product(mean.shift, B), mean.log_partition, mean.error_bound + bound_in_span(kernel.top))


def bound_in_span(beta: float) -> float:
    return 8 * EPS * (1 + beta)


def infinite_cost(problem: Problem) -> float:
    """inf, so that the engine runs only by name: a caller with n < d reduces once, and not at every step."""
    return np.inf


ENGINE = Engine("span", average=Routine(average, infinite_cost), drift=Routine(drift, infinite_cost))
