r"""Mixers whose decay is read from the tokens: gated linear attention, and the minimal gated recurrence.

    gated linear  y_i = q_i S_i,  S_i = diag(a_i) S_{i-1} + ((1 - a_i) * k_i) v_i^T    [yang2023]
    minimal GRU   h_i = a_i * h_{i-1} + (1 - a_i) * u_i                                [feng2024]

Both hold averages: a token is added with the weight 1 - a that the past loses, so no state grows with
the context. Padding adds nothing and lets nothing decay.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape
from spinodal.mixers.ops.chunks import CHUNK, REACH, SHORT
from spinodal.mixers.ops.decayed_linear_attention import (
    decayed_linear_attention,
    decayed_linear_attention_both_ways,
)
from spinodal.mixers.ops.decayed_sum import decayed_sum, decayed_sum_both_ways
from spinodal.mixers.ops.precision import exact_dtype
from spinodal.types import Mixed

RANK = 16  # of the map from tokens to the decays of gated linear attention [yang2023]


def half_lives(count: int) -> Float[Tensor, " k"]:
    """2, ..., 128 tokens, geometric: where decays start."""
    return torch.logspace(1, 7, count, base=2)


class GatedLinear(Mixer):
    """y_i = q_i S_i, S_i = diag(a_i) S_{i-1} + ((1 - a_i) * k_i) v_i^T  [yang2023].

    Linear attention whose decay per feature depends on the token: log a = -F sigmoid(W_2 W_1 x + bias), with a fixed
    F that keeps every a above e^{-F}. q_i, k_i and v_i are linear in token i, and `heads` must divide `width`.
    """

    fastest = REACH / CHUNK

    def __init__(self, width: int, *, heads: int, causal: bool = False):
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} does not divide into heads={heads}")
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.gate = nn.Linear(width, RANK, bias=False)
        self.decay = nn.Linear(RANK, width, bias=False)
        self.bias = nn.Parameter(torch.empty(width))
        self.out = OutputProjection(width, width)
        self.reset_parameters()

    def reset_parameters(self):
        """Half-lives of 2 to 128 tokens in every head."""
        rate = math.log(2) / half_lives(len(self.bias) // self.heads)
        with torch.no_grad():
            self.bias.copy_(torch.logit(rate / self.fastest).repeat(self.heads))

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        if self.causal:
            return Mixed(self.extend_causal(x, None, valid)[0], {})
        return Mixed(self.merge_heads(decayed_linear_attention_both_ways(*self.maps(x, valid)), x), {})

    def maps(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Tensor, Tensor, Tensor, Float[Tensor, "b h n c"]]:
        """-q / sqrt(c), (a - 1) k, v and log a."""
        exact = exact_dtype(x)
        gate = self.decay(self.gate(x)) + self.bias
        maps = *self.qkv(x).chunk(3, dim=-1), gate
        q, k, v, gate = (t.to(exact).unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in maps)
        log_a = -self.fastest * torch.sigmoid(gate.contiguous())
        k = torch.expm1(log_a) * k
        if valid is not None:
            k, log_a = (t.masked_fill(~valid[:, None, :, None], 0.0) for t in (k, log_a))
        return q * -(q.shape[-1] ** -0.5), k, v.contiguous(), log_a

    def merge_heads(self, y: Float[Tensor, "b h n c"], x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.out(y.transpose(1, 2).flatten(2).to(x))

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the memory S, c by c a head."""
        q, k, v, log_a = self.maps(x, valid)
        (S,) = state or (q.new_zeros(*q.shape[:2], q.shape[3], q.shape[3]),)
        y, S = decayed_linear_attention(q, k, v, log_a, S)
        return self.merge_heads(y, x), (S,)


class MinGRU(Mixer):
    """h_i = a_i * h_{i-1} + (1 - a_i) * u_i, u = W x  [feng2024].

    A running average of every feature, linear in its state, whose decay depends on the token alone:
    a_i = a_min + (1 - a_min) sigmoid(V x_i + bias), with a fixed a_min above 0.
    """

    least = math.exp(-REACH / SHORT)

    def __init__(self, width: int, *, causal: bool = False):
        super().__init__()
        self.causal = causal
        self.maps = nn.Linear(width, 2 * width, bias=False)
        self.bias = nn.Parameter(torch.empty(width))
        self.out = OutputProjection(width, width)
        self.reset_parameters()

    def reset_parameters(self):
        """Half-lives of 2 to 128 tokens."""
        a = torch.exp2(-1 / half_lives(len(self.bias)))
        with torch.no_grad():
            self.bias.copy_(torch.logit((a - self.least) / (1 - self.least)))

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        if self.causal:
            return Mixed(self.extend_causal(x, None, valid)[0], {})
        return Mixed(self.out(decayed_sum_both_ways(*self.inputs(x, valid)).squeeze(1).to(x)), {})

    def inputs(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b 1 n d"], Float[Tensor, "b 1 n d"]]:
        """(1 - a) u and log a."""
        exact = exact_dtype(x)
        u, gate = self.maps(x).to(exact).chunk(2, dim=-1)
        a = self.least + (1 - self.least) * torch.sigmoid(gate + self.bias)
        u, log_a = (1 - a) * u, a.log()
        if valid is not None:
            u, log_a = (t.masked_fill(~valid[..., None], 0.0) for t in (u, log_a))
        return u[:, None], log_a[:, None]

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is h."""
        u, log_a = self.inputs(x, valid)
        (h,) = state or (torch.zeros_like(u[:, :, 0]),)
        y, h = decayed_sum(u, log_a, h)
        return self.out(y.squeeze(1).to(x)), (h,)


@dataclass(frozen=True)
class GatedLinearConfig(MixerConfig):
    """GatedLinear has no option of its own."""

    def build(self, shape: Shape) -> Mixer:
        return GatedLinear(shape.width, heads=shape.heads, causal=shape.causal)


GATED_LINEAR = Entry(
    "gated-linear",
    Kind.TOKEN,
    "linear attention whose decays are read from the tokens",
    GatedLinearConfig,
    GatedLinear,
)


@dataclass(frozen=True)
class MinGRUConfig(MixerConfig):
    """MinGRU has no option of its own."""

    def build(self, shape: Shape) -> Mixer:
        return MinGRU(shape.width, causal=shape.causal)


MIN_GRU = Entry(
    "min-gru",
    Kind.TOKEN,
    "the minimal gated recurrence",
    MinGRUConfig,
    MinGRU,
)
