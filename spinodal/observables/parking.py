r"""Rényi centres: tokens far from every earlier centre, at which causal attention clusters  [causal2024].

    centres          s_1 = 1, and s_k the first token with angle(x_{s_k}, x_{s_j}) > delta for every earlier centre s_j
    strong centres   tokens i with angle(x_i, x_j) > delta for every earlier token j < i

Under a causal mask token i reads tokens j <= i, so that a strong centre is at rest to
e^{-beta (1 - cos delta)}: from a random start strong centres stay, and other centres move and may merge.
delta = 4 beta^{-1/2} is that of [causal2024]. Tokens are in the order of their sequence, and padding is left
out.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables.entry import Observable, Scales
from spinodal.observables.frames import directions, observes
from spinodal.types import Trajectory


@observes
def renyi_centres(
    trajectory: Trajectory, separation: float, *, strong: bool = False
) -> Bool[Tensor, "t b n"]:
    """Whether each token is a centre: no earlier centre (`strong`: token) is within an angle  [causal2024].

    `separation` is delta in radians, of directions; the first token of a sequence is a centre always. Time O(n k) for k
    centres, O(n^2) for strong ones. InputError for a separation that is not positive.
    """
    if not separation > 0:
        raise InputError(f"`separation` {separation:g}: an angle above 0, in radians", field="separation")
    find = strong_centres if strong else first_centres
    nearest = math.cos(min(separation, math.pi))
    reach = -math.inf if separation >= math.pi else nearest
    return torch.stack([find(x, trajectory.valid, reach) for x in directions(trajectory)])


def first_centres(x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"], reach: float) -> Bool[Tensor, "b n"]:
    """Whether each token is a centre: its cosine with every earlier centre is below `reach`."""
    centre, free = torch.zeros_like(valid), valid.clone()
    rows = torch.arange(len(x), device=x.device)
    while free.any():
        first = free.int().argmax(-1)
        centre[rows, first] |= free.any(-1)
        near = torch.einsum("bnd,bd->bn", x, x[rows, first]) >= reach
        free &= ~near
        free[rows, first] = False
    return centre


def strong_centres(
    x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"], reach: float
) -> Bool[Tensor, "b n"]:
    """Whether each token has a cosine below `reach` with every earlier token."""
    found = valid.clone()
    for i in range(1, x.shape[1]):
        cosine = torch.einsum("bnd,bd->bn", x[:, :i], x[:, i])
        found[:, i] &= ~((cosine >= reach) & valid[:, :i]).any(-1)
    return found


def separation_of(beta: float) -> float:
    """delta = 4 beta^{-1/2}, infinite at beta <= 0  [causal2024]."""
    return 4 / math.sqrt(beta) if beta > 0 else math.inf


def centre_count(trajectory: Trajectory, scales: Scales) -> Float[Tensor, "t b"]:
    """The number of Rényi centres at each time, with delta = 4 beta^{-1/2}."""
    return renyi_centres(trajectory, separation_of(scales.beta)).sum(-1).double()


def equiangular_centres(g: Float[np.ndarray, " t"], n: int, scales: Scales) -> Float[np.ndarray, " t"]:
    """The number of Rényi centres of n equiangular tokens: n where their angle is above delta, else 1."""
    return np.where(np.arccos(np.clip(g, -1, 1)) > separation_of(scales.beta), float(n), 1.0)


RENYI_CENTRES = Observable(
    "renyi_centres",
    "Rényi centres: tokens further than 4 beta^(-1/2) from every earlier centre",
    "Falling: centres that were apart have met. Of causal attention tokens gather at them.",
    values=centre_count,
    equiangular=equiangular_centres,
)
