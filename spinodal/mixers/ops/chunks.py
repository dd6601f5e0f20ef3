r"""Chunks of tokens: how a sum over a past that decays takes linear time without a loop over tokens.

Tokens are cut into chunks. With e_i the decay since its chunk began, the weight of token j in token
i is e_i / e_j: a factor of each, so a chunk is one product of matrices, and causal to the last bit,
which a decay counted from the middle of a chunk would not be. From chunk to chunk the state is
carried by doubling, in log2 of their number sums. Gradients are the same sums run backwards, so only
the state at the start of each chunk is kept for them [derived].

The factors are finite while a chunk decays by no more than e^{-REACH}: log a >= -REACH / CHUNK for
decayed linear attention and -REACH / SHORT for a decayed sum. Mixers keep to it by construction.

    symbol  meaning                                                  shape
    S       the state before the first token, or after the last      b h c f
    V, D    what a chunk adds to the state, and its whole decay      b h t c f, b|1 h t c|1
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spinodal.mixers.ops.tracing import Size, symbolic

CHUNK, SHORT = 64, 16  # tokens a chunk, of decayed linear attention and of a decayed sum
REACH = 64.0  # e^64 = 6e27: its products with tokens stay below 3e38, the largest float32


def split_chunks(x: Float[Tensor, "b h n c"], most: int) -> Float[Tensor, "b h t k c"]:
    """Chunks of one size, at most `most` tokens; zeros fill the last one, which change no state.

    In a graph for texts of any length chunks have `most` tokens, and there are two or more: the tracer
    would fix a count of one.
    """
    if symbolic(n := x.shape[2]):
        chunks = n // most + 2
        return functional.pad(x, (0, 0, 0, chunks * most - n)).unfold(2, most, most).mT
    chunks = -(-x.shape[2] // most)
    each = -(-x.shape[2] // chunks)
    if lacking := chunks * each - x.shape[2]:
        x = functional.pad(x, (0, 0, 0, lacking))
    return x.unflatten(2, (chunks, each))


def join_chunks(x: Float[Tensor, "b h t k c"], n: Size) -> Float[Tensor, "b h n c"]:
    """The first n tokens of all chunks."""
    x = x.flatten(2, 3)
    if symbolic(n):
        return x.index_select(2, torch.arange(n, device=x.device))
    return x[:, :, :n]


def lower_triangle(x: Float[Tensor, "b h t k c"]) -> Float[Tensor, "k k"]:
    """M_ij = 1 for j <= i and 0 else: the matrix that sums over the tokens of a chunk up to each."""
    return x.new_ones(x.shape[3], x.shape[3]).tril_()


def chunk_states(
    V: Float[Tensor, "b h t c f"], D: Float[Tensor, "#b h t #c"], S: Float[Tensor, "b h c f"]
) -> tuple[Float[Tensor, "b h t c f"], Float[Tensor, "b h c f"]]:
    """S_{t+1} = D_t S_t + V_t: the state before each chunk, and the one after the last; by doubling."""
    if symbolic(V.shape[2]):
        S = chunk_states_at_once(V, D, S)
        return S[:, :, :-1], S[:, :, -1]
    S = torch.cat([S[:, :, None], V], dim=2)
    D = functional.pad(D, (0, 0, 1, 0))[..., None]
    step = 1
    while step < S.shape[2]:
        S[:, :, step:] += D[:, :, step:] * S[:, :, :-step]
        D = torch.cat([D[:, :, :step], D[:, :, step:] * D[:, :, :-step]], dim=2)
        step *= 2
    return S[:, :, :-1], S[:, :, -1]


def chunk_states_at_once(
    V: Float[Tensor, "b h t c f"], D: Float[Tensor, "#b h t #c"], S: Float[Tensor, "b h c f"]
) -> Float[Tensor, "b h u c f"]:
    """S_t = sum_{j <= t} exp(C_t - C_j) V_{j-1} with V_{-1} = S and C_t = sum_{j < t} log D_j.

    Without a loop over chunks, whose number a graph for any length does not know.
    """
    C = functional.pad(D.log().cumsum(2), (0, 0, 1, 0))
    gap = C[:, :, :, None] - C[:, :, None]
    later = torch.ones(gap.shape[2], gap.shape[3], dtype=torch.bool, device=gap.device).triu(1)
    weights = gap.masked_fill(later[..., None], -torch.inf).exp()
    items = torch.cat([S[:, :, None], V], dim=2)
    return (weights[..., None] * items[:, :, None]).sum(3)
