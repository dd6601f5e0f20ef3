"""A trajectory one frame at a time: float64, padding set to zero, every number finite.

Observables are sums over pairs of at most n x n, so they are streamed: by frames, and a frame by blocks of pairs.
What they are given is a trajectory, what holds one (a result, a saved run), or an array of tokens.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.types import Trajectory

BLOCK = 2**18  # numbers in one block: 2 MB stay in cache, and are six times as fast as 32 MB


P = ParamSpec("P")
T = TypeVar("T")


def trajectory_of(observed: Any) -> Trajectory:
    """The trajectory of what is observed.

    A Trajectory is returned as it is; a result of `flows` or a run that `read_run` returned gives its own; of
    an array, a tensor or a list the axes are [n d], [t n d] or [t b n d], its times are 0, 1, ..., and no
    token is padding. InputError for anything else.
    """
    if isinstance(observed, Trajectory):
        return observed
    if isinstance(found := getattr(observed, "trajectory", None), Trajectory):
        return found
    try:
        tokens = observed if isinstance(observed, Tensor) else torch.as_tensor(np.asarray(observed))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"a {type(observed).__name__} holds no tokens ({error}): give a Trajectory, a result that has one, or an "
            "array [n d], [t n d] or [t b n d]"
        ) from None
    if tokens.ndim not in (2, 3, 4) or tokens.is_complex() or tokens.dtype == torch.bool:
        raise InputError(
            f"tokens of type {tokens.dtype} and shape {tuple(tokens.shape)}: real numbers [n d], [t n d] or [t b n d] "
            "are needed"
        )
    tokens = tokens[:, None] if tokens.ndim == 3 else tokens[None, None] if tokens.ndim == 2 else tokens
    valid = torch.ones(tokens.shape[1:3], dtype=torch.bool, device=tokens.device)
    return Trajectory(torch.arange(len(tokens), dtype=torch.float64), tokens, valid)


def observes(function: Callable[Concatenate[Trajectory, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Decorator: the function with a first argument of any type that `trajectory_of` converts."""

    @functools.wraps(function)
    def observe(observed: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(trajectory_of(observed), *args, **kwargs)

    return observe


@observes
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
    """Yields slices (sequences, rows) of at most BLOCK numbers, rows x n x cost; each row comes once."""
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
