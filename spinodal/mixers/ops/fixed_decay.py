r"""Attention with one fixed decay a head, over all tokens: y_i = sum_j g^|i-j| <q_i, k_j> v_j, in chunks.

Within a chunk the weights are formed, with their decays; what lies before it and behind it comes as two states, one
from either end of the text. A short text is one chunk.

    symbol  meaning                                                           shape
    q k v   queries, keys, values                                             b h n c, b h n c, b h n f
    log_g   log of the decay                                                  h
    D, w    decays within a chunk; its weights                                h 1 k k, b h t k k
    S       states of the tokens before a chunk, and of those behind it       b h t c f, each
    A       what a chunk adds to them                                         b h t c f, each
    entry   decay from a token to the end of its chunk, and to its beginning  h 1 k c, each
    reach   decay from the state before a chunk to a token, and from the one behind it
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spinodal.mixers.ops.chunks import chunk_states
from spinodal.mixers.ops.decayed_linear_attention import decayed_linear_attention_both_ways
from spinodal.mixers.ops.precision import full_precision
from spinodal.mixers.ops.tracing import traced

WHOLE, CHUNK = 128, 64  # tokens of a text that is one chunk, and of a chunk of a longer one
FEW = 128  # chunks whose states are one product: more would cost more than the rest


def naive_fixed_decay_attention(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n f"],
    log_g: Float[Tensor, " h"],
) -> Float[Tensor, "b h n f"]:
    """y_i = sum_j g^|i-j| <q_i, k_j> v_j, with all n^2 weights at once."""
    return (decays(log_g, q.shape[2]) * (q @ k.mT)) @ v


def decays(log_g: Float[Tensor, " h"], n: int) -> Float[Tensor, "h n n"]:
    """g^|i-j| of n tokens."""
    i = torch.arange(n, device=log_g.device)
    return torch.exp(log_g[:, None, None] * (i[:, None] - i).abs())


def fixed_decay_attention(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n f"],
    log_g: Float[Tensor, " h"],
) -> Float[Tensor, "b h n f"]:
    """y_i = sum_j g^|i-j| <q_i, k_j> v_j over all tokens  [sun2023].

    Equal to `decayed_linear_attention_both_ways` with one decay for all tokens of a head, in less than half
    the time; under tracing that function is called, since it takes texts of any length.
    """
    n = q.shape[2]
    if traced():
        return decayed_linear_attention_both_ways(q, k, v, log_g[None, :, None, None].expand(-1, -1, n, -1))
    with full_precision(q):
        size = n if n <= WHOLE else CHUNK
        if lacking := -n % size:
            q, k, v = (functional.pad(x, (0, 0, 0, lacking)) for x in (q, k, v))
        q, k, v = (x.contiguous().unflatten(2, (-1, size)) for x in (q, k, v))
        return FixedDecayAttention.apply(q, k, v, log_g).flatten(2, 3)[:, :, :n]


class FixedDecayAttention(torch.autograd.Function):
    """With w = D * (q k^T): y = w v + sum_sides (reach * q) S; q, k, v and y are cut into chunks [b h t k c]."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, log_g: Tensor) -> Tensor:
        D, S = decays(log_g, q.shape[3])[:, None], []
        w = (q @ k.mT).mul_(D)
        y = w @ v
        for behind, entry, reach in sides(q, log_g):
            S.append(outer_states((k * entry).mT @ v, q.shape[3] * log_g, behind=behind))
            add_product(y, q * reach, S[-1])
        ctx.save_for_backward(q, k, v, w, D, log_g, *S)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        """dq, dk and dv by the same sums; dA is a decayed sum over the chunks that read the states."""
        with full_precision(dy):
            q, k, v, w, D, log_g, *S = ctx.saved_tensors
            dw = (dy @ v.mT).mul_(D)
            dq, dk, dv = dw @ k, dw.mT @ q, w.mT @ dy
            for behind, entry, reach in sides(q, log_g):
                dA = outer_states((q * reach).mT @ dy, q.shape[3] * log_g, behind=not behind)
                dq.addcmul_(dy @ S[behind].mT, reach)
                dk.addcmul_(v @ dA.mT, entry)
                add_product(dv, k * entry, dA)
            return dq, dk, dv, None


def sides(q: Float[Tensor, "b h t k c"], log_g: Float[Tensor, " h"]) -> list[tuple[bool, Tensor, Tensor]]:
    """[(False, entry, reach), (True, entry, reach)]: decays for the states before and behind each chunk.

    Empty for a text of one chunk, which has neither.
    """
    if q.shape[2] == 1:
        return []
    i = torch.arange(q.shape[3], device=q.device)
    powers = torch.stack([i.flip(0), i + 1, i, i.flip(0) + 1])[:, None, None, :, None]
    decay = torch.exp(log_g[:, None, None, None] * powers)
    # as wide as q: a factor with an axis of one would be read number by number
    before, after, behind, ahead = decay.expand(-1, -1, -1, -1, q.shape[4]).contiguous()
    return [(False, before, after), (True, behind, ahead)]


def add_product(
    y: Float[Tensor, "b h t k f"], a: Float[Tensor, "b h t k c"], b: Float[Tensor, "b h t c f"]
) -> None:
    """y += a b, in place."""
    y.flatten(0, 2).baddbmm_(a.flatten(0, 2), b.flatten(0, 2))


def outer_states(
    A: Float[Tensor, "b h t c f"], log_g: Float[Tensor, " h"], *, behind: bool
) -> Float[Tensor, "b h t c f"]:
    """S_{t+1} = g S_t + A_t from the first chunk on, or S_{t-1} = g S_t + A_t from the last one back."""
    t = A.shape[2]
    if t <= FEW:
        gap = torch.arange(t, device=A.device)[:, None] - torch.arange(1, t + 1, device=A.device)
        W = torch.exp(log_g[:, None, None] * gap.clamp(min=0)).masked_fill(gap < 0, 0.0)
        return ((W.mT if behind else W) @ A.flatten(3)).view(A.shape)
    decay = log_g.exp()[None, :, None, None].expand(-1, -1, t, -1)
    S, _ = chunk_states(A.flip(2) if behind else A, decay, torch.zeros_like(A[:, :, 0]))
    return S.flip(2) if behind else S
