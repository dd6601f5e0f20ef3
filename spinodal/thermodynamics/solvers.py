r"""Solvers: the phase fractions at which every phase is in balance with the feed.

Q(L) = -sum_i z_i log u_i is convex, and its minimum is the flash [michelsen1994]. Left free,
fractions may leave [0, 1] as long as every dilution u_i stays positive: the *negative* flash,
which tells how far a phase is from appearing. Held on the simplex, phases may vanish: the
*positive* flash, which always exists. Both depend on z / sum z alone, so z need not sum to
one; components with z_i = 0 drop out. Both solve in float64 whatever they are given, and
return float64: float32 would reach 1e-4.

    symbol  meaning                                              shape
    A       K with the reference phase, K_iP = 1                 p n b
    C       K - 1                                                q n b
    w       A / u, or C / u                                      p n b, q n b
    H       Hessian of Q, sum_i z_i w_ij w_il                    p p b, q q b
    c       posterior over prior, sum_i z_i A_ij / u_i           p b
    m       multipliers of L >= 0; 1 - c at the solution         p b

Inside, the batch is the last axis: the only long one, where sums over the short ones are slow.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spinodal.errors import InputError
from spinodal.thermodynamics.flash import require_same_axes
from spinodal.thermodynamics.implicit import SINGULAR, ImplicitFractions

DECREMENT = 1e-16  # squared, before the last step of Newton, which squares it once more
COMPLEMENTARITY = 1e-14  # aimed at
RESIDUAL = 1e-12  # allowed, once vanished phases are set to zero
RIDGE = 1e-14  # likewise; keeps phases that coincide apart
BLOCK = 2**16  # entries of K, half a megabyte


class Flash(NamedTuple):
    """L_j of all phases but the reference, whose own fraction is 1 - sum_j L_j.

    `residual` is what is left of the equations and `converged` says whether the solver met its tolerance. Only
    `fractions` carries a gradient.
    """

    fractions: Float[Tensor, "*b q"]
    iterations: Int[Tensor, "*b"]
    residual: Float[Tensor, "*b"]
    converged: Bool[Tensor, "*b"]


def negative_flash(z: Float[Tensor, "*#b n"], K: Float[Tensor, "*#b n q"], *, steps: int = 50) -> Flash:
    """L = argmin of -sum_i z_i log u_i over u > 0, the root of `rachford_rice`  [michelsen1994; okuno2010].

    Damped Newton. `residual` is max_j |F_j|. Some L_j, or the reference's, may be outside [0, 1]:
    that phase is then absent, and the other fractions are not those of a physical split.

    Raises InputError for NaN, infinite or negative z, sum z = 0, K <= 0, and where a unique root
    does not exist: some change of L raises every u_i (for q = 1: unless some K_i lie on each
    side of 1), or K has phases that are combinations of the others, as n < p makes them.

    Differentiable, at any order, by the implicit function theorem.

    >>> import torch
    >>> from spinodal import thermodynamics
    >>> z, K = torch.tensor([0.5, 0.5]), torch.tensor([[2.0], [0.25]])
    >>> flash = thermodynamics.negative_flash(z, K)
    >>> round(flash.fractions.item(), 6), bool(flash.converged)
    (0.166667, True)
    """
    z, K, batch = _check(z, K)
    with torch.no_grad():
        L, *report, unbounded, singular = _in_blocks(_newton, z, K, steps)
        _refuse(unbounded.reshape(batch), "some change of L raises the dilution of every component")
        _refuse(singular.reshape(batch), "some phases in K are combinations of the others")
    return _flash(ImplicitFractions.apply(z, K, L, torch.ones_like(L)), report, batch)


def positive_flash(z: Float[Tensor, "*#b n"], K: Float[Tensor, "*#b n q"], *, steps: int = 50) -> Flash:
    """L = argmin of -sum_i z_i log u_i over the simplex  [michelsen1994].

    There L_j >= 0, c_j <= 1 and L_j (1 - c_j) = 0 with c_j = sum_i z_i K_ij / u_i, for all P phases
    alike. A phase that vanishes has L_j = 0 exactly. Primal-dual interior point. `residual` is
    max_j |min(L_j, 1 - c_j)|.

    Raises InputError for NaN, infinite or negative z, sum z = 0 and K <= 0. A solution always
    exists; where phases are combinations of others (K = 1) it is one of many, the central one.

    Differentiable, at any order, with the set of present phases held: the gradient is one-sided where
    a phase is about to appear, and has least norm where the solution is not unique.

    >>> import torch
    >>> from spinodal import thermodynamics
    >>> z, K = torch.tensor([0.5, 0.5]), torch.tensor([[1.5], [0.25]])
    >>> thermodynamics.positive_flash(z, K).fractions.tolist()
    [0.0]
    """
    z, K, batch = _check(z, K)
    with torch.no_grad():
        L, *report = _in_blocks(_interior_point, z, K, steps)
    return _flash(ImplicitFractions.apply(z, K, L, (L > 0).double()), report, batch)


def _check(z: Tensor, K: Tensor) -> tuple[Tensor, Tensor, torch.Size]:
    """z [b, n], of sum one, and K [b, n, q] in float64, and their batch shape; waits for the device once."""
    require_same_axes(z, K)
    try:
        batch = torch.broadcast_shapes(z.shape[:-1], K.shape[:-2])
    except RuntimeError:
        raise InputError(
            f"leading axes of z {tuple(z.shape)} and K {tuple(K.shape)} do not broadcast"
        ) from None
    if batch.numel() == 0:
        raise InputError(f"z {tuple(z.shape)} and K {tuple(K.shape)} hold no mixture")
    z, K = z.double(), K.double()
    total = z.sum(-1, keepdim=True)
    with torch.no_grad():
        extremes = torch.stack([*total.aminmax(), *K.aminmax(), z.amin()]).tolist()
    total_low, total_high, K_low, K_high, z_low = extremes
    if not (math.isfinite(total_low) and math.isfinite(total_high)):
        raise InputError("z has NaN or infinite entries, or a sum that overflows")
    if not (math.isfinite(K_low) and math.isfinite(K_high)):
        raise InputError("K has NaN or infinite entries")
    if z_low < 0:
        raise InputError(
            f"z has negative entries, {z_low:g} the lowest: signed compositions have no unique split"
        )
    if total_low <= 0:
        raise InputError("z sums to zero: there is nothing to split")
    if K_low <= 0:
        raise InputError(f"K must be above zero, its lowest is {K_low:g}: take the exponential of log K")
    n, q = K.shape[-2:]
    return (z / total).expand(*batch, n).reshape(-1, n), K.expand(*batch, n, q).reshape(-1, n, q), batch


def _in_blocks(solver: Callable[..., tuple[Tensor, ...]], z: Tensor, K: Tensor, steps: int) -> list[Tensor]:
    """The solver's results for blocks whose tensors stay in a CPU's cache; a GPU takes all at once."""
    if steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    n, q = K.shape[1:]
    size = max(1, BLOCK // (n * (q + 1))) if K.device.type == "cpu" else len(K)
    blocks = [solver(*block, steps) for block in zip(z.split(size), K.split(size), strict=True)]
    return [torch.cat(results) for results in zip(*blocks, strict=True)]


def _flash(L: Tensor, report: list[Tensor], batch: torch.Size) -> Flash:
    return Flash(L[:, :-1].reshape(*batch, -1), *(value.reshape(batch) for value in report))


def _refuse(bad: Tensor, why: str) -> None:
    if bad.any():
        raise InputError(f"no unique split of the mixture at {bad.nonzero()[0].tolist()} of the batch: {why}")


def _newton(z: Tensor, K: Tensor, steps: int) -> tuple[Tensor, ...]:
    """Fractions of all phases, iterations, residual, convergence, and which samples have no root or no unique one."""
    z = z.T.contiguous()
    C = (K.permute(2, 1, 0).contiguous() - 1) * z.sign()
    L = torch.full_like(C[:, 0], 1 / (len(C) + 1))
    f = torch.zeros_like(L[0])
    iterations = torch.zeros_like(f, dtype=torch.long)
    running = torch.ones_like(f, dtype=torch.bool)
    for _ in range(steps):
        iterations += running
        w, F, H = _derivatives(z, C, 1 + _phase_sum(L, C))
        factors = _factors(H)
        d = factors.solve(F)
        f = -_phase_sum(d, w).amin(0)
        L = L + d * (running / (f.clamp_min(4 / 9) + 5 / 9))
        running = running & ~((F * d).sum(0).abs() <= DECREMENT)
        if not running.any():
            break
    F = _component_sum(z, C, 1 + _phase_sum(L, C))
    singular = ~(factors.pivots > SINGULAR * H.diagonal().T).all(0)
    L = torch.cat([L, 1 - L.sum(0, keepdim=True)])
    return L.T, iterations, F.abs().amax(0), ~running, running & (f <= 0), singular


def _phase_sum(L: Tensor, K: Tensor) -> Tensor:
    """sum_j L_j K_ij."""
    total = L[0] * K[0]
    for fraction, factors in zip(L[1:], K[1:], strict=True):
        total.addcmul_(fraction, factors)
    return total


def _component_sum(z: Tensor, K: Tensor, u: Tensor) -> Tensor:
    """sum_i z_i K_ij / u_i."""
    return (K * (z / u)).sum(1)


def _derivatives(z: Tensor, K: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """w = K / u, sum_i z_i w_ij and the upper triangle of H_jl = sum_i z_i w_ij w_il."""
    w = K / u
    zw = w * z
    H = w.new_zeros(len(w), len(w), w.shape[-1])
    for j, row in enumerate(w):
        H[j, j:] = (row * zw[j:]).sum(1)
    return w, zw.sum(1), H


class _Factors(NamedTuple):
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


def _factors(H: Tensor) -> _Factors:
    columns, pivots = [], [H[0, 0]]
    while len(H) > 1:
        columns.append(H[0, 1:] / H[0, 0])
        H = torch.addcmul(H[1:, 1:], columns[-1].unsqueeze(1), H[0, 1:], value=-1)
        pivots.append(H[0, 0])
    return _Factors(columns, torch.stack(pivots))


def _interior_point(z: Tensor, K: Tensor, steps: int) -> tuple[Tensor, ...]:
    """Fractions of all phases, iterations, residual and convergence.

    Mehrotra's predictor and corrector on L_j m_j = mu, 1 - c - m = 0; sum L = 1 follows, as
    L . c = sum z = 1, and is kept by rescaling, which is the exact minimum along L. As c is not
    linear in L, L and m share one step, which lets no u_i fall by more than nine tenths, and the
    corrector counts as far as the predictor got: without these, a few in 10^4 wide problems cycle.
    """
    z = z.T.contiguous()
    A = torch.nn.functional.pad(K.permute(2, 1, 0), (0, 0, 0, 0, 0, 1), value=1.0)
    # a component's own scale cancels, and an absent one must hold no step back
    A = torch.where(z > 0, A / A.amax(0), 1.0)
    L = torch.full_like(A[:, 0], 1 / len(A))
    w, c, H = _derivatives(z, A, _phase_sum(L, A))
    m = 1 + (1 - c).clamp_min(0)
    iterations = torch.zeros_like(L[0], dtype=torch.long)
    for _ in range(steps):
        running = ~(torch.minimum(L, 1 - c).abs().amax(0) <= COMPLEMENTARITY)
        if not running.any():
            break
        iterations += running
        H.diagonal().T.mul_(1 + RIDGE).add_(m / L)
        factors = _factors(H)
        mu = (L * m).mean(0)
        dL = factors.solve(c - 1)
        dm = -m - m * dL / L
        a = (1 / _steepest_fall(L, dL, m, dm)).clamp_max(1)
        target = mu * (((L + a * dL) * (m + a * dm)).mean(0) / mu) ** 3 - a * dL * dm
        dL = factors.solve(c - 1 + target / L)
        dm = (target - m * dL) / L - m
        a = (1 - mu).clamp(0.9, 1 - 1e-8) / _steepest_fall(L, dL, m, dm)
        a = torch.minimum(a, 0.9 / (-_phase_sum(dL, w).amin(0)).clamp_min(0.9)).clamp_max(1) * running
        L, m = L + a * dL, m + a * dm
        L = L / L.sum(0)
        w, c, H = _derivatives(z, A, _phase_sum(L, A))
    residual = torch.minimum(L, 1 - c).abs().amax(0)
    sharp = torch.where(1 - c > L, 0.0, L)
    sharp = sharp / sharp.sum(0)
    sharp_residual = torch.minimum(sharp, 1 - _component_sum(z, A, _phase_sum(sharp, A))).abs().amax(0)
    keep = sharp_residual <= RESIDUAL  # not where a trace of a phase holds a trace of a component
    L, residual = torch.where(keep, sharp, L), torch.where(keep, sharp_residual, residual)
    return L.T, iterations, residual, residual <= RESIDUAL


def _steepest_fall(L: Tensor, dL: Tensor, m: Tensor, dm: Tensor) -> Tensor:
    """The steepest relative fall of any fraction or multiplier."""
    return torch.maximum(-dL / L, -dm / m).amax(0).clamp_min(1e-8)
