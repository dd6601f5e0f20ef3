"""A trajectory one frame at a time: float64, padding set to zero, and nothing that is not a number.

Observables are sums over pairs of at most n x n, so they are streamed: by frames, and a frame by blocks of pairs.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.types import Trajectory

BLOCK = 2**18  # numbers in one block: 2 MB stay in cache, and are six times as fast as 32 MB


def restrict(trajectory: Trajectory, keep: Bool[Tensor, "b n"]) -> Trajectory:
    """The same trajectory with `valid & keep`: how to leave out a sink, or any other chosen tokens."""
    return trajectory._replace(valid=trajectory.valid & keep)


def frames(trajectory: Trajectory) -> Iterator[Float[Tensor, "b n d"]]:
    """Tokens at each time, zero on padding. InputError where a valid token is not finite."""
    for i, tokens in enumerate(trajectory.tokens):
        x = tokens.to(torch.float64).masked_fill(~trajectory.valid[..., None], 0.0)
        _refuse(~x.isfinite().all(-1), i, trajectory, "is not finite")
        yield x


def directions(trajectory: Trajectory) -> Iterator[Float[Tensor, "b n d"]]:
    """x / |x| at each time, zero on padding. InputError where a valid token has no direction."""
    for i, x in enumerate(frames(trajectory)):
        length = x.norm(dim=-1, keepdim=True)
        _refuse(trajectory.valid & (length[..., 0] == 0), i, trajectory, "is zero and has no direction")
        yield x / length.masked_fill(length == 0, 1.0)


def on_sphere(trajectory: Trajectory) -> Iterator[Float[Tensor, "b n d"]]:
    """Tokens at each time, zero on padding. InputError where a valid token is not of unit length to 1e-6."""
    for i, x in enumerate(frames(trajectory)):
        off = (x.norm(dim=-1) - 1).abs() > 1e-6
        _refuse(trajectory.valid & off, i, trajectory, "is not of unit length")
        yield x


def shares(trajectory: Trajectory, weights: Float[Tensor, "b n"] | None) -> Float[Tensor, "b n"]:
    """Weights of the valid tokens, scaled to sum to one in each sequence; equal where none are given."""
    w = (
        torch.ones_like(trajectory.valid, dtype=torch.float64)
        if weights is None
        else weights.to(torch.float64)
    )
    if not (w[trajectory.valid] > 0).all():
        raise InputError("weights: every valid token needs a positive weight")
    w = w.masked_fill(~trajectory.valid, 0.0)
    total = w.sum(-1, keepdim=True)
    if (total == 0).any():
        raise InputError(f"sequence {int(total[:, 0].argmin())} has no valid token")
    return w / total


def pair_blocks(b: int, n: int, cost: int = 1) -> Iterator[tuple[slice, slice]]:
    """Sequences and rows whose rows x n x cost numbers fit one block; together they are every row once."""
    rows = min(n, max(1, BLOCK // (n * cost)))
    group = max(1, BLOCK // (n * n * cost))
    for s in range(0, b, group):
        for r in range(0, n, rows):
            yield slice(s, s + group), slice(r, r + rows)


def _refuse(wrong: Bool[Tensor, "b n"], i: int, trajectory: Trajectory, complaint: str) -> None:
    if wrong.any():
        sequence, token = wrong.nonzero()[0].tolist()
        time = float(trajectory.times[i])
        raise InputError(f"token {token} of sequence {sequence} {complaint} at time index {i} (t = {time:g})")
