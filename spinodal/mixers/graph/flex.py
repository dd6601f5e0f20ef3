r"""Averages over linked blocks by FlexAttention, which skips the other blocks on a GPU and has gradients there."""

from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from spinodal.mixers.graph.blocks import RoutedBlocks
from spinodal.mixers.graph.scores import Averages, scale

LEAST = 128  # tokens a block: one tile of the kernel


@cache
def compiled_flex_attention():
    return torch.compile(flex_attention, dynamic=False)


def flex_supported(q: Float[Tensor, "b h n w"], size: int) -> bool:
    """Whether FlexAttention runs: on a GPU, not in double precision, with blocks of whole tiles."""
    return q.is_cuda and q.dtype != torch.float64 and size % LEAST == 0


def block_mask(
    routed: RoutedBlocks,
    allowed: Bool[Tensor, "b n"],
    alone: Bool[Tensor, "b h n"],
    *,
    size: int,
    causal: bool,
) -> BlockMask:
    """The mask of linked blocks, in which tokens that are `alone` see themselves."""
    order = routed.kept.sort(dim=-1, descending=True, stable=True)
    n, I = allowed.shape[1], routed.index.shape[2]
    columns = torch.zeros(*routed.index.shape[:3], I, dtype=torch.int32, device=allowed.device)
    columns[..., : routed.index.shape[3]] = routed.index.gather(-1, order.indices)

    other = torch.lt if causal else torch.ne
    linked = lambda b, h, i, j: (
        (other(j, i) & allowed[b, i] & allowed[b, j] & routed.selected[b, h, i // size, j // size])
        | ((i == j) & alone[b, h, i])
    )
    count = routed.kept.sum(-1, dtype=torch.int32)
    return BlockMask.from_kv_blocks(count, columns, BLOCK_SIZE=size, mask_mod=linked, seq_lengths=(n, n))


def flex_averages(q: Float[Tensor, "b h n w"], k: Float[Tensor, "b h n w"], mask: BlockMask) -> Averages:
    """The function x -> softmax(s) x, each call of it one of FlexAttention."""
    attend = compiled_flex_attention() if q.is_cuda else flex_attention
    return lambda values: attend(q, k, values, block_mask=mask, scale=scale(q))
