r"""The positive flash in double precision: a primal-dual interior point on the simplex.

symbol  meaning                                              shape
A       K with the reference phase last                      p n b
w       A / u                                                p n b
H       Hessian of Q, sum_i z_i w_ij w_il                    p p b
c       posterior over prior, sum_i z_i A_ij / u_i           p b
m       multipliers of L >= 0; 1 - c at the solution         p b
"""

import torch
from torch import Tensor

from spinodal.thermodynamics.newton import Newton, component_sum, derivatives, factorise, phase_sum

COMPLEMENTARITY = 1e-14  # aimed at
RESIDUAL = 1e-12  # allowed, once vanished phases are set to zero
RIDGE = 1e-14  # keeps phases that coincide apart


def interior_point(z: Tensor, A: Tensor, steps: int) -> Newton:
    """Fractions of all phases on the simplex, with the number of steps and whether they converged.

    Mehrotra's predictor and corrector on L_j m_j = mu, 1 - c - m = 0; sum L = 1 follows, since L . c = sum
    z = 1, and is kept by rescaling, which is the exact minimum along L. As c is not linear in L, L and m move
    by one step length, which lets no u_i fall by more than nine tenths, and the corrector is scaled by the
    length of the predictor's step: without these, a few in 10^4 wide problems cycle.
    """
    z, A = z / z.sum(0), A / A.amax(0)  # a component's own scale cancels
    L = torch.full_like(A[:, 0], 1 / len(A))
    w, c, H = derivatives(z, A, phase_sum(L, A))
    m = 1 + (1 - c).clamp_min(0)
    iterations = torch.zeros_like(L[0], dtype=torch.long)
    for _ in range(steps):
        running = ~(torch.minimum(L, 1 - c).abs().amax(0) <= COMPLEMENTARITY)
        if not running.any():
            break
        iterations += running
        H.diagonal().T.mul_(1 + RIDGE).add_(m / L)
        factors = factorise(H)
        mu = (L * m).mean(0)
        dL = factors.solve(c - 1)
        dm = -m - m * dL / L
        a = (1 / _steepest_fall(L, dL, m, dm)).clamp_max(1)
        target = mu * (((L + a * dL) * (m + a * dm)).mean(0) / mu) ** 3 - a * dL * dm
        dL = factors.solve(c - 1 + target / L)
        dm = (target - m * dL) / L - m
        a = (1 - mu).clamp(0.9, 1 - 1e-8) / _steepest_fall(L, dL, m, dm)
        a = torch.minimum(a, 0.9 / (-phase_sum(dL, w).amin(0)).clamp_min(0.9)).clamp_max(1) * running
        L, m = L + a * dL, m + a * dm
        L = L / L.sum(0)
        w, c, H = derivatives(z, A, phase_sum(L, A))
    residual = torch.minimum(L, 1 - c).abs().amax(0)
    sharp = torch.where(1 - c > L, 0.0, L)
    sharp = sharp / sharp.sum(0)
    sharp_residual = torch.minimum(sharp, 1 - component_sum(z, A, phase_sum(sharp, A))).abs().amax(0)
    keep = sharp_residual <= RESIDUAL  # not where a trace of a phase holds a trace of a component
    L, residual = torch.where(keep, sharp, L), torch.where(keep, sharp_residual, residual)
    return Newton(L, iterations, residual <= RESIDUAL)


def _steepest_fall(L: Tensor, dL: Tensor, m: Tensor, dm: Tensor) -> Tensor:
    """The largest relative decrease of any fraction or multiplier in a full step."""
    return torch.maximum(-dL / L, -dm / m).amax(0).clamp_min(1e-8)
