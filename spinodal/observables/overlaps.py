r"""Overlaps: how the cosines of pairs of tokens are distributed.

Every unordered pair of distinct valid tokens counts once. A token that stands for c merged ones (`copies`) counts as
c tokens in one place, with its own c (c-1) / 2 pairs of cosine one: the result is that of N separate tokens.
Weights that sum to one become copies by multiplication by the number of tokens.

    symbol  meaning                                     shape
    x       unit direction of a token                   b n d
    c       copies, at least 1 on valid tokens          b n
    N       number of tokens with their copies, sum_i c_i     b
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables.entry import Observable
from spinodal.observables.frames import directions, observes, pair_blocks
from spinodal.types import Trajectory


@observes
def cosine_histogram(
    trajectory: Trajectory, bins: int, *, copies: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b k"]:
    """h_k = #{pairs i < j: e_k <= <x_i, x_j> < e_{k+1}}, e_k = -1 + 2 k / bins, the last bin closed.

    Counts the cosines of pairs of tokens in `bins` equal intervals of [-1, 1]. `copies` says how many tokens each one
    stands for, 1 if not given. A cosine within rounding of an edge may fall on either side. Time O(n^2), memory O(n).
    InputError for bins < 1.
    """
    if bins < 1:
        raise InputError(f"bins = {bins}: must be at least 1")
    c = _multiplicities(trajectory, copies)
    histogram = c.new_zeros(len(trajectory.times), len(c), bins)
    histogram[..., -1] += (c * (c - 1) / 2).sum(-1)
    for t, s, cosine, mass in _pairs(trajectory, c):
        slot = cosine.add_(1).mul_(bins / 2).clamp_(0, bins - 1).long()
        slot += bins * torch.arange(len(slot), device=slot.device)[:, None, None]
        found = torch.bincount(slot.flatten(), mass.flatten(), minlength=len(slot) * bins)
        histogram[t, s] += found.view(len(slot), bins)
    return histogram


@observes
def pair_probability(
    trajectory: Trajectory, thresholds: Float[Tensor, " k"], *, copies: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b k"]:
    """P(<x_i, x_j> >= threshold) over pairs i != j.

    The share of pairs of tokens whose cosine is at least each threshold [k]; `copies` says how many tokens
    each one stands for. Time O(n^2), memory O(n).
    """
    c = _multiplicities(trajectory, copies)
    above = c.new_zeros(len(trajectory.times), len(c), len(thresholds))
    above += (c * (c - 1) / 2).sum(-1, keepdim=True) * (thresholds.to(c) <= 1)
    for t, s, cosine, mass in _pairs(trajectory, c):
        for k, threshold in enumerate(thresholds.tolist()):
            above[t, s, k] += (mass * (cosine >= threshold)).sum((-1, -2))
    N = c.sum(-1, keepdim=True)
    return above / (N * (N - 1) / 2)


@observes
def mean_cosine(
    trajectory: Trajectory, *, copies: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "t b"]:
    """(|sum_i c_i x_i|^2 - N) / (N (N-1)), the mean of <x_i, x_j> over pairs i != j, in O(n).

    >>> import torch
    >>> from spinodal import observables
    >>> from spinodal.types import Trajectory
    >>> tokens = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, 0.0], [0.6, 0.8]]]])
    >>> valid = torch.ones(1, 2, dtype=torch.bool)
    >>> trajectory = Trajectory(torch.tensor([0.0, 1.0]), tokens, valid)
    >>> observables.mean_cosine(trajectory).round(decimals=4).flatten().tolist()
    [0.0, 0.6]
    """
    c = _multiplicities(trajectory, copies)
    N = c.sum(-1)
    total = torch.stack([torch.einsum("bn,bnd->bd", c, x) for x in directions(trajectory)])
    return (total.square().sum(-1) - N) / (N * (N - 1))


def _multiplicities(trajectory: Trajectory, copies: Float[Tensor, "b n"] | None) -> Float[Tensor, "b n"]:
    """c, 1 if not given and 0 on padding; InputError for c < 1 and for fewer than two tokens."""
    valid = trajectory.valid
    c = torch.ones_like(valid, dtype=torch.float64) if copies is None else copies.to(torch.float64)
    if not (c[valid] >= 1 - 1e-9).all():
        raise InputError(
            "copies: every valid token stands for at least one; multiply weights by their number"
        )
    c = c.masked_fill(~valid, 0.0)
    few = c.sum(-1) < 2 - 1e-9
    if few.any():
        raise InputError(f"sequence {int(few.int().argmax())} has fewer than two tokens: there are no pairs")
    return c


def _pairs(
    trajectory: Trajectory, c: Float[Tensor, "b n"]
) -> Iterator[tuple[int, slice, Float[Tensor, "s r m"], Float[Tensor, "s r m"]]]:
    """Yields (time index, sequences, cosines, c_i c_j) of blocks of pairs; c_i c_j is 0 unless i < j."""
    for t, x in enumerate(directions(trajectory)):
        for s, r in pair_blocks(*c.shape):
            mass = (c[s, r, None] * c[s, None, r.start :]).triu(1)
            yield t, s, x[s, r] @ x[s, r.start :].mT, mass


MEAN_COSINE = Observable(
    "mean_cosine",
    "mean cosine between two tokens",
    "Rising towards 1: tokens draw together.",
    values=lambda trajectory, scales: mean_cosine(trajectory),
    equiangular=lambda g, n, scales: g,
)


def share_above(threshold: float) -> Observable:
    """The `Observable` of the share of pairs whose cosine is at least the threshold."""
    name = f"{threshold:g}".removeprefix("0")
    return Observable(
        f"above_{name}",
        f"share of pairs with cosine above {name}",
        "Pairs that are nearly parallel: real clusters, not a common drift.",
        values=lambda trajectory, scales: pair_probability(trajectory, torch.tensor([threshold]))[..., 0],
        equiangular=lambda g, n, scales: (g >= threshold).astype(float),
    )


SHARES = tuple(share_above(threshold) for threshold in (0.9, 0.99, 0.999))
