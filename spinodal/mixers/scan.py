r"""Sums over a past that decays, in time linear in the number of tokens and without a loop over them.

    memory   y_i = q_i S_i,  S_i = diag(a_i) S_{i-1} + k_i v_i^T    linear attention that forgets
    sum      y_i = a_i y_{i-1} + u_i                                feature by feature

Tokens are cut into chunks. With A_i the log of the decay since its chunk began, the weight of token
j in token i is e^{A_i} e^{-A_j}: a factor of each, so a chunk is one product of matrices, and all of
it is causal to the last bit, which a clock that started in the middle of a chunk would not be. The
state goes from chunk to chunk by products with matrices of decays, GROUP chunks at a time, and then
groups of groups, so about log n products in all.

The factors are finite while a chunk decays by no more than e^{-REACH}: log a >= -REACH / CHUNK for
a memory and -REACH / SHORT for a sum. Mixers keep to it by construction.

    symbol  meaning                                                  shape
    q k v   queries, keys, values                                    b h n c, b h n c, b h n e
    log_a   log of the decay; an axis of 1 where it is shared        b|1 h n c|1
    S       the state before the first token, or after the last      b h c e
    V       what a chunk adds to the state                           b h t c e
    D, w    log decay of a chunk, and of its part before V is added  b|1 h t c|1
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

CHUNK, SHORT = 64, 16  # tokens a chunk, of a memory and of a sum
GROUP = 32  # chunks a product
REACH = 64.0  # e^64 = 6e27: its products with tokens stay below 3e38, the largest float32


def memory_naive(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n e"],
    log_a: Float[Tensor, "#b h n #c"],
    S: Float[Tensor, "b h c e"],
) -> tuple[Float[Tensor, "b h n e"], Float[Tensor, "b h c e"]]:
    """y_i = q_i S_i, S_i = diag(a_i) S_{i-1} + k_i v_i^T, token by token, and the last S."""
    y = []
    for q_i, k_i, v_i, log_a_i in zip(*(x.split(1, dim=2) for x in (q, k, v, log_a)), strict=True):
        S = log_a_i.mT.exp() * S + k_i.mT @ v_i
        y.append(q_i @ S)
    return torch.cat(y, dim=2), S


def memory(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n e"],
    log_a: Float[Tensor, "#b h n #c"],
    S: Float[Tensor, "b h c e"],
) -> tuple[Float[Tensor, "b h n e"], Float[Tensor, "b h c e"]]:
    """`memory_naive` in chunks."""
    n = q.shape[2]
    if n == 1:
        return memory_naive(q, k, v, log_a, S)
    q, k, v, log_a = (chunked(x, CHUNK) for x in (q, k, v, log_a))
    A = log_a.cumsum(3)
    q, k = q * A.exp(), k * (-A).exp()
    D = A[:, :, :, -1]
    before, S = carried(k.mT @ v, D, torch.zeros_like(D), S)
    y = (q @ k.mT).tril_() @ v + q @ before
    return y.flatten(2, 3)[:, :, :n], S


def memory_both_ways(
    q: Float[Tensor, "b h n c"],
    k: Float[Tensor, "b h n c"],
    v: Float[Tensor, "b h n e"],
    log_a: Float[Tensor, "#b h n #c"],
) -> Float[Tensor, "b h n e"]:
    """y_i = q_i (what a memory holds at i) + q_i (what one that runs from the end holds), each token once."""
    S = q.new_zeros(*k.shape[:2], k.shape[3], v.shape[3])
    past, _ = memory(q, k, v, log_a, S)
    future, _ = memory(q.flip(2), k.flip(2), v.flip(2), log_a.flip(2), S)
    return past + future.flip(2) - (q * k).sum(-1, keepdim=True) * v


def decayed_sum_naive(
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
    """`decayed_sum_naive` in chunks."""
    n = u.shape[2]
    if n == 1:
        return decayed_sum_naive(u, log_a, y)
    u, log_a = chunked(u, SHORT), chunked(log_a, SHORT)
    A = log_a.cumsum(3)
    inner = (u * (-A).exp()).cumsum(3)
    D = A[:, :, :, -1]
    before, last = carried(inner[:, :, :, -1, :, None], D, torch.zeros_like(D), y[..., None])
    return (A.exp() * (inner + before.mT)).flatten(2, 3)[:, :, :n], last[..., 0]


def decayed_sum_both_ways(
    u: Float[Tensor, "b h n c"], log_a: Float[Tensor, "#b h n #c"]
) -> Float[Tensor, "b h n c"]:
    """The sum from the beginning and that from the end, each token once."""
    nothing = u.new_zeros(*u.shape[:2], u.shape[3])
    past, _ = decayed_sum(u, log_a, nothing)
    future, _ = decayed_sum(u.flip(2), log_a.flip(2), nothing)
    return past + future.flip(2) - u


def chunked(x: Float[Tensor, "b h n c"], most: int) -> Float[Tensor, "b h t k c"]:
    """Chunks of one size, at most `most` tokens; zeros fill the last one, which change no state."""
    chunks = -(-x.shape[2] // most)
    each = -(-x.shape[2] // chunks)
    return functional.pad(x, (0, 0, 0, chunks * each - x.shape[2])).unflatten(2, (chunks, each))


def carried(
    V: Float[Tensor, "b h t c e"],
    D: Float[Tensor, "#b h t #c"],
    w: Float[Tensor, "#b h t #c"],
    S: Float[Tensor, "b h c e"],
) -> tuple[Float[Tensor, "b h t c e"], Float[Tensor, "b h c e"]]:
    """The state before each chunk, S_{t+1} = e^{D_t} S_t + e^{D_t - w_t} V_t, and the one after the last."""
    t = V.shape[2]
    if t <= GROUP:
        return carried_at_once(V, D, w, S)
    V, D, w = (grouped(x, len(S)) for x in (V, D, w))
    to_end = D.flip(3).cumsum(3).flip(3) - w
    whole = D.sum(3)
    ends = torch.einsum("bhguc,bhguce->bhgce", to_end.exp(), V)
    found, S = carried(ends, whole, whole, S)
    inner, _ = carried_at_once(*(x.transpose(1, 2).flatten(0, 1) for x in (V, D, w, found)))
    return inner.unflatten(0, (len(S), -1)).transpose(1, 2).flatten(2, 3)[:, :, :t], S


def grouped(x: Float[Tensor, "a h t *c"], batch: int) -> Float[Tensor, "b h g u *c"]:
    """Groups of GROUP chunks; zeros fill the last one, which change no state."""
    lacking = x.new_zeros(*x.shape[:2], -x.shape[2] % GROUP, *x.shape[3:])
    return torch.cat([x, lacking], dim=2).unflatten(2, (-1, GROUP)).expand(batch, *[-1] * (x.ndim))


def carried_at_once(
    V: Float[Tensor, "b h t c e"],
    D: Float[Tensor, "#b h t #c"],
    w: Float[Tensor, "#b h t #c"],
    S: Float[Tensor, "b h c e"],
) -> tuple[Float[Tensor, "b h t c e"], Float[Tensor, "b h c e"]]:
    """`carried` by one product with the matrix of all decays between chunks."""
    t = V.shape[2]
    end = D.double().cumsum(2)  # a clock that has run far needs the digits
    start = end - D
    reads = torch.cat([start, end[:, :, -1:]], dim=2)
    lag = (reads[:, :, :, None] - (start + w)[:, :, None]).movedim(-1, 2).to(V)
    later = torch.ones(t + 1, t, dtype=torch.bool, device=V.device).triu()
    weight = lag.masked_fill(later, -math.inf).exp()
    if weight.shape[2] == 1:
        found = (weight.squeeze(2) @ V.flatten(3)).unflatten(-1, V.shape[3:])
    else:
        found = torch.einsum("bhctu,bhuce->bhtce", weight, V)
    found = found + reads.to(V).exp()[..., None] * S[:, :, None]
    return found[:, :, :-1], found[:, :, -1]
