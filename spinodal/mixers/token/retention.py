r"""Retention: linear attention whose memory decays, at one rate a head.

y_i = sum_j g^|i-j| <q_i, k_j> v_j        [sun2023]; causal, the sum runs over j <= i
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape
from spinodal.mixers.ops.decayed_linear_attention import decayed_linear_attention
from spinodal.mixers.ops.fixed_decay import fixed_decay_attention
from spinodal.mixers.ops.padding import token_places
from spinodal.mixers.token.attention import rotate
from spinodal.types import Mixed


def log_decays(heads: int, device: str | None = None) -> Float[Tensor, " h"]:
    """log g = -log 2 / half-life: half-lives of 2, ..., 128 tokens, geometric over heads; fixed, as in [sun2023]."""
    return -math.log(2) / torch.logspace(1, 7, heads, base=2, dtype=torch.float64, device=device)


@cache
def constants(heads: int, c: int, causal: bool) -> tuple[list[float], list[float]]:
    """log g and m sqrt(c) of each head, m = sum of g^|i-j| over an endless context."""
    log_g = log_decays(heads, "cpu")
    mass = (1 if causal else 1 + log_g.exp()) / (1 - log_g.exp())
    return log_g.tolist(), (mass * c**0.5).tolist()


class Retention(Mixer):
    """y_i = sum_j g^|i-j| <R_i q_i, R_j k_j> v_j / (m sqrt(c)), m = sum_j g^|i-j| over an endless context  [sun2023].

    Linear attention with one fixed decay g a head. Divided by m, a head is a decayed average, as small at the
    start as that of attention; scaled to unit size, as in [sun2023], its random sums would exceed the tokens.

    >>> import torch
    >>> from spinodal.mixers import Retention
    >>> mixer, x = Retention(8, heads=2, causal=True), torch.randn(1, 5, 8)
    >>> y, state = mixer.extend(x[:, :3])  # three tokens, then two more
    >>> z, state = mixer.extend(x[:, 3:], state)
    >>> torch.allclose(torch.cat([y, z], 1), mixer(x).tokens, atol=1e-5)
    True
    """

    def __init__(self, width: int, *, heads: int, causal: bool = False):
        super().__init__()
        if width % (2 * heads):
            raise InputError(
                f"retention needs an even number of features per head: width={width}, heads={heads}"
            )
        self.heads, self.causal = heads, causal
        self.constants = constants(
            heads, width // heads, causal
        )  # numbers, so that no graph records their making
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = OutputProjection(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        if self.causal:
            return Mixed(self.extend_causal(x, None, valid)[0], {})
        q, k, v, _ = self.maps(x, valid)
        log_g = q.new_tensor(self.constants[0])
        return Mixed(self.merge_heads(fixed_decay_attention(q, k, v, log_g), x), {})

    def maps(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None,
        start: Int[Tensor, "b *n"] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Float[Tensor, "#b h n 1"]]:
        """Rotated q / (m sqrt c) and k, v and log g; padding is not written, nor where causal does it forget."""
        exact = torch.promote_types(x.dtype, torch.float32)  # bfloat16 would lose the decays
        maps = self.qkv(x).to(exact).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)
        qk, v = maps.split((2 * self.heads, self.heads), dim=1)
        q, k = rotate(qk, start).chunk(2, dim=1)
        if valid is not None:
            k = k.masked_fill(~valid[:, None, :, None], 0.0)
        log_g, scale = (q.new_tensor(values)[None, :, None, None] for values in self.constants)
        log_g = log_g.expand(-1, -1, x.shape[1], -1)
        if self.causal and valid is not None:
            log_g = log_g.masked_fill(~valid[:, None, :, None], 0.0)
        return q / scale, k, v.contiguous(), log_g

    def merge_heads(self, y: Float[Tensor, "b h n c"], x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.out(y.transpose(1, 2).flatten(2).to(x))

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the memory S, c by c a head, and how many tokens it holds."""
        start = state[1] if state else x.new_zeros(len(x), dtype=torch.long)
        place, after = start if state else None, start + x.shape[1]
        if valid is not None:
            place, after = start[:, None] + token_places(valid), start + valid.sum(1)
        q, k, v, log_g = self.maps(x, valid, place)
        S = state[0] if state else q.new_zeros(*q.shape[:2], q.shape[3], q.shape[3])
        y, S = decayed_linear_attention(q, k, v, log_g, S)
        return self.merge_heads(y, x), (S, after)


@dataclass(frozen=True)
class RetentionConfig(MixerConfig):
    """Retention has no option of its own."""

    def build(self, shape: Shape) -> Mixer:
        return Retention(shape.width, heads=shape.heads, causal=shape.causal)


RETENTION = Entry(
    "retention",
    Kind.TOKEN,
    "decays that are fixed, one a head, at constant cost a token",
    RetentionConfig,
    Retention,
)
