r"""The links of chosen blocks by FlexAttention, which skips the other blocks on a GPU and has gradients there."""

from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from spinodal.mixers.graph.blocks import RoutedBlocks
from spinodal.mixers.graph.links import Averages, scale

LEAST = 128  # tokens a block, below which its kernel would have to be given tiles of its own


@cache
def compiled():
    return torch.compile(flex_attention, dynamic=False)


def flex_supported(q: Float[Tensor, "b h n w"], size: int) -> bool:
    """Whether it can: on a GPU, not in double precision, with blocks of its own size."""
    return q.is_cuda and q.dtype != torch.float64 and size % LEAST == 0


def block_mask(
    choice: RoutedBlocks,
    allowed: Bool[Tensor, "b n"],
    lonely: Bool[Tensor, "b h n"],
    *,
    size: int,
    causal: bool,
) -> BlockMask:
    """The choice as FlexAttention has it; `lonely` tokens see themselves."""
    order = choice.kept.sort(dim=-1, descending=True, stable=True)
    n, I = allowed.shape[1], choice.index.shape[2]
    columns = torch.zeros(*choice.index.shape[:3], I, dtype=torch.int32, device=allowed.device)
    columns[..., : choice.index.shape[3]] = choice.index.gather(-1, order.indices)

    other = torch.lt if causal else torch.ne
    linked = lambda b, h, i, j: (
        (other(j, i) & allowed[b, i] & allowed[b, j] & choice.selected[b, h, i // size, j // size])
        | ((i == j) & lonely[b, h, i])
    )
    count = choice.kept.sum(-1, dtype=torch.int32)
    return BlockMask.from_kv_blocks(count, columns, BLOCK_SIZE=size, mask_mod=linked, seq_lengths=(n, n))


def flex_averages(q: Float[Tensor, "b h n w"], k: Float[Tensor, "b h n w"], mask: BlockMask) -> Averages:
    """P times values, one call a step."""
    attend = compiled() if q.is_cuda else flex_attention
    return lambda values: attend(q, k, values, block_mask=mask, scale=scale(q))
