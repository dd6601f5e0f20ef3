r"""Products of blocks of tokens with the m blocks J_1 ... J_m that each block I is linked to, a few at a time.

    products  s_I = a_I [x_J1 ... x_Jm]^T        averages  y_I = p_I [x_J1; ...; x_Jm]
    scatter   z_J = sum over all I and k with J = J_k(I) of p_I^(k)^T a_I

Each is the derivative of the others, so all orders of gradients are built from these three. Few blocks are
gathered at a time, so that they stay in the processor's cache: all of them are m copies of the text, and
moving those costs more than the products.

    symbol  meaning                                             shape
    N       blocks of all texts and heads, of k tokens
    a, x    queries or gradients; keys or values                N k w
    p       weights of the tokens of linked blocks              N k l, l = m k
    index   the blocks that each block is linked to             b h I m, or N m through all texts and heads
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

AT_ONCE = (2**18, 2**26)  # numbers that are gathered, on a CPU and on a GPU


def naive_gathered_products(
    q: Float[Tensor, "b h I k w"], x: Float[Tensor, "b h I k w"], index: Int[Tensor, "b h I m"]
) -> Float[Tensor, "b h I k l"]:
    """s_ij = q_i . x_j, all linked blocks copied at once."""
    return q @ linked_tokens(x, index).mT


def naive_gathered_averages(
    p: Float[Tensor, "b h I k l"], x: Float[Tensor, "b h I k w"], index: Int[Tensor, "b h I m"]
) -> Float[Tensor, "b h I k w"]:
    """y_i = sum_j p_ij x_j, all linked blocks copied at once."""
    return p @ linked_tokens(x, index)


def linked_tokens(x: Float[Tensor, "b h I k w"], index: Int[Tensor, "b h I m"]) -> Float[Tensor, "b h I l w"]:
    """The tokens of the blocks that each block is linked to."""
    sample = torch.arange(x.shape[0], device=x.device)[:, None, None, None]
    head = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return x[sample, head, index].flatten(3, 4)


def gathered_products(
    q: Float[Tensor, "b h I k w"], x: Float[Tensor, "b h I k w"], index: Int[Tensor, "b h I m"]
) -> Float[Tensor, "b h I k l"]:
    """s_ij = q_i . x_j over the tokens j of the blocks that the block of i is linked to, one block after another."""
    found = BlockProducts.apply(q.flatten(0, 2), x.flatten(0, 2), flat_index(index))
    return found.view(*q.shape[:4], -1)


def gathered_averages(
    p: Float[Tensor, "b h I k l"], x: Float[Tensor, "b h I k w"], index: Int[Tensor, "b h I m"]
) -> Float[Tensor, "b h I k w"]:
    """y_i = sum_j p_ij x_j over the tokens j of the linked blocks, as in `gathered_products`."""
    found = BlockAverages.apply(p.to(x.dtype).flatten(0, 2), x.flatten(0, 2), flat_index(index))
    return found.view(x.shape)


def flat_index(index: Int[Tensor, "b h I m"]) -> Int[Tensor, "N m"]:
    """The number of each linked block where the blocks of all texts and heads stand in one row: J + I (h + heads b)."""
    b, h, I, m = index.shape
    first = I * torch.arange(b * h, device=index.device)[:, None]
    return (index.flatten(2).flatten(0, 1) + first).view(-1, m)


def block_slices(x: Float[Tensor, "N k w"], index: Int[Tensor, "N m"]) -> list[slice]:
    """Slices of as many blocks as may be gathered at a time."""
    count = max(1, AT_ONCE[x.is_cuda] // (index.shape[1] * x[0].numel()))
    return [slice(start, start + count) for start in range(0, len(index), count)]


def gather_blocks(
    x: Float[Tensor, "N k w"], index: Int[Tensor, "N m"]
) -> Iterator[tuple[slice, Float[Tensor, "C l w"]]]:
    """Yields slices of blocks and the tokens that they are linked to, which the next ones overwrite."""
    rows, space = x.flatten(1), x.new_empty(0)
    for here in block_slices(x, index):
        part = index[here]
        if not len(space):
            space = x.new_empty(part.numel(), rows.shape[1])
        taken = torch.index_select(rows, 0, part.flatten(), out=space[: part.numel()])
        yield here, taken.view(len(part), -1, x.shape[-1])


class BlockProducts(torch.autograd.Function):
    """s_I = a_I [x_J1 ... x_Jm]^T."""

    @staticmethod
    def forward(ctx, a, x, index):
        ctx.save_for_backward(a, x, index)
        found = a.new_empty(*a.shape[:2], index.shape[1] * x.shape[1])
        for here, taken in gather_blocks(x, index):
            torch.bmm(a[here], taken.mT, out=found[here])
        return found

    @staticmethod
    def backward(ctx, g):
        a, x, index = ctx.saved_tensors
        return BlockAverages.apply(g, x, index), BlockScatter.apply(g, a, index), None


class BlockAverages(torch.autograd.Function):
    """y_I = p_I [x_J1; ...; x_Jm]."""

    @staticmethod
    def forward(ctx, p, x, index):
        ctx.save_for_backward(p, x, index)
        found = x.new_empty(x.shape)
        for here, taken in gather_blocks(x, index):
            torch.bmm(p[here], taken, out=found[here])
        return found

    @staticmethod
    def backward(ctx, g):
        p, x, index = ctx.saved_tensors
        return BlockProducts.apply(g, x, index), BlockScatter.apply(p, g, index), None


class BlockScatter(torch.autograd.Function):
    """z_J = sum over all I and k with J_k(I) = J of p_I^(k)^T a_I: what all blocks I send to the blocks J they link to.

    p_I^(k) are the weights between the tokens of block I and those of its k-th linked block, a_I the rows of block I.
    """

    @staticmethod
    def forward(ctx, p, a, index):
        ctx.save_for_backward(p, a, index)
        found = a.new_zeros(a.shape[0], a[0].numel())
        for here in block_slices(a, index):
            given = p[here].mT @ a[here]
            found.index_add_(0, index[here].flatten(), given.view(-1, found.shape[1]))
        return found.view(a.shape)

    @staticmethod
    def backward(ctx, g):
        p, a, index = ctx.saved_tensors
        return BlockProducts.apply(a, g, index), BlockAverages.apply(p, g, index), None
