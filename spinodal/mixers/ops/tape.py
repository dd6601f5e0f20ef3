r"""A tape: rows that a mixer remembers one by one, appended without copying those already there.

A state is a value: two continuations of one state must not meet. So a tape keeps room behind
its rows, and the first continuation takes it in place; a second one finds it taken, and copies.

    symbol  meaning                                            shape
    rows    what is remembered, then room for more             b h m c
    count   how many rows are this tape's: its position        b
    taken   how many are anyone's, shared with `rows`          b
"""

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from spinodal.mixers.base import State


def position(tape: State | None, x: Shaped[Tensor, "b ..."]) -> Int[Tensor, " b"]:
    """Rows remembered so far, for each sample of x."""
    return x.new_zeros(len(x), dtype=torch.long) if tape is None else tape[1]


def appended(tape: State | None, new: Shaped[Tensor, "b h n c"]) -> tuple[State, Shaped[Tensor, "b h m c"]]:
    """The tape with the new rows behind its own, and all its rows. Room doubles, unless gradients are kept."""
    n = new.shape[2]
    if tape is None:
        count = torch.full((len(new),), n, device=new.device)
        return (new, count, count.clone()), new
    rows, count, taken = tape
    m = int(count[0])
    if torch.is_grad_enabled() or taken[0] != m or m + n > rows.shape[2]:
        room = 0 if torch.is_grad_enabled() else m
        rows = functional.pad(torch.cat([rows[:, :, :m], new], dim=2), (0, 0, 0, room))
        taken = count + n
    else:
        rows[:, :, m : m + n] = new
        taken += n
    return (rows, count + n, taken), rows[:, :, : m + n]


def retold(
    x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b m"], State]:
    """All tokens so far and which of them are valid, for a mixer that remembers these alone; the state with them."""
    tokens, seen = state or (None, None)
    new = x.new_ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
    tokens, every = appended(tokens, x[:, None])
    seen, there = appended(seen, new[:, None, :, None])
    return every[:, 0], there[:, 0, :, 0], (tokens, seen)
