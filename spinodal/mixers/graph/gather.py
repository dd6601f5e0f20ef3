r"""Products of blocks of tokens with the blocks that each has chosen, gathered a few at a time.

    products  s_I = a_I [x_J1 ... x_Jm]^T        averages  y_I = p_I [x_J1; ...; x_Jm]
    spread    z_J = sum over I and k with J_k = I's k-th choice of p_I^(k)^T a_I

Each is the derivative of the others, so all orders of gradients are built from these three. What is gathered at a
time stays in the cache: all at once it is m copies of the text, and carrying them costs more than the products.

    symbol  meaning                                         shape
    N       blocks of all texts and heads, of k tokens
    a, x    queries or gradients; keys or values            N k w
    p       weights or gradients of the chosen tokens       N k l, l = m k
    index   the blocks that each block chose                N m
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spinodal.mixers.graph.blocks import RoutedBlocks

AT_ONCE = (2**18, 2**26)  # numbers that are gathered, on a CPU and on a GPU


def gathered_products(
    q: Float[Tensor, "b h I k w"], x: Float[Tensor, "b h I k w"], choice: RoutedBlocks
) -> Float[Tensor, "b h I k l"]:
    """q_i . x_j over the tokens j of the blocks that the block of i chose, one block after another."""
    index = flat(choice)
    found = Products.apply(q.flatten(0, 2), x.flatten(0, 2), index)
    return found.view(*q.shape[:4], -1)


def gathered_averages(
    p: Float[Tensor, "b h I k l"], x: Float[Tensor, "b h I k w"], choice: RoutedBlocks
) -> Float[Tensor, "b h I k w"]:
    """sum_j p_ij x_j over the same tokens."""
    found = Averages.apply(p.to(x.dtype).flatten(0, 2), x.flatten(0, 2), flat(choice))
    return found.view(x.shape)


def flat(choice: RoutedBlocks) -> Int[Tensor, "N m"]:
    """The chosen blocks, counted through all texts and heads."""
    b, h, I, m = choice.index.shape
    first = I * torch.arange(b * h, device=choice.index.device)[:, None]
    return (choice.index.flatten(2).flatten(0, 1) + first).view(-1, m)


def pieces(x: Float[Tensor, "N k w"], index: Int[Tensor, "N m"]) -> list[slice]:
    """As many blocks at a time as may be gathered."""
    count = max(1, AT_ONCE[x.is_cuda] // (index.shape[1] * x[0].numel()))
    return [slice(start, start + count) for start in range(0, len(index), count)]


def parts(
    x: Float[Tensor, "N k w"], index: Int[Tensor, "N m"]
) -> Iterator[tuple[slice, Float[Tensor, "C l w"]]]:
    """Some blocks, and what they chose, in one piece of memory that is used again."""
    rows, space = x.flatten(1), x.new_empty(0)
    for here in pieces(x, index):
        part = index[here]
        if not len(space):
            space = x.new_empty(part.numel(), rows.shape[1])
        taken = torch.index_select(rows, 0, part.flatten(), out=space[: part.numel()])
        yield here, taken.view(len(part), -1, x.shape[-1])


class Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, x, index):
        ctx.save_for_backward(a, x, index)
        found = a.new_empty(*a.shape[:2], index.shape[1] * x.shape[1])
        for here, taken in parts(x, index):
            torch.bmm(a[here], taken.mT, out=found[here])
        return found

    @staticmethod
    def backward(ctx, g):
        a, x, index = ctx.saved_tensors
        return Averages.apply(g, x, index), Spread.apply(g, a, index), None


class Averages(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p, x, index):
        ctx.save_for_backward(p, x, index)
        found = x.new_empty(x.shape)
        for here, taken in parts(x, index):
            torch.bmm(p[here], taken, out=found[here])
        return found

    @staticmethod
    def backward(ctx, g):
        p, x, index = ctx.saved_tensors
        return Products.apply(g, x, index), Spread.apply(p, g, index), None


class Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, p, a, index):
        ctx.save_for_backward(p, a, index)
        found = a.new_zeros(len(a), a[0].numel())
        for here in pieces(a, index):
            given = p[here].mT @ a[here]
            found.index_add_(0, index[here].flatten(), given.view(-1, found.shape[1]))
        return found.view(a.shape)

    @staticmethod
    def backward(ctx, g):
        p, a, index = ctx.saved_tensors
        return Products.apply(a, g, index), Averages.apply(p, g, index), None
