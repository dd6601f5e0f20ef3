r"""Energies of tokens on the sphere, in the log domain.

The library's energy is E = (1 / 2 beta) sum_ij w_i w_j e^{beta <x_i, x_j>}, weights summing to one: that of
[glpr2023] for equal weights. Others divide by e^beta, or leave out 1/2 or the sum's diagonal. E itself
overflows near beta = 709, log E does not. While clusters wait E is nearly constant, and the dissipation shows
their motion.

The flow USA, X_i = sum_j w_j e^{beta <x_i, x_j>} P_i x_j, climbs E, and so does SA, X_i / Z_i. The projection
P_i x_j = (x_j - x_i) + q x_i / 2, q = |x_i - x_j|^2, is taken in that form, without cancellation.

    symbol  meaning                                   symbol  meaning
    w       weights, scaled to sum to one             Z_i     sum_j w_j e^{beta <x_i, x_j>}
    q       squared distance of two tokens            M       largest exponent, taken out of a sum
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables.entry import Observable
from spinodal.observables.frames import directions, frames, observes, on_sphere, pair_blocks, shares
from spinodal.types import Trajectory


@observes
def log_energy(
    trajectory: Trajectory, beta: float, *, weights: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b"]:
    """log E = log( (1 / 2 beta) sum_ij w_i w_j e^{beta <x_i, x_j>} )  [glpr2023]. Time O(n^2), memory O(n).

    2 beta E e^{-beta}, the height of the staircase of [gkpr2024], is exp(log E + log(2 beta) - beta).
    """
    _positive(beta)
    w = shares(trajectory, weights)
    return torch.stack([_log_sum(x, w, beta) for x in frames(trajectory)]) - math.log(2 * beta)


@observes
def relative_energy(trajectory: Trajectory, beta: float) -> Float[Tensor, "t b"]:
    """2 beta E e^{-beta} = (1 / n^2) sum_ij e^{beta (c_ij - 1)}, c_ij cosines: 1 at consensus  [gkpr2024].

    Lengths of tokens do not enter, and beta may be 0.
    """
    w = shares(trajectory, None)
    return (torch.stack([_log_sum(x, w, beta) for x in directions(trajectory)]) - beta).exp()


@observes
def log_dissipation_usa(
    trajectory: Trajectory, beta: float, *, weights: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b"]:
    """log dE/dt = log sum_i w_i |X_i|^2 under USA  [glpr2023]; -inf where all tokens of a sequence rest."""
    _positive(beta)
    w = shares(trajectory, weights)
    return torch.stack([(w.log() + _log_forces(x, w, beta)[0]).logsumexp(-1) for x in on_sphere(trajectory)])


@observes
def log_dissipation_sa(
    trajectory: Trajectory, beta: float, *, weights: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b"]:
    """log dE/dt = log sum_i w_i |X_i|^2 / Z_i under SA  [glpr2023], the sum of w_i Z_i |velocity|^2."""
    _positive(beta)
    w = shares(trajectory, weights)
    found = []
    for x in on_sphere(trajectory):
        log_force, log_Z = _log_forces(x, w, beta)
        found.append((w.log() + log_force - log_Z).logsumexp(-1))
    return torch.stack(found)


def _log_sum(x: Float[Tensor, "b n d"], w: Float[Tensor, "b n"], beta: float) -> Float[Tensor, " b"]:
    """log sum_ij w_i w_j e^{beta <x_i, x_j>}: by Cauchy-Schwarz no exponent exceeds the diagonal's largest."""
    length = x.square().sum(-1)
    M = beta * length.amax(-1, keepdim=True)
    total = (w.square() * (beta * length - M).exp()).sum(-1)
    for s, r in pair_blocks(*w.shape):
        exponent = beta * (x[s, r] @ x[s, r.start :].mT) - M[s, :, None]
        mass = (w[s, r, None] * w[s, None, r.start :]).triu(1)
        total[s] += 2 * (mass * exponent.exp_()).sum((-1, -2))
    return M[:, 0] + total.log()


def _log_forces(
    x: Float[Tensor, "b n d"], w: Float[Tensor, "b n"], beta: float
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
    """log |X_i|^2 and log Z_i. Each row has its own M, over the tokens that pull: coincident ones do not."""
    log_force, log_Z = torch.empty_like(w), torch.empty_like(w)
    log_w = w.log()
    for s, r in pair_blocks(*w.shape, cost=x.shape[-1]):
        apart = x[s, None, :] - x[s, r, None]
        q = apart.square().sum(-1)
        exponent = log_w[s, None, :] - beta * q / 2
        M = exponent.masked_fill(q == 0, -math.inf).amax(-1, keepdim=True).clamp(min=-1e300)
        pull = (exponent - M).clamp(max=0).exp()[..., None] * (apart + q[..., None] * x[s, r, None] / 2)
        log_force[s, r] = 2 * (beta + M[..., 0]) + pull.sum(-2).square().sum(-1).log()
        log_Z[s, r] = beta + exponent.logsumexp(-1)
    return log_force, log_Z


def _positive(beta: float) -> None:
    if not 0 < beta < math.inf:
        raise InputError(f"beta = {beta}: must be positive and finite")


ENERGY = Observable(
    "energy",
    "interaction energy, 1 at consensus",
    "Under the theory this never falls. Where it falls, the flow is no gradient flow of it.",
    values=lambda trajectory, scales: relative_energy(trajectory, scales.beta),
    equiangular=lambda g, n, scales: (1 + (n - 1) * np.exp(scales.beta * (g - 1))) / n,
)
