r"""Axial order: whether tokens lie on one line, on either side of 0: an order parameter of second moments.

    S = largest eigenvalue of sum_j w_j x_j x_j^T,   x_j unit directions

It is 1 at a consensus and at a bipartite one, x_j = +-u with masses m_+ and m_-, where polarisation is
|m_+ - m_-|, and 1/d where tokens are uniform. On the circle S = (1 + R_2) / 2 with
R_2 = |sum_j w_j e^{2 i theta_j}|; in R^d the nematic order parameter of liquid crystals is
(d S - 1) / (d - 1).
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.observables.entry import Observable
from spinodal.observables.frames import directions, observes, shares
from spinodal.types import Trajectory


@observes
def axial_order(
    trajectory: Trajectory, *, weights: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b"]:
    """S = max over unit u of sum_j w_j <x_j, u>^2, x unit directions: 1 where all lie on one axis, 1/d if uniform."""
    w = shares(trajectory, weights).sqrt()[..., None]
    found = []
    for x in directions(trajectory):
        y = w * x
        smaller = y @ y.mT if y.shape[1] < y.shape[2] else y.mT @ y
        found.append(torch.linalg.eigvalsh(smaller)[..., -1])
    return torch.stack(found)


AXIAL_ORDER = Observable(
    "axial_order",
    "axial order: share of the directions' second moment on one axis",
    "Rising towards 1: tokens lie on one line, on one side of it or on both.",
    values=lambda trajectory, scales: axial_order(trajectory),
    equiangular=lambda g, n, scales: np.maximum(1 + (n - 1) * g, 1 - g) / n,
)
