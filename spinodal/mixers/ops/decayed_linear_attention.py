r"""Decayed linear attention: y_i = q_i S_i with S_i = diag(a_i) S_{i-1} + k_i v_i^T, in chunks.

Retention has one fixed decay a head [sun2023], gated linear attention one a feature, read from the
tokens [yang2023]. `chunks` says how it takes linear time.

    symbol  meaning                                                  shape
    q k v   queries, keys, values                                    b h n c, b h n c, b h n f
    log_a   log of the decay; an axis of 1 where it is shared        b|1 h n c|1
    S       the state before the first token, or after the last      b h c f
    V, D    what a chunk adds to the state, and its whole decay      b h t c f, b|1 h t c|1
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.mixers.ops.chunks import (
    CHUNK,
    chunk_states,
    join_chunks,
    lower_triangle,
    split_chunks,
)
from spinodal.mixers.ops.decayed_sum import decays_between
from spinodal.mixers.ops.precision import full_precision


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
    """y_i = q_i S_i, S_i = diag(a_i) S_{i-1} + k_i v_i^T, and the last S  [sun2023; yang2023].

    Attention without a softmax, whose memory of past tokens decays; in chunks, so in time linear in n.
    """
    with full_precision(q):
        if q.shape[2] == 1:
            return naive_decayed_linear_attention(q, k, v, log_a, S)
        return DecayedLinearAttention.apply(q, k, v, log_a, S)


class DecayedLinearAttention(torch.autograd.Function):
    """With q' = e q, k' = k / e and S the state before a chunk: y = tril(q' k'^T) v + q' S.

    e enters through q' and k', so that d log e_i = q'_i dq'_i - k'_i dk'_i, and the last e of a chunk
    also through the state after it.
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
        return join_chunks(y, n), last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        with full_precision(dy):
            return DecayedLinearAttention.gradients(ctx, dy, dlast)

    @staticmethod
    def gradients(ctx, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients in q, k, v, log_a and the first S, by the same sums from the last token to the first."""
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


def naive_decayed_linear_attention_both_ways(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n f"],
    log_a: Float[Tensor, "b h n c"],
) -> Float[Tensor, "b h n f"]:
    """y_i = sum_j <q_i, w_ij * k_j> v_j over all tokens, w_ij the product of the decays between i and j."""
    return torch.einsum("bhic,bhijc,bhjc,bhjf->bhif", q, decays_between(log_a), k, v)


def decayed_linear_attention_both_ways(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n f"],
    log_a: Float[Tensor, "#b h n #c"],
) -> Float[Tensor, "b h n f"]:
    """y_i = sum_j <q_i, w_ij * k_j> v_j over all tokens, w_ij the product of the decays between i and j.

    The sum that runs from the beginning and the one from the end, less the token itself, which both have.
    """
    S = q.new_zeros(*k.shape[:2], k.shape[3], v.shape[3])
    past, _ = decayed_linear_attention(q, k, v, log_a, S)
    future, _ = decayed_linear_attention(q.flip(2), k.flip(2), v.flip(2), log_a.flip(2), S)
    return past + future.flip(2) - (q * k).sum(-1, keepdim=True) * v
