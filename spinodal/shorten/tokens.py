r"""Coincident tokens become one token of their mass, exactly; of a run of them, one token for every few.

    sum_j m_j e^{e_ij} v_j / sum_j m_j e^{e_ij}  =  sum_j e^{e_ij + log m_j} v_j / sum_j e^{e_ij + log m_j}

    symbol  meaning
    x_j     token j of the sound, behind the convolutions and before its place is added
    m_j     mass: how many tokens the kept token stands for; 0 for the padding of a batch
    e_ij    the logit of token j for token i

Attention over n tokens, m_j of which are equal, is attention over the different ones with log m_j added to
every logit that looks at token j [derived]. It is exact where tokens are equal with their places, and an
approximation where they differ by their places alone.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

COINCIDENCE = 1e-5  # |x_j+1 - x_j| / |x_j+1| of neighbours that are the same, in float32 and wider
COINCIDENCE_OF_HALF = 1e-3  # the same in bfloat16 and float16


class Merged(NamedTuple):
    """Tokens that are kept, each with the place in the middle of its group, and their masses; padded with mass 0.

    The middle of an even number of places is the mean of two.
    """

    tokens: Float[Tensor, "b m d"]
    masses: Int[Tensor, "b m"]


def merge(
    x: Float[Tensor, "b n d"], places: Float[Tensor, "n d"], *, size: int, margin: int
) -> Merged | None:
    """The tokens with their places, those that coincide `size` by `size`; None where none do.

    A run of neighbours that coincide keeps its first `margin` + 1 tokens and its last one as they are; those
    between are merged in their order.
    """
    starts = [group_starts(same, size, margin) for same in coincident(x).tolist()]
    longest = max(map(len, starts))
    if min(map(len, starts)) == x.shape[1]:
        return None
    masses, firsts = [], []
    for s in starts:
        padding = [0] * (longest - len(s))
        masses.append([b - a for a, b in pairwise([*s, x.shape[1]])] + padding)
        firsts.append(s + padding)
    mass, first = torch.tensor(masses, device=x.device), torch.tensor(firsts, device=x.device)
    middle, before = first + mass // 2, first + (mass - 1).clamp(min=0) // 2
    place = torch.where((middle == before)[..., None], places[middle], (places[middle] + places[before]) / 2)
    return Merged(x.gather(1, middle[..., None].expand(-1, -1, x.shape[2])) + place, mass)


def coincident(x: Float[Tensor, "b n d"]) -> Bool[Tensor, "b n-1"]:
    """Whether |x_{j+1} - x_j| <= 1e-5 |x_{j+1}|; 1e-3 in half precision."""
    threshold = COINCIDENCE_OF_HALF if x.dtype.itemsize < 4 else COINCIDENCE
    x = x.float()
    return (x[:, 1:] - x[:, :-1]).norm(dim=-1) <= threshold * x[:, 1:].norm(dim=-1)


def group_starts(same: Sequence[bool], size: int, margin: int) -> list[int]:
    """The first token of each group; `same[j]` says whether tokens j and j + 1 coincide.

    >>> group_starts([False, True, True, True, True, True, True], 3, 0)
    [0, 1, 2, 5, 7]
    """
    starts, first, n = [], 0, len(same) + 1
    while first < n:
        last = first
        while last < n - 1 and same[last]:
            last += 1
        single = min(first + margin, last)
        starts += [*range(first, single + 1), *range(single + 1, last, size)]
        if last > starts[-1]:
            starts.append(last)
        first = last + 1
    return starts


def log_masses(masses: Tensor, dtype: torch.dtype) -> Float[Tensor, "b m"]:
    """log m_j, what is added to the logits of token j; for mass 0 the least finite number of the type."""
    return masses.double().log().clamp(min=torch.finfo(dtype).min).to(dtype)


def group_index(masses: Int[Tensor, "b m"]) -> Int[Tensor, "b n"]:
    """The group that each token is in."""
    groups = torch.arange(masses.shape[1], device=masses.device)
    return torch.stack([groups.repeat_interleave(mass) for mass in masses])


def on_grid(x: Float[Tensor, "b ..."], masses: Int[Tensor, "b m"], axis: int) -> Float[Tensor, "b ..."]:
    """Along one axis, for each token of the whole sound what its group has."""
    index = group_index(masses)
    shape = [len(x)] + [1] * (x.ndim - 1)
    shape[axis] = index.shape[1]
    wide = list(x.shape)
    wide[axis] = index.shape[1]
    return x.gather(axis, index.view(shape).expand(wide))


def weights_on_grid(w: Float[Tensor, "b h q m"], masses: Int[Tensor, "b m"]) -> Float[Tensor, "b h q n"]:
    """w_ij / m_j for each token of group j: rows sum to one over the tokens of the whole sound too."""
    return on_grid(w / masses.clamp(min=1)[:, None, None].to(w.dtype), masses, -1)
