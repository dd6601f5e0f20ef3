r"""Attention by a pivoted Cholesky factor of its kernel, with a certificate; for d > 3 once tokens cluster.

G_ij = e^{b (<x_i,x_j> - 1)} is positive semidefinite. So r steps of Cholesky, each at the largest
diagonal entry that is left, leave a remainder R that is positive semidefinite too, and
    G = L^T L + R,   |R_ij| <= sqrt(R_ii R_jj):
the diagonal, which the algorithm knows, bounds every entry left out. Then num and Z cost O(n r d).
"""

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention

LEFT = 1e-13  # diagonal at which the factor is complete
RANK_MAX = 2000
FEWEST = 4096  # tokens for which a failed attempt costs little beside every pair


def factor(
    x: Float[np.ndarray, "n d"], beta: float, max_rank: int
) -> tuple[Float[np.ndarray, "r n"], Float[np.ndarray, " n"]] | None:
    """(L, diagonal of R) with G = L^T L + R and R_ii <= 1e-13; None where the rank is above `max_rank`."""
    L = np.empty((max_rank, len(x)))
    rest = np.ones(len(x))
    for r in range(max_rank + 1):
        pivot = int(np.argmax(rest))
        if rest[pivot] <= LEFT:
            return L[:r], rest
        if r == max_rank:
            return None
        row = np.exp(beta * (x @ x[pivot] - 1))
        row -= L[:r, pivot] @ L[:r]
        L[r] = row / np.sqrt(rest[pivot])
        rest = np.maximum(rest - L[r] ** 2, 0)
        rest[pivot] = 0
    raise AssertionError


def low_rank_sums(
    kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], max_rank: int | None = None
) -> Attention | None:
    """num = L^T L (w x), Z = L^T L w; None where the rank is above `max_rank`, sqrt(n) if that is not given."""
    beta, most = kernel.top, int(np.sqrt(len(x))) if max_rank is None else max_rank
    found = factor(x, beta, min(len(x), most))
    if found is None:
        return None
    L, rest = found
    sums = L.T @ (L @ np.column_stack([weights, weights[:, None] * x]))
    left_out = np.sqrt(rest) * (weights @ np.sqrt(rest)) + EPS * (8 + 2 * len(L) + 2 * beta)
    Z = np.maximum(sums[:, 0], left_out)
    return Attention(sums[:, 1:] / Z[:, None] - x, np.log(Z) + beta, 2 * left_out / Z)


def average(kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Attention:
    """As `low_rank_sums`, but a rank above RANK_MAX is an InputError."""
    mean = low_rank_sums(kernel, x, weights, RANK_MAX)
    if mean is None:
        raise InputError(
            f"engine 'lowrank': these {len(x)} tokens have rank above {RANK_MAX}; use `engine` 'attention'",
            field="engine",
        )
    return mean


def cost(problem: Problem) -> float:
    """Of an attempt; with few tokens, or on the circle and on S^2, it is never worth it."""
    return 0.025 * problem.n**1.5 if problem.n >= FEWEST and (problem.d or 0) > 3 else np.inf


ENGINE = Engine("lowrank", average=Routine(average, cost, attempt=low_rank_sums))
