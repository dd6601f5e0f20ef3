r"""What the weights of attention say: its temperature, its spectra, and whether it is a gradient flow.

Per head, queries W_q x + b_q, keys and values of c features and the output map W_o:

    A = s W_q^T W_k   d x d, the bilinear form of the exponent beta <Q x, K y>      (s the scale of the logits)
    V = W_o W_v       d x d, what a token sends

SA with these is a gradient flow iff A is symmetric and V is A up to a positive factor [glpr2023]. Two numbers in
[-1, 1] say how near that is, both 1 where it holds and near 0 for independent random weights:

    symmetry   <A, A^T> / |A|^2           -1 for an antisymmetric form
    alignment  <A, V> / (|A| |V|)

The effective beta is measured on tokens: the slope of the logits, less each row's mean (softmax does not see it),
against the cosines of what attention reads. Rotary angles and position biases are left out: this is the part of
content. The gain of a norm before the maps is not folded in.

    symbol  meaning                 symbol  meaning
    c       features of a head      s       scale of the logits
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor, nn

from spinodal.watch.record import is_linear, self_attention

FUSED = ("qkv", "c_attn", "query_key_value", "Wqkv", "qkv_proj", "in_proj")
SINGLE = {
    "q": ("q", "query", "q_proj", "q_lin", "to_q", "query_proj"),
    "k": ("k", "key", "k_proj", "k_lin", "to_k", "key_proj"),
    "v": ("v", "value", "v_proj", "v_lin", "to_v", "value_proj"),
}
HEADS = ("heads", "num_heads", "num_attention_heads", "n_heads", "n_head")


class Heads(NamedTuple):
    """The maps of one attention module by heads; keys shared between heads are repeated."""

    Wq: Float[Tensor, "h c d"]
    bq: Float[Tensor, "h c"]
    Wk: Float[Tensor, "h c d"]
    bk: Float[Tensor, "h c"]
    Wv: Float[Tensor, "h c d"]
    Wo: Float[Tensor, "h d c"]
    scale: float


class Spectra(NamedTuple):
    """Eigenvalues of A and V (those that can differ from zero), and the two conditions of a gradient flow, by head."""

    A: Complex[np.ndarray, "h c"]
    V: Complex[np.ndarray, "h c"]
    symmetry: Float[np.ndarray, " h"]
    alignment: Float[np.ndarray, " h"]


def heads_of(layer: nn.Module, heads: int) -> Heads | None:
    """The maps of a layer's self-attention; None if they are not those of softmax attention with a map each.

    `heads` is used where the module does not say how many it has.
    """
    attention = self_attention(layer)
    linear = {name.rpartition(".")[2]: _map(m) for name, m in attention.named_modules() if is_linear(m)}
    found = {
        key: next((linear[name] for name in names if name in linear), None) for key, names in SINGLE.items()
    }
    fused = next((linear[name] for name in FUSED if name in linear), None)
    if fused is not None and fused[0].shape[0] == 3 * fused[0].shape[1]:
        found = dict(zip("qkv", zip(fused[0].chunk(3), fused[1].chunk(3), strict=True), strict=True))
    q, k, v = (found[key] for key in "qkv")
    if q is None or k is None or v is None:
        return None
    (Wq, bq), (Wk, bk), (Wv, _) = q, k, v
    Wo = list(linear.values())[-1][0]
    counts = (getattr(m, name, None) for m in attention.modules() for name in HEADS)
    h = next((count for count in counts if isinstance(count, int)), heads)
    c = len(Wq) // h
    if Wo.shape[1] != h * c or len(Wk) % c or len(Wv) != len(Wk):
        return None

    def split(W: Tensor) -> Tensor:
        return W.unflatten(0, (-1, c)).repeat_interleave(h * c // len(W), 0)

    scale = 1.0 if type(attention).__name__.startswith("T5") else c**-0.5
    return Heads(
        split(Wq), split(bq), split(Wk), split(bk), split(Wv), Wo.unflatten(1, (h, c)).permute(1, 0, 2), scale
    )


def _map(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight [out, in] and bias of a linear map, in double precision."""
    W = module.weight.detach().double().cpu()  # type: ignore[union-attr]
    if type(module).__name__ == "Conv1D":
        W = W.mT
    bias = getattr(module, "bias", None)
    return W, torch.zeros(len(W), dtype=W.dtype) if bias is None else bias.detach().double().cpu()


def spectra(maps: Heads) -> Spectra:
    """Eigenvalues and conditions, through c x c matrices alone."""
    A = maps.scale * maps.Wk @ maps.Wq.mT
    V = maps.Wv @ maps.Wo
    size_A = maps.scale * torch.einsum("hij,hij->h", maps.Wq @ maps.Wq.mT, maps.Wk @ maps.Wk.mT).sqrt()
    size_V = torch.einsum("hij,hij->h", maps.Wv @ maps.Wv.mT, maps.Wo.mT @ maps.Wo).sqrt()
    back = torch.einsum("hij,hji->h", A, A)
    shared = maps.scale * torch.einsum("hij,hji->h", maps.Wq @ maps.Wo, maps.Wv @ maps.Wk.mT)
    return Spectra(
        torch.linalg.eigvals(A).numpy(), torch.linalg.eigvals(V).numpy(),
        (back / size_A.square()).numpy(), (shared / (size_A * size_V)).numpy(),
    )  # fmt: skip


def effective_beta(
    maps: Heads, tokens: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"]
) -> Float[np.ndarray, " h"]:
    """Slope of the logits of each head on the cosines of the tokens that it reads, pairs i != j, rows centred."""
    top = bottom = torch.zeros(len(maps.Wq), dtype=torch.float64)
    for x, there in zip(tokens.double(), valid, strict=True):
        x = x[there]
        n = len(x)
        if n < 3:
            continue
        q = torch.einsum("hcd,nd->hnc", maps.Wq, x) + maps.bq[:, None]
        k = torch.einsum("hcd,nd->hnc", maps.Wk, x) + maps.bk[:, None]
        logits = maps.scale * q @ k.mT
        unit = x / x.norm(dim=-1, keepdim=True)
        off = ~torch.eye(n, dtype=torch.bool)
        C, L = (unit @ unit.mT)[off].view(n, n - 1), logits[:, off].view(-1, n, n - 1)
        C, L = C - C.mean(-1, keepdim=True), L - L.mean(-1, keepdim=True)
        top = top + (L * C).sum((-1, -2))
        bottom = bottom + C.square().sum()
    return (top / bottom).numpy()
