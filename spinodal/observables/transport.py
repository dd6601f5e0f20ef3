r"""W2, the Wasserstein distance of order two, from tokens as a measure to a Dirac and to other tokens.

    W2(mu, nu)^2 = min over couplings of E |x - y|^2,   of unit directions, by the chord
    W2(mu, delta_p)^2 = sum_j w_j |x_j - p|^2,   least at p = m / |m|, m = sum_j w_j x_j, where it is 2 - 2 |m|

The chord is below the angle, by less than a factor pi / 2, and equal to it in the limit: rates of decay are the same.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.arrays import real_array
from spinodal.errors import InputError
from spinodal.observables.entry import Observable
from spinodal.observables.frames import directions, observes, shares, trajectory_of
from spinodal.types import Trajectory

LARGEST = 4096  # tokens of an optimal assignment, which takes n^3


@observes
def wasserstein_to_dirac(
    trajectory: Trajectory,
    point: Float[Tensor, " d"] | Float[np.ndarray, " d"] | None = None,
    *,
    weights: Float[Tensor, "b n"] | None = None,
) -> Float[Tensor, "t b"]:
    """W2(mu, delta_p) = (sum_j w_j |x_j - p|^2)^{1/2}, x and p unit directions.

    The root mean square distance of tokens from `point` [d], or from the nearest Dirac, which is at their mean
    direction, if none is given; sqrt(2) where the mean is 0. InputError for a point of another shape or without a
    direction.
    """
    w, d = shares(trajectory, weights), trajectory.tokens.shape[-1]
    if isinstance(point, Tensor) and point.requires_grad:  # an array would lose its gradient
        p = point.double()
    else:
        p = None if point is None else torch.from_numpy(real_array(point, "point"))
    if p is not None and (p.shape != (d,) or not 0 < float(p.detach().norm()) < torch.inf):
        raise InputError(f"`point` {p.tolist()}: a direction in R^{d} is needed", field="point")
    found = []
    for x in directions(trajectory):
        m = torch.einsum("bn,bnd->bd", w, x) if p is None else p.to(x.device).expand(len(x), d)
        at = m / m.norm(dim=-1, keepdim=True).clamp(min=1e-300)
        away = (x - at[:, None]).square().sum(-1)
        rests = at.norm(dim=-1) > 0.5  # else the mean is 0, and every point is as far
        found.append(torch.where(rests, (w * away).sum(-1), 2.0).sqrt())
    return torch.stack(found)


@observes
def wasserstein(trajectory: Trajectory, reference: object) -> Float[Tensor, "t b"]:
    """W2(mu, nu) of n tokens of equal mass and m reference tokens: the cheapest assignment, by chords of directions.

    Lengths of tokens do not enter: x / |x| are compared. `reference` is an array [m d], or has a trajectory of one
    sequence, whose last frame is taken; m divides n. Time O(n^3). InputError for another m, for a reference of several
    sequences, and for more than 4,096 tokens.
    """
    from scipy.optimize import linear_sum_assignment

    there = trajectory_of(reference)
    if len(there.valid) != 1:
        raise InputError(f"`reference` holds {len(there.valid)} sequences: one is needed", field="reference")
    *_, last = directions(there)
    y, n = last[0][there.valid[0]].cpu(), trajectory.valid.sum(-1)
    if wrong := [int(k) for k in n if k == 0 or k % len(y)]:
        raise InputError(
            f"`reference` holds {len(y)} tokens, which do not divide {wrong[0]} of equal mass",
            field="reference",
        )
    if y.shape[-1] != trajectory.tokens.shape[-1]:
        raise InputError(
            f"`reference` has d = {y.shape[-1]}, the tokens d = {trajectory.tokens.shape[-1]}",
            field="reference",
        )
    if int(n.max()) > LARGEST:
        raise InputError(f"{int(n.max())} tokens: an optimal assignment is for {LARGEST} at most")
    rows = []
    for x in directions(trajectory):
        row = []
        for tokens, valid in zip(x.cpu(), trajectory.valid.cpu(), strict=True):
            here = tokens[valid]
            cost = torch.cdist(here, y.repeat(len(here) // len(y), 1)).square().numpy()
            row.append(float(np.sqrt(cost[linear_sum_assignment(cost)].mean())))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


WASSERSTEIN_DIRAC = Observable(
    "wasserstein_dirac",
    "W2 to the nearest Dirac, by chords of directions",
    "Falling towards 0: tokens gather in one point; its logarithm falls at half the rate of W2 squared.",
    values=lambda trajectory, scales: wasserstein_to_dirac(trajectory),
    equiangular=lambda g, n, scales: np.sqrt(2 - 2 * np.sqrt((1 + (n - 1) * g) / n)),
)
