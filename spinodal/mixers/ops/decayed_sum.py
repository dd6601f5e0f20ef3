r"""Decayed sum: a recurrence of one number a feature, y_i = a_i y_{i-1} + u_i, in chunks.

symbol  meaning                                                  shape
u       what each token adds                                     b h n c
log_a   log of the decay; an axis of 1 where it is shared        b|1 h n c|1
y       the sum; as an argument, before the first token          b h n c, b h c
e       decay since the chunk began                              b h t k c
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.mixers.ops.chunks import (
    SHORT,
    chunk_states,
    join_chunks,
    lower_triangle,
    split_chunks,
)
from spinodal.mixers.ops.precision import full_precision


def naive_decayed_sum(
    u: Float[Tensor, "b h n c"], log_a: Float[Tensor, "#b h n #c"], y: Float[Tensor, "b h c"]
) -> tuple[Float[Tensor, "b h n c"], Float[Tensor, "b h c"]]:
    """y_i = a_i y_{i-1} + u_i, token by token, and the last y."""
    found = []
    for u_i, log_a_i in zip(u.unbind(2), log_a.unbind(2), strict=True):
        y = log_a_i.exp() * y + u_i
        found.append(y)
    return torch.stack(found, dim=2), y


def decayed_sum(
    u: Float[Tensor, "b h n c"], log_a: Float[Tensor, "#b h n #c"], y: Float[Tensor, "b h c"]
) -> tuple[Float[Tensor, "b h n c"], Float[Tensor, "b h c"]]:
    """y_i = a_i y_{i-1} + u_i, and the last y  [feng2024].

    A sum over past tokens, feature by feature, whose terms decay; in chunks, so in time linear in n.
    """
    if u.shape[2] == 1:
        return naive_decayed_sum(u, log_a, y)
    with full_precision(u):
        return DecayedSum.apply(u, log_a, y)


class DecayedSum(torch.autograd.Function):
    """y_i = e_i (y + sum_{j <= i} u_j / e_j), y on the right the one before the chunk."""

    @staticmethod
    def forward(ctx, u: Tensor, log_a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        n = u.shape[2]
        parts, logs = split_chunks(u, SHORT), split_chunks(log_a, SHORT)
        e = (lower_triangle(logs) @ logs).exp_()
        inner = lower_triangle(parts) @ (parts / e)
        D = e[:, :, :, -1]
        before, last = chunk_states((inner[:, :, :, -1] * D)[..., None], D, y[..., None])
        found = join_chunks(inner.add_(before.mT).mul_(e), n)
        ctx.shared = log_a.shape
        ctx.save_for_backward(u, e, found)
        return found, last[..., 0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        with full_precision(dy):
            return DecayedSum.gradients(ctx, dy, dlast)

    @staticmethod
    def gradients(ctx, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients in u, log_a and the first y, by the same sum from the last token to the first."""
        u, e, found = ctx.saved_tensors
        n, dy = dy.shape[2], split_chunks(dy, SHORT)
        inner = lower_triangle(dy).mT @ (dy * e)
        D = e[:, :, :, -1]
        after, first = chunk_states(inner[:, :, :, 0, :, None].flip(2), D.flip(2), dlast[..., None])
        du = (inner + (after.flip(2) * D[..., None]).mT).div_(e).flatten(2, 3)[:, :, :n]
        dlog_a = (du * (found - u)).sum_to_size(ctx.shared) if ctx.needs_input_grad[1] else None
        return du, dlog_a, first[..., 0]


def decays_between(log_a: Float[Tensor, "b h n c"]) -> Float[Tensor, "b h n n c"]:
    """w_ij = prod_{j < l <= i} a_l for j <= i, and prod_{i <= l < j} a_l for j > i."""
    n, rows = log_a.shape[2], []
    for i in range(n):
        past = [log_a[:, :, j + 1 : i + 1].sum(2) for j in range(i + 1)]
        future = [log_a[:, :, i:j].sum(2) for j in range(i + 1, n)]
        rows.append(torch.stack(past + future, 2).exp())
    return torch.stack(rows, 2)


def naive_decayed_sum_both_ways(
    u: Float[Tensor, "b h n c"], log_a: Float[Tensor, "b h n c"]
) -> Float[Tensor, "b h n c"]:
    """y_i = sum_j w_ij u_j over all tokens, w_ij the product of the decays between i and j."""
    return torch.einsum("bhijc,bhjc->bhic", decays_between(log_a), u)


def decayed_sum_both_ways(
    u: Float[Tensor, "b h n c"], log_a: Float[Tensor, "#b h n #c"]
) -> Float[Tensor, "b h n c"]:
    """y_i = sum_j w_ij u_j over all tokens, w_ij the product of the decays between i and j.

    The sum that runs from the beginning and the one from the end, less the token itself, which both have.
    """
    nothing = u.new_zeros(*u.shape[:2], u.shape[3])
    past, _ = decayed_sum(u, log_a, nothing)
    future, _ = decayed_sum(u.flip(2), log_a.flip(2), nothing)
    return past + future.flip(2) - u
