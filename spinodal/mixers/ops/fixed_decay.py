r"""Attention with one fixed decay a head, over all tokens: y_i = sum_j g^|i-j| <q_i, k_j> v_j, in chunks.

Within a chunk the weights are formed, with their decays; what lies before it and behind it comes as two states, one
from either end of the text. A short text is one chunk.

    symbol  meaning                                                           shape
    q k v   queries, keys, values                                             b h n c, b h n c, b h n f
    log_g   log of the decay                                                  h
    D, w    decays within a chunk; its weights                                h 1 k k, b h t k k
    S       states of the tokens before a chunk and of those behind it        2 b h t c f
    A       what a chunk adds to them                                         2 b h t c f
    entry   decay from a token to the end of its chunk, and to its beginning  2 1 h 1 k 1
    reach   decay from the state before a chunk to a token, and from the one behind it
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spinodal.mixers.ops.chunks import chunk_states, full_precision
from spinodal.mixers.ops.decayed_linear_attention import decayed_linear_attention_both_ways
from spinodal.mixers.ops.tracing import traced

WHOLE, CHUNK = 128, 64  # tokens of a text that is one chunk, and of a chunk of a longer one


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

    As `decayed_linear_attention_both_ways` for decays that no token changes, in about half the time; traced graphs have
    that one, which knows texts of any length.
    """
    n = q.shape[2]
    if traced():
        return decayed_linear_attention_both_ways(q, k, v, log_g[None, :, None, None].expand(-1, -1, n, -1))
    with full_precision(q):
        size = n if n <= WHOLE else CHUNK
        q, k, v = (functional.pad(x, (0, 0, 0, -n % size)).unflatten(2, (-1, size)) for x in (q, k, v))
        return FixedDecayAttention.apply(q, k, v, log_g).flatten(2, 3)[:, :, :n]


class FixedDecayAttention(torch.autograd.Function):
    """With w = D * (q k^T): y = w v + sum_sides (reach * q) S; q, k, v and y are cut into chunks [b h t k c]."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, log_g: Tensor) -> Tensor:
        size, S, factors = q.shape[3], None, ()
        D = decays(log_g, size)[:, None]
        w = (q @ k.mT).mul_(D)
        y = w @ v
        if q.shape[2] > 1:
            i = torch.arange(size, device=q.device)
            powers = torch.stack([size - 1 - i, i, i + 1, size - i])[:, None]
            entry, reach = torch.exp(log_g[:, None] * powers)[:, None, :, None, :, None].chunk(2)
            factors = entry, reach, torch.exp(size * log_g)
            S = outer_states((k * entry).mT @ v, factors[2])
            y += ((q * reach) @ S).sum(0)
        ctx.save_for_backward(q, k, v, w, D, S, *factors)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        """The same sums; a state tells the other side's chunks what those that read it ask of it."""
        with full_precision(dy):
            q, k, v, w, D, S, *factors = ctx.saved_tensors
            dw = (dy @ v.mT).mul_(D)
            dq, dk, dv = dw @ k, dw.mT @ q, w.mT @ dy
            if factors:
                entry, reach, g = factors
                dA = outer_states(((q * reach).mT @ dy).flip(0), g).flip(0)
                dq += (dy @ S.mT).mul_(reach).sum(0)
                dk += (v @ dA.mT).mul_(entry).sum(0)
                dv += ((k * entry) @ dA).sum(0)
            return dq, dk, dv, None


def outer_states(A: Float[Tensor, "2 b h t c f"], g: Float[Tensor, " h"]) -> Float[Tensor, "2 b h t c f"]:
    """S_{t+1} = g S_t + A_t from the first chunk on, and S_{t-1} = g S_t + A_t from the last one back."""
    both = torch.cat([A[0], A[1].flip(2)])
    decay = g[None, :, None, None].expand(-1, -1, both.shape[2], -1)
    before, behind = chunk_states(both, decay, torch.zeros_like(both[:, :, 0]))[0].chunk(2)
    return torch.stack([before, behind.flip(2)])
