r"""Leaders: tokens that attend to themselves under hardmax attention  [alcalde2024].

    C_i = argmax_j <A x_i, x_j>,   i leads where i is in C_i,   A = Q^T K

[alcalde2024] asks that i be the only one in C_i; here tokens in one place lead together. On the sphere with A = I every
token leads, as none is nearer to it than itself; of tokens of different
lengths those lead that no token exceeds along their own direction.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables.entry import Observable
from spinodal.observables.frames import frames, observes, pair_blocks
from spinodal.types import Trajectory

ROUNDING = 1e-12  # of |A x| |x|, by which another score may exceed a leader's own


@observes
def leaders(
    trajectory: Trajectory, *, coupling: Float[Tensor, "d d"] | Float[np.ndarray, "d d"] | None = None
) -> Bool[Tensor, "t b n"]:
    """Whether <A x_i, x_i> >= <A x_i, x_j> for all j: token i follows itself under hardmax  [alcalde2024].

    `coupling` is A = Q^T K, the identity if not given; tokens keep their lengths. Time O(n^2), memory O(n). InputError
    for a coupling of another shape.
    """
    d, valid = trajectory.tokens.shape[-1], trajectory.valid
    A = torch.eye(d, dtype=torch.float64) if coupling is None else torch.as_tensor(coupling).double()
    if A.shape != (d, d):
        raise InputError(f"`coupling` has shape {tuple(A.shape)}: tokens need {(d, d)}", field="coupling")
    found = []
    for x in frames(trajectory):
        led = torch.zeros_like(valid)
        y = x @ A.to(x.device).mT
        for s, r in pair_blocks(*valid.shape):
            scores = (y[s, r] @ x[s].mT).masked_fill(~valid[s, None], -torch.inf)
            own = (y[s, r] * x[s, r]).sum(-1)
            slack = ROUNDING * y[s, r].norm(dim=-1) * x[s, r].norm(dim=-1)
            led[s, r] = scores.amax(-1) <= own + slack
        found.append(led & valid)
    return torch.stack(found)


LEADERS = Observable(
    "leaders",
    "leaders: tokens that no other token scores higher for than themselves",
    "Few: hardmax attention would gather the others at these. On the sphere all tokens lead.",
    values=lambda trajectory, scales: leaders(trajectory).sum(-1).double(),
    equiangular=lambda g, n, scales: np.full(len(g), float(n)),
    of_points=True,
)
