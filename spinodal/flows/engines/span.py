r"""Fewer tokens than dimensions: the same flow in the span of the tokens, exactly.

With Q = K = V = I only inner products enter, and the drift of a token is a combination of tokens.
So with x = c B, B orthonormal rows, the flow of c in min(n, d) dimensions is the flow of x.
The reduction costs as much as one drift: reduce once, integrate c, and multiply by B at the end.

LAPACK factors on one thread: on another number of threads it rounds otherwise.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from spinodal.arrays import token_array
from spinodal.flows.engines import direct
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention, Drift, Law
from spinodal.loops import one_thread_of_algebra, product
from spinodal.sphere import require_unit


def reduce_to_span(
    x: Shaped[Any, "n d"] | Sequence[Any],
) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "r d"]]:
    """(c, B) with x = c B, r = min(n, d), |c_i| = 1 and B B^T = 1; for n >= d, c = x  [derived].

    Coordinates of the tokens in their own span: with Q = K = V = I the flow of c is that of x in fewer dimensions.
    InputError unless x [n d], an array, a list or a tensor, holds unit vectors; for n >= d nothing is computed of them.
    """
    x = token_array(x, "x")
    return coordinates_in_span(require_unit(x) if len(x) < x.shape[1] else x)


def coordinates_in_span(
    x: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, "r d"]]:
    """`reduce_to_span` of tokens that are unit vectors, or nearly so, by construction."""
    n, d = x.shape
    if n >= d:
        return x, np.eye(d)
    with one_thread_of_algebra():
        B, c = (np.ascontiguousarray(part.T) for part in np.linalg.qr(x.T))
    return c / np.linalg.norm(c, axis=1, keepdims=True), B


def drift(x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], law: Law) -> Drift:
    """dx/dt = (dc/dt) B, with a bound that includes the effect of the rounding of c."""
    c, B = coordinates_in_span(x)
    if c.shape[1] == 1:
        return Drift(np.zeros_like(x), np.ones(1), np.zeros(1))
    answer = direct.drift(c, weights, law)
    rate = 1.0 if law.clock is None else law.clock * answer.Z
    return Drift(product(answer.drift, B), answer.Z, answer.error_bound + bound_in_span(law.beta) * rate)


def average(kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i of the coordinates c, multiplied by B."""
    c, B = coordinates_in_span(x)
    mean = direct.average(Kernel(kernel.inverse_temperature), c, weights)
    return Attention(product(mean.shift, B), mean.log_partition, mean.error_bound + bound_in_span(kernel.top))


def bound_in_span(beta: float) -> float:
    """A bound on the error of m_i by the rounding of the coordinates in the span."""
    return 8 * EPS * (1 + abs(beta))


def infinite_cost(problem: Problem) -> float:
    """inf, so that the engine runs only by name: a caller with n < d reduces once, and not at every step."""
    return np.inf


ENGINE = Engine(
    "span", average=Routine(average, infinite_cost), drift=Routine(drift, infinite_cost), negative=True
)
