r"""Sums over a past that decays, in time linear in the number of tokens and without a loop over them.

    memory   y_i = q_i S_i,  S_i = diag(a_i) S_{i-1} + k_i v_i^T    linear attention that forgets
    sum      y_i = a_i y_{i-1} + u_i                                feature by feature

Tokens are cut into chunks. With e_i the decay since its chunk began, the weight of token j in token
i is e_i / e_j: a factor of each, so a chunk is one product of matrices, and all of it is causal to
the last bit, which a clock that started in the middle of a chunk would not be. From chunk to chunk
the state is carried by doubling, in log2 of their number sums. Gradients are the same sums run
backwards, so nothing but what a chunk starts with is kept for them [derived].

The factors are finite while a chunk decays by no more than e^{-REACH}: log a >= -REACH / CHUNK for
a memory and -REACH / SHORT for a sum. Mixers keep to it by construction.

    symbol  meaning                                                  shape
    q k v   queries, keys, values                                    b h n c, b h n c, b h n f
    log_a   log of the decay; an axis of 1 where it is shared        b|1 h n c|1
    S       the state before the first token, or after the last      b h c f
    V, D    what a chunk adds to the state, and its whole decay      b h t c f, b|1 h t c|1
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

CHUNK, SHORT = 64, 16  # tokens a chunk, of a memory and of a sum
REACH = 64.0  # e^64 = 6e27: its products with tokens stay below 3e38, the largest float32


def naive_decayed_linear_attention(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n f"],
    log_a: Float[Tensor, "#b h n #c"],
    S: Float[Tensor, "b h c f"],
) -> tuple[Float[Tensor, "b h n f"], Float[Tensor, "b h c f"]]:
    """y_i = q_i S_i, S_i = diag(a_i) S_{i-1} + k_i v_i^T, token by token, and the last S."""
    y = []
    for q_i, k_i, v_i, log_a_i in zip(*(x.split(1, dim=2) for x in (q, k, v, log_a)), strict=True):
        S = log_a_i.mT.exp() * S + k_i.mT @ v_i
        y.append(q_i @ S)
    return torch.cat(y, dim=2), S


def decayed_linear_attention(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n f"],
    log_a: Float[Tensor, "#b h n #c"],
    S: Float[Tensor, "b h c f"],
) -> tuple[Float[Tensor, "b h n f"], Float[Tensor, "b h c f"]]:
    """`naive_decayed_linear_attention` in chunks."""
    if q.shape[2] == 1:
        return naive_decayed_linear_attention(q, k, v, log_a, S)
    return DecayedLinearAttention.apply(q, k, v, log_a, S)


class DecayedLinearAttention(torch.autograd.Function):
    """With q' = e q, k' = k / e and S the state before a chunk: y = tril(q' k'^T) v + q' S.

    Only q' and k' know e, so d log e_i = q'_i dq'_i - k'_i dk'_i; the state after a chunk knows its last e too.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, log_a: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        n, ctx.shared = q.shape[2], log_a.shape
        q, k, v, log_a = (split_chunks(x, CHUNK) for x in (q, k, v, log_a))
        e = (lower_triangle(log_a) @ log_a).exp_()
        q, k, D = e * q, k / e, e[:, :, :, -1]  # e first, for its layout
        S, last = chunk_states((k.mT @ v).mul_(D[..., None]), D, S)
        weights = (q @ k.mT).tril_()
        y = (weights @ v).add_(q @ S)
        ctx.save_for_backward(q, k, v, e, S, weights, last)
        return y.flatten(2, 3)[:, :, :n], last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, e, S, weights, last = ctx.saved_tensors
        n, dy, D = dy.shape[2], split_chunks(dy.contiguous(), CHUNK), e[:, :, :, -1]
        after, dS = chunk_states((q.mT @ dy).flip(2), D.flip(2), dlast)
        after = after.flip(2)
        dV = after * D[..., None]
        dweights = (dy @ v.mT).tril_()
        dq = (dweights @ k).add_(dy @ S.mT)
        dk = (dweights.mT @ q).add_(v @ dV.mT)
        dv = (weights.mT @ dy).add_(k @ dV)
        dlog_a = None
        if ctx.needs_input_grad[3]:
            dA = (q * dq).sub_(k * dk)
            dA[:, :, :, -1] += (after * torch.cat([S[:, :, 1:], last[:, :, None]], 2)).sum(-1)
            dlog_a = (lower_triangle(dA).mT @ dA).flatten(2, 3)[:, :, :n].sum_to_size(ctx.shared)
        dq, dk, dv = (x.flatten(2, 3)[:, :, :n] for x in (dq.mul_(e), dk.div_(e), dv))
        return dq, dk, dv, dlog_a, dS


def decayed_linear_attention_both_ways(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n f"],
    log_a: Float[Tensor, "#b h n #c"],
) -> Float[Tensor, "b h n f"]:
    """y_i = q_i (what a memory holds at i) + q_i (what one that runs from the end holds), each token once."""
    S = q.new_zeros(*k.shape[:2], k.shape[3], v.shape[3])
    past, _ = decayed_linear_attention(q, k, v, log_a, S)
    future, _ = decayed_linear_attention(q.flip(2), k.flip(2), v.flip(2), log_a.flip(2), S)
    return past + future.flip(2) - (q * k).sum(-1, keepdim=True) * v


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
    """`naive_decayed_sum` in chunks."""
    if u.shape[2] == 1:
        return naive_decayed_sum(u, log_a, y)
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
        found = inner.add_(before.mT).mul_(e).flatten(2, 3)[:, :, :n]
        ctx.shared = log_a.shape
        ctx.save_for_backward(u, e, found)
        return found, last[..., 0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        u, e, found = ctx.saved_tensors
        n, dy = dy.shape[2], split_chunks(dy, SHORT)
        inner = lower_triangle(dy).mT @ (dy * e)
        D = e[:, :, :, -1]
        after, first = chunk_states(inner[:, :, :, 0, :, None].flip(2), D.flip(2), dlast[..., None])
        du = (inner + (after.flip(2) * D[..., None]).mT).div_(e).flatten(2, 3)[:, :, :n]
        dlog_a = (du * (found - u)).sum_to_size(ctx.shared) if ctx.needs_input_grad[1] else None
        return du, dlog_a, first[..., 0]


def decayed_sum_both_ways(
    u: Float[Tensor, "b h n c"], log_a: Float[Tensor, "#b h n #c"]
) -> Float[Tensor, "b h n c"]:
    """The sum from the beginning and that from the end, each token once."""
    nothing = u.new_zeros(*u.shape[:2], u.shape[3])
    past, _ = decayed_sum(u, log_a, nothing)
    future, _ = decayed_sum(u.flip(2), log_a.flip(2), nothing)
    return past + future.flip(2) - u


def split_chunks(x: Float[Tensor, "b h n c"], most: int) -> Float[Tensor, "b h t k c"]:
    """Chunks of one size, at most `most` tokens; zeros fill the last one, which change no state."""
    chunks = -(-x.shape[2] // most)
    each = -(-x.shape[2] // chunks)
    if lacking := chunks * each - x.shape[2]:
        x = functional.pad(x, (0, 0, 0, lacking))
    return x.unflatten(2, (chunks, each))


def lower_triangle(x: Float[Tensor, "b h t k c"]) -> Float[Tensor, "k k"]:
    """The matrix of ones that sums over the tokens of a chunk up to each."""
    return x.new_ones(x.shape[3], x.shape[3]).tril_()


def chunk_states(
    V: Float[Tensor, "b h t c f"], D: Float[Tensor, "#b h t #c"], S: Float[Tensor, "b h c f"]
) -> tuple[Float[Tensor, "b h t c f"], Float[Tensor, "b h c f"]]:
    """The state before each chunk, S_{t+1} = D_t S_t + V_t, and the one after the last; by doubling."""
    S = torch.cat([S[:, :, None], V], dim=2)
    D = functional.pad(D, (0, 0, 1, 0))[..., None]
    step = 1
    while step < S.shape[2]:
        S[:, :, step:] += D[:, :, step:] * S[:, :, :-step]
        D = torch.cat([D[:, :, :step], D[:, :, step:] * D[:, :, :-step]], dim=2)
        step *= 2
    return S[:, :, :-1], S[:, :, -1]
