r"""Rotary softmax attention: the baseline, and the reference for every other token mixer.

    y_i = sum_j softmax_j(<R_i q_i, R_j k_j> / sqrt(c)) v_j    per head of c = d/h features,

where R_i rotates pairs of features by angles proportional to the position i, so that only
i - j enters [su2021]. One fused call; memory is linear in n.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, Reduction
from spinodal.types import Mixed


def rotate(x: Float[Tensor, "*b n c"], *, base: float = 10_000.0) -> Float[Tensor, "*b n c"]:
    """(x_a, x_b) -> (x_a cos - x_b sin, x_a sin + x_b cos), angle i base^(-2k/c)  [su2021]."""
    n, c = x.shape[-2:]
    exact = torch.promote_types(x.dtype, torch.float32)  # bfloat16 would round position 1000 by up to 4
    frequency = base ** (-torch.arange(0, c, 2, device=x.device, dtype=exact) / c)
    angle = torch.outer(torch.arange(n, device=x.device, dtype=exact), frequency)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Attention(Mixer):
    """Multi-head rotary softmax attention, causal or over all valid tokens."""

    def __init__(self, width: int, *, heads: int, causal: bool = False):
        super().__init__()
        if width % (2 * heads):
            raise InputError(
                f"attention needs an even number of features per head: width={width}, heads={heads}"
            )
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = Reduction(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if valid is None else valid[:, None, None, :]
        if mask is not None and self.causal:
            mask = mask & torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        y = functional.scaled_dot_product_attention(
            rotate(q), rotate(k), v, attn_mask=mask, is_causal=self.causal and mask is None
        )
        return Mixed(self.out(y.transpose(1, 2).flatten(2)), {})
