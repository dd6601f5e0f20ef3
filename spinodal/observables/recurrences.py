r"""Recurrence: whether tokens come back to a pattern that they had, turned as a whole or not.

    D(t, s)^2 = mean over pairs i != j of (<x_i, x_j>(t) - <x_i, x_j>(s))^2,   x unit directions

Only cosines enter, so that a pattern that rotates as a whole has D = 0. A recurrence plot is D < threshold.
"""

from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables.entry import Observable
from spinodal.observables.frames import directions, observes, pair_blocks
from spinodal.types import Trajectory


@observes
def recurrence(trajectory: Trajectory) -> Float[Tensor, "t t b"]:
    """D(t, s), the root mean square difference of the cosines of pairs at any two times.

    Computed from sum_ij <x_i, x_j> <y_i, y_j> = |X^T Y|^2 in time O(t^2 n d^2) and memory O(t (n d + d^2 + t)),
    so that D below 1e-7 is rounding; `departure` computes D(t, 0) to all digits.
    """
    x = torch.stack(list(directions(trajectory)))
    n = pairs_of(trajectory)
    both = x.new_empty(len(x), len(x), x.shape[1])
    for s in range(len(x)):
        both[s, : s + 1] = both[: s + 1, s] = (x[s].mT @ x[: s + 1]).square().sum((-1, -2))
    own = torch.diagonal(both).T
    return ((own[:, None] + own[None] - 2 * both).clamp(min=0) / n).sqrt()


@observes
def departure(trajectory: Trajectory) -> Float[Tensor, "t b"]:
    """D(t, 0), the root mean square change of the cosines of pairs since the first time. Time O(n^2), memory O(n)."""
    (first,) = islice(directions(trajectory), 1)
    n, found = pairs_of(trajectory), []
    for x in directions(trajectory):
        total = torch.zeros_like(n)
        for s, r in pair_blocks(*trajectory.valid.shape):
            total[s] += (x[s, r] @ x[s].mT - first[s, r] @ first[s].mT).square().sum((-1, -2))
        found.append((total / n).sqrt())
    return torch.stack(found)


def pairs_of(trajectory: Trajectory) -> Float[Tensor, " b"]:
    """n (n - 1), the number of ordered pairs of each sequence; InputError where there is none."""
    n = trajectory.valid.sum(-1).double()
    if bool((n < 2).any()):
        raise InputError(
            f"sequence {int((n < 2).int().argmax())} has fewer than two tokens: there are no pairs"
        )
    return n * (n - 1)


RECURRENCE = Observable(
    "recurrence",
    "departure: root mean square change of cosines since the start",
    "Falling back towards 0: the tokens return to the pattern that they began with.",
    values=lambda trajectory, scales: departure(trajectory),
    equiangular=lambda g, n, scales: np.abs(g - g[0]),
)
