r"""Scores of the links of a graph of tokens, and averages with the weights that they give.

    a_ij = m_ij e^{s_ij},  s_ij = (q_i.k_j + q_j.k_i) / (2 sqrt c) = q'_i.k'_j / (2 sqrt c),  P = D^-1 A
    q' = [q, k],  k' = [k, q]

A token is linked to itself only if it has no other link: as f(0) = 0 that link exerts no force, and its row
of P is never 0/0.

    symbol  meaning                                       shape
    q, k    q' and k', rotated                            b h n w, b h m w
    seen    which tokens are no padding                   b m
    allowed m_ij, the links there may be                  #b #h n m
    s       scores, minus infinity where there is no link b h n m
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spinodal.mixers.ops.tracing import Size

Averages = Callable[[Float[Tensor, "b h m f"]], Float[Tensor, "b h n f"]]


def scale(q: Float[Tensor, "b h n w"]) -> float:
    """1 / (2 sqrt c), as w = 2 c."""
    return 0.5 / math.sqrt(q.shape[-1] / 2)


def allowed_links(n: Size, seen: Bool[Tensor, "#b m"], *, causal: bool) -> Bool[Tensor, "#b 1 n m"]:
    """m_ij between valid tokens, to earlier ones alone if causal; to itself where a token has no other.

    Row i is token m - n + i: the last n tokens are linked to all m.
    """
    m = seen.shape[1]
    pairs = seen[:, None, m - n :, None] & seen[:, None, None, :]
    i, j = torch.arange(m - n, m, device=seen.device)[:, None], torch.arange(m, device=seen.device)
    return add_self_links(pairs & ((j < i) if causal else (j != i)), i == j)


def add_self_links(pairs: Bool[Tensor, "*b n m"], own: Bool[Tensor, "*#b n m"]) -> Bool[Tensor, "*b n m"]:
    """m_ij with a link to itself for every token that has no other."""
    return pairs | (own & ~pairs.any(-1, keepdim=True))


def link_bias(allowed: Bool[Tensor, "*b n m"], like: Tensor) -> Float[Tensor, "*b n m"]:
    """log m_ij: zero on links and minus infinity off them, formed once for all steps."""
    return torch.zeros(allowed.shape, dtype=like.dtype, device=like.device).masked_fill_(~allowed, -torch.inf)


def off_diagonal_bias(n: int, like: Tensor) -> Float[Tensor, "1 1 n n"]:
    """log m_ij where all other tokens are linked.

    The diagonal has half the least finite number: a link to itself has no weight beside another link, and
    weight 1 for a token alone.
    """
    bias = torch.zeros(n, n, dtype=like.dtype, device=like.device)
    return bias.fill_diagonal_(torch.finfo(like.dtype).min / 2)[None, None]


def fused_averages(
    q: Float[Tensor, "b h n w"], k: Float[Tensor, "b h m w"], bias: Float[Tensor, "#b #h n m"] | None
) -> Averages:
    """The function x -> softmax(s) x by fused attention; bias None: causal, and without padding."""

    def call(values: Tensor) -> Tensor:
        if bias is not None:
            return functional.scaled_dot_product_attention(q, k, values, attn_mask=bias, scale=scale(q))
        first, n = values[:, :, :1], q.shape[2]
        if n == 1:
            return first
        # token i is the last query that sees keys up to i - 1: the usual causal kernel, one place on
        rest = functional.scaled_dot_product_attention(
            q[:, :, 1:], k[:, :, :-1], values[:, :, :-1], is_causal=True, scale=scale(q)
        )
        return torch.cat([first, rest], dim=2)

    def averages(values: Tensor) -> Tensor:
        w, f = q.shape[-1], values.shape[-1]
        padded = functional.pad(values, (0, -f % w))  # the kernel wants values as wide as queries
        return torch.cat([call(part) for part in padded.split(w, -1)], -1)[..., :f]

    return averages


def scores(
    q: Float[Tensor, "b h n w"],
    k: Float[Tensor, "b h m w"],
    allowed: Bool[Tensor, "#b #h n m"],
    *,
    threshold: float = 0.0,
    directed: bool = False,
) -> Float[Tensor, "b h n m"]:
    """s_ij = q'_i.k'_j / (2 sqrt c), minus infinity where there is no link.

    A threshold keeps links of at least that share of the largest weight at one of their ends (directed: at i), so
    it does not depend on a shift of the scores, no token loses all its links, and a symmetric graph stays one.
    """
    s = (scale(q) * (q @ k.mT)).masked_fill(~allowed, -torch.inf)
    if threshold:
        kept = strong_links(s, threshold)
        kept = kept if directed else kept | kept.mT
        s = s.masked_fill(~kept, -torch.inf)
    return s


def strong_links(s: Float[Tensor, "*b n m"], threshold: float) -> Bool[Tensor, "*b n m"]:
    """Whether a_ij >= threshold max_j a_ij."""
    return s >= s.amax(-1, keepdim=True) + math.log(threshold)


def softmax_averages(s: Float[Tensor, "b h n m"]) -> Averages:
    """The function x -> softmax(s) x, with the softmax formed once for all steps."""
    P = s.softmax(-1)
    return lambda values: P @ values
