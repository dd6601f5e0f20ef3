r"""Every pair on the GPU that holds the tokens, by tensor operations in double precision: the sums of `direct` there.

With y_ij = x_j - x_i (for beta < 0 x_j + x_i) and q = |y|^2 is P_{x_i} x_j = P_{x_i} y_ij, so that slow clusters keep
their digits; with m_i the least q_ij of a token that has weight no quotient loses its divisor  [derived]:

    e_ij = w_j e^{-|b| (q_ij - m_i) / 2},   Z_i = e^{-|b| m_i / 2} sum_j e_ij,
    num_i = e^{-|b| m_i / 2} P_{x_i} sum_j e_ij y_ij.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spinodal.flows.engines.law import EPS, Drift, Law, rounding_of_sum

ENTRIES = 2**25  # numbers of a block of differences: 256 MB


def drift(
    device: torch.device, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"], law: Law
) -> Drift:
    """dx/dt with Q = K = V = I, Z and bounds as tensors of a device, computed there in blocks of rows."""
    n, d = x.shape
    tokens, masses = (torch.from_numpy(array).to(device) for array in (x, weights))
    numbers = torch.arange(n, device=device).split(max(1, ENTRIES // (n * d)))
    blocks = [rows_of_drift(own, tokens, masses, law) for own in numbers]
    return Drift(*(torch.cat(parts) for parts in zip(*blocks, strict=True)), engine="direct")


def rows_of_drift(
    own: Int[Tensor, " m"], x: Float[Tensor, "n d"], weights: Float[Tensor, " n"], law: Law
) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"], Float[Tensor, " m"]]:
    """(drift, Z, error bound) of the tokens with these numbers."""
    (n, d), beta, sign = x.shape, abs(law.beta), -1.0 if law.beta >= 0 else 1.0
    rows, read = x[own], weights > 0
    y = x + sign * rows[:, None]
    q = y.square().sum(-1)
    least = q.masked_fill(~read, torch.inf).amin(-1)
    e = torch.where(read, weights * (-beta / 2 * (q - least[:, None])).exp(), 0.0)
    itself = e.gather(1, own[:, None])[:, 0]
    e = e.scatter(1, own[:, None], 0.0)  # a token does not pull at itself, and counts in its Z
    others, spread = e.sum(-1), (e * q).sum(-1)
    force = torch.einsum("mn,mnd->md", e, y)
    for _ in range(2):  # a second projection removes what rounding left of the first
        force = force - (force * rows).sum(-1, keepdim=True) * rows
    total, scale = itself + others, (-beta / 2 * least).exp()
    f = 1 / total if law.clock is None else (math.log(law.clock) - beta / 2 * least).exp()
    # Of the numerator and of its divisor: sum_j e_j |y_j| is at most sqrt(spread * others), and |y| at most 2
    noise = 2 * EPS * (8 + rounding_of_sum(n, n, float(n)))
    error = f * (noise * spread.sqrt() * others.sqrt() + 2 * (8 + d) * EPS * beta * spread + 1e-300)
    return f[:, None] * force, scale * total, error
