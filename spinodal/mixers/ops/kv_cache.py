r"""The KV cache: rows such as keys and values, one a token, appended without copying earlier ones.

A state is a value: two continuations of one state must not share memory that either writes. So the
cache holds spare rows behind its own; the first continuation fills them in place, a second one sees
that they are taken and copies.

    symbol  meaning                                            shape
    rows    the rows kept, then spare ones                     b h m c
    count   how many rows are this cache's: its position        b
    taken   how many are in use by any cache on `rows`          b
"""

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from spinodal.mixers.base import State


def position(cache: State | None, x: Shaped[Tensor, "b ..."]) -> Int[Tensor, " b"]:
    """The number of rows kept so far, for each sample of x; zero without a cache."""
    return x.new_zeros(x.shape[0], dtype=torch.long) if not cache else cache[1]


def naive_append(
    held: Shaped[Tensor, "b h m c"] | None, new: Shaped[Tensor, "b h n c"]
) -> Shaped[Tensor, "b h l c"]:
    """All rows, copied at every call."""
    return new if held is None else torch.cat([held, new], dim=2)


def append(cache: State | None, new: Shaped[Tensor, "b h n c"]) -> tuple[State, Shaped[Tensor, "b h m c"]]:
    """The cache with the new rows behind its own, and all its rows. Capacity doubles, unless gradients are kept."""
    n = new.shape[2]
    if not cache:
        count = torch.full((new.shape[0],), n, device=new.device)
        return (new, count, count.clone()), new
    rows, count, taken = cache
    m = int(count[0])
    if torch.is_grad_enabled() or taken[0] != m or m + n > rows.shape[2]:
        room = 0 if torch.is_grad_enabled() else m
        rows = functional.pad(torch.cat([rows[:, :, :m], new], dim=2), (0, 0, 0, room))
        taken = count + n
    else:
        rows[:, :, m : m + n] = new
        taken += n
    return (rows, count + n, taken), rows[:, :, : m + n]


def append_tokens(
    x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
) -> tuple[Float[Tensor, "b m d"], Bool[Tensor, "b m"], State]:
    """All tokens so far, which of them are valid, and the state that holds both, for a mixer that recomputes."""
    tokens, seen = state or (None, None)
    new = x.new_ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
    tokens, every = append(tokens, x[:, None])
    seen, there = append(seen, new[:, None, :, None])
    return every[:, 0], there[:, 0, :, 0], (tokens, seen)
