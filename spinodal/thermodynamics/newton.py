r"""The negative flash in double precision: damped Newton's method on F = 0, and how many of its digits are certain.

symbol  meaning                                              shape
A       K with the reference phase last                      p n b
C       A_ij - A_iP = K - 1                                  q n b
D       A_ij less the A of one phase                         q n b
w       C / u or D / u                                       q n b
H       Hessian of Q, sum_i z_i w_ij w_il                    q q b
"""

from typing import NamedTuple

import torch
from torch import Tensor

DECREMENT = 1e-16  # squared, before the last step of Newton, which squares it once more
PIVOT = 1e-9  # of H relative to its diagonal, down to which double precision is trusted
DIGITS = 1e-12  # that certain fractions have
DILUTION = 1e-11  # relative, that certain dilutions have
LAST = 1e-9  # relative change of a dilution in one step, whose square is no longer seen
ROUNDING = 2.0**-53


class Newton(NamedTuple):
    """Fractions of all phases, the number of steps, and whether they converged, for each mixture."""

    L: Tensor  # p b
    iterations: Tensor  # b
    converged: Tensor  # b


def newton(z: Tensor, A: Tensor, steps: int) -> Newton:
    """Fractions of all phases with F = 0, for feeds of sum near one."""
    C, base = A[:-1] - A[-1], A[-1]
    L = torch.full_like(C[:, 0], 1 / len(A))
    iterations = torch.zeros_like(L[0], dtype=torch.long)
    running = torch.ones_like(L[0], dtype=torch.bool)
    for _ in range(steps):
        iterations += running
        w, F, H = derivatives(z, C, base + phase_sum(L, C))
        d = factorise(H).solve(F)
        f = -phase_sum(d, w).amin(0)
        L = L + d * (running / (f.clamp_min(4 / 9) + 5 / 9))
        running = running & ~((F * d).sum(0).abs() <= DECREMENT) & ~(f <= 0)
        if not running.any():
            break
    return Newton(torch.cat([L, 1 - L.sum(0, keepdim=True)]), iterations, ~running)


class Certainty(NamedTuple):
    """Whether L and u have their digits after the last `step`, F before it and the rounding `error` of F."""

    certain: Tensor  # b
    F: Tensor  # q b
    error: Tensor  # q b
    step: Tensor  # q b


def certainty(
    z: Tensor, D: Tensor, u: Tensor, size: Tensor, L: Tensor, held: Tensor | None = None
) -> Certainty:
    """Whether rounding leaves L and u the digits that are promised, after one more step of Newton  [derived].

    F has the rounding error of its terms: a few ulps, and more where u is small beside the `size` of its own
    terms. |H^-1| times that bounds the error of L. A step below `LAST` leaves an error of its square. Phases
    that are `held` do not move.
    """
    w, F, H = derivatives(z, D, u)
    magnitude = w.abs()
    error = ROUNDING * (magnitude * (z * (4 + size / u))).sum(1)
    right, rounding = F, error
    if held is not None:
        right, rounding = F.masked_fill(held, 0.0), error.masked_fill(held, 0.0)
        H = H.masked_fill(held.unsqueeze(0) | held.unsqueeze(1), 0.0)
        H.diagonal().T.masked_fill_(held, 1.0)
    factors = factorise(H)
    change, step = factors.bound(rounding), factors.solve(right)
    sure = (factors.pivots > PIVOT * H.diagonal().T) & (change <= DIGITS * L.abs().clamp_min(1))
    steepest = magnitude.amax(1)
    last = ((change * steepest).sum(0) <= DILUTION) & ((step.abs() * steepest).sum(0) <= LAST)
    return Certainty(sure.all(0) & last, F, error, step)


def phase_sum(L: Tensor, K: Tensor) -> Tensor:
    """sum_j L_j K_ij."""
    total = L[0] * K[0]
    for fraction, factors in zip(L[1:], K[1:], strict=True):
        total.addcmul_(fraction, factors)
    return total


def component_sum(z: Tensor, K: Tensor, u: Tensor) -> Tensor:
    """sum_i z_i K_ij / u_i."""
    return (K * (z / u)).sum(1)


def derivatives(z: Tensor, K: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """w = K / u, sum_i z_i w_ij and the upper triangle of H_jl = sum_i z_i w_ij w_il."""
    w = K / u
    zw = w * z
    H = w.new_zeros(len(w), len(w), w.shape[-1])
    for j, row in enumerate(w):
        H[j, j:] = (row * zw[j:]).sum(1)
    return w, zw.sum(1), H


class Factors(NamedTuple):
    """H = M D M^T from its upper triangle: columns of M below its unit diagonal, and the pivots D.

    In elementwise steps over the batch, since LAPACK takes one matrix a call.
    """

    columns: list[Tensor]
    pivots: Tensor

    def solve(self, F: Tensor) -> Tensor:
        y = F.clone()
        for k, column in enumerate(self.columns):
            y[k + 1 :].addcmul_(column, y[k], value=-1)
        y /= self.pivots
        for k in reversed(range(len(self.columns))):
            y[k] -= (self.columns[k] * y[k + 1 :]).sum(0)
        return y

    def bound(self, error: Tensor) -> Tensor:
        """|H^-1| error, a bound on |H^-1 F| for any F with |F| <= error."""
        q = len(error)
        y = torch.eye(q, dtype=error.dtype, device=error.device).unsqueeze(-1).repeat(1, 1, error.shape[-1])
        for k, column in enumerate(self.columns):
            y[k + 1 :].addcmul_(column.unsqueeze(1), y[k], value=-1)
        y /= self.pivots.unsqueeze(1)
        for k in reversed(range(len(self.columns))):
            y[k] -= (self.columns[k].unsqueeze(1) * y[k + 1 :]).sum(0)
        return (y.abs() * error).sum(1)


def factorise(H: Tensor) -> Factors:
    """H = M D M^T of symmetric matrices [q q b], without pivoting."""
    columns, pivots = [], [H[0, 0]]
    while len(H) > 1:
        columns.append(H[0, 1:] / H[0, 0])
        H = torch.addcmul(H[1:, 1:], columns[-1].unsqueeze(1), H[0, 1:], value=-1)
        pivots.append(H[0, 0])
    return Factors(columns, torch.stack(pivots))
