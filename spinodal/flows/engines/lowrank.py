r"""Attention by a pivoted Cholesky factor of its kernel, with a certificate; for d > 3 once tokens cluster.

G_ij = e^{b (<x_i,x_j> - 1)} is positive semidefinite. So r steps of Cholesky, each at the largest
diagonal entry that is left, leave a remainder R that is positive semidefinite too, and
    G = L^T L + R,   |R_ij| <= sqrt(R_ii R_jj):
the diagonal, which the algorithm computes, bounds every entry left out. Then num and Z cost O(n r d).
With b < 0 the kernel is that of |b| between x_i and -x_j: the factor is that of the 2n points x and -x, of
which the entries between the two halves are needed  [derived].

Sums are loops of their own: those of a BLAS have an order that depends on the number of threads.
"""

from functools import partial
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention, quotient
from spinodal.loops import compiled, exp2, in_parts, plus, use_widest_vectors

LEFT = 1e-13  # diagonal at which the factor is complete
RANK_MAX = 2000
FEWEST = 4096  # tokens for which a failed attempt costs little beside every pair
BLOCK = 512  # tokens at a time: what is summed over them stays in the nearest cache
LEAST = 4096  # tokens a thread takes at least


@compiled()
@no_type_check
def add_row(x, L, rest, pivot, kappa, start, stop):
    """L_rj = (G_pj - sum_{s<r} L_sp L_sj) / sqrt(R_pp), R_jj -= L_rj^2, start <= j < stop.

    pivot = (x_p, L_:p, R_pp).
    """
    use_widest_vectors()
    there, before, left = pivot
    r, scale = before.size, 1 / np.sqrt(left)
    for b in range(start, stop, BLOCK):
        e = min(stop, b + BLOCK)
        row, own = L[r, b:e], rest[b:e]
        row[:] = 0.0
        for k in range(there.size):
            part, centre = x[k, b:e], there[k]
            for j in range(row.size):
                row[j] += (part[j] - centre) * (part[j] - centre)
        for j in range(row.size):
            row[j] = exp2(-kappa * row[j])
        for s in range(r):
            part, weight = L[s, b:e], before[s]
            for j in range(row.size):
                row[j] -= weight * part[j]
        for j in range(row.size):
            row[j] *= scale
            own[j] = max(own[j] - row[j] * row[j], 0.0)


@compiled()
@no_type_check
def dot(a, b):
    """sum_j a_j b_j."""
    use_widest_vectors()
    total = 0.0
    for j in range(a.size):
        total = plus(total, a[j] * b[j])
    return total


@compiled()
@no_type_check
def project(L, values, start, stop):
    """sum_j L_rj v_cj over the tokens from start to stop [r c]."""
    total = np.zeros((len(L), len(values)))
    for b in range(start, stop, BLOCK):
        e = min(stop, b + BLOCK)
        for r in range(len(L)):
            for c in range(len(values)):
                total[r, c] += dot(L[r, b:e], values[c, b:e])
    return total


@compiled()
@no_type_check
def expand(L, sums, out, start, stop):
    """out_cj = sum_r L_rj s_rc of the tokens from start to stop."""
    use_widest_vectors()
    for b in range(start, stop, BLOCK):
        e = min(stop, b + BLOCK)
        for c in range(len(out)):
            part = out[c, b:e]
            part[:] = 0.0
            for r in range(len(L)):
                row, weight = L[r, b:e], sums[r, c]
                for j in range(part.size):
                    part[j] += weight * row[j]


def factor(
    x: Float[np.ndarray, "n d"], beta: float, max_rank: int
) -> tuple[Float[np.ndarray, "r n"], Float[np.ndarray, " n"]] | None:
    """(L, diagonal of R) with G = L^T L + R and R_ii <= 1e-13; None where the rank is above `max_rank`."""
    n, rows = len(x), np.ascontiguousarray(x.T)
    L, rest, kappa = np.empty((max_rank, n)), np.ones(n), beta / (2 * np.log(2))
    for r in range(max_rank + 1):
        p = int(np.argmax(rest))
        if rest[p] <= LEFT:
            return L[:r], rest
        if r == max_rank:
            return None
        pivot = x[p].copy(), L[:r, p].copy(), float(rest[p])
        in_parts(partial(add_row, rows, L, rest, pivot, kappa), n, LEAST)
        rest[p] = 0
    raise AssertionError


def low_rank_sums(
    kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], max_rank: int | None = None
) -> Attention | None:
    """m_i = num_i / Z_i - x_i and log Z_i, with num = L^T L (w x) and Z = L^T L w.

    None where the rank is above `max_rank`, which is sqrt(n) if not given.
    """
    n, beta, most = len(x), kernel.top, int(np.sqrt(len(x))) if max_rank is None else max_rank
    opposite = kernel.inverse_temperature < 0
    points = np.concatenate([x, -x]) if opposite else x
    found = factor(points, beta, min(len(points), most))
    if found is None:
        return None
    L, rest = found
    targets, sources = (
        (np.ascontiguousarray(L[:, :n]), np.ascontiguousarray(L[:, -n:])) if opposite else (L, L)
    )
    values = np.ascontiguousarray(np.vstack([weights, weights * x.T]))
    sums, out = np.sum(in_parts(partial(project, sources, values), n, LEAST), 0), np.empty_like(values)
    in_parts(partial(expand, targets, sums, out), n, LEAST)
    additions = min(n, BLOCK / 8 + n / BLOCK)  # one after the other
    left_out = np.sqrt(rest[:n]) * np.sum(weights * np.sqrt(rest[-n:]))
    left_out += EPS * (8 + 2 * len(L) + 2 * beta + additions / 2)
    return quotient(out[1:].T, out[0], left_out, x, beta)


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
    """Microseconds of an attempt; inf for n < `FEWEST`, and for d <= 3, where other engines are faster."""
    return 0.025 * problem.n**1.5 if problem.n >= FEWEST and (problem.d or 0) > 3 else np.inf


ENGINE = Engine("lowrank", average=Routine(average, cost, attempt=low_rank_sums), negative=True)
