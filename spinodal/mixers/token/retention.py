r"""Retention: linear attention whose memory decays, at one rate a head.

y_i = sum_j g^|i-j| <q_i, k_j> v_j        [sun2023]; causal, the sum runs over j <= i
"""

import math
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape
from spinodal.mixers.ops.decayed_linear_attention import decayed_linear_attention
from spinodal.mixers.ops.fixed_decay import fixed_decay_attention
from spinodal.mixers.ops.padding import token_places
from spinodal.mixers.ops.precision import exact_dtype
from spinodal.mixers.ops.tracing import LEAST, is_plain
from spinodal.mixers.token.attention import BASE, cached_angles, rotate
from spinodal.types import Mixed


def log_decays(heads: int, device: str | None = None) -> Float[Tensor, " h"]:
    """log g = -log 2 / half-life: half-lives of 2, ..., 128 tokens, geometric over heads; fixed, as in [sun2023]."""
    return -math.log(2) / torch.logspace(1, 7, heads, base=2, dtype=torch.float64, device=device)


WIDEST = 64  # features of a head from which products of matrices are as fast as loops


@cache
def constants(heads: int, c: int, causal: bool) -> tuple[list[float], list[float]]:
    """log g and m sqrt(c) of each head, m = sum of g^|i-j| over an endless context."""
    log_g = log_decays(heads, "cpu")
    mass = (1 if causal else 1 + log_g.exp()) / (1 - log_g.exp())
    return log_g.tolist(), (mass * c**0.5).tolist()


class CompiledRetention(torch.autograd.Function):
    """`Retention.both_sides` in float32 on the CPU, by loops that pass once over `maps` for each side.

    The loops are those of `ops/retention_kernels.py`; only `maps` and `valid` are saved for the gradient.
    """

    @staticmethod
    def forward(
        ctx, maps: Float[Tensor, "b n e"], valid: Bool[Tensor, "b n"] | None, mixer: "Retention"
    ) -> Float[Tensor, "b n h c"]:
        ctx.save_for_backward(maps, valid)
        ctx.mixer = mixer
        b, n, d = maps.shape
        y = maps.new_empty(b, n, mixer.heads, d // (3 * mixer.heads))
        over_heads("forward", maps, valid, mixer, y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy: Float[Tensor, "b n h c"]) -> tuple[Tensor | None, ...]:
        maps, valid = ctx.saved_tensors
        if is_plain(dy):
            dmaps = torch.empty_like(maps, memory_format=torch.contiguous_format)
            over_heads("backward", maps, valid, ctx.mixer, dy, dmaps)
            return dmaps, None, None
        with torch.enable_grad():
            own = maps.detach().requires_grad_()
            return *torch.autograd.grad(ctx.mixer.both_sides(own, valid), own, dy), None, None


def over_heads(
    loop: str,
    maps: Float[Tensor, "b n e"],
    valid: Bool[Tensor, "b n"] | None,
    mixer: "Retention",
    *tensors: Tensor,
) -> None:
    """Runs a loop of `retention_kernels` over the heads of all texts; it writes into the last tensor."""
    from spinodal.loops import in_parts  # here, since networks elsewhere do without a compiler
    from spinodal.mixers.ops import retention_kernels

    log_g, divisors = mixer.constants
    every = torch.ones(maps.shape[:2], dtype=torch.bool)
    given = (maps, every, every if valid is None else valid, *tensors)
    rows, places, there, *others = (x.detach().contiguous().numpy() for x in given)
    c = maps.shape[2] // (3 * mixer.heads)
    own, *others = (x.reshape(*x.shape[:2], -1, c) for x in (rows, *others))
    angles = (x.numpy() for x in cached_angles(maps.shape[1], c, BASE))
    rates = np.exp(log_g).astype(np.float32), np.array(divisors, np.float32)
    run = partial(getattr(retention_kernels, loop), own, places, there, *angles, *rates, *others)
    in_parts(run, len(maps) * mixer.heads, 1)


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
        maps = self.qkv(x)
        fast = is_plain(maps) and maps.numel() >= LEAST and maps.shape[2] <= 3 * self.heads * WIDEST
        y = CompiledRetention.apply(maps, valid, self) if fast else self.both_sides(maps, valid)
        return Mixed(self.out(y.flatten(2).to(x)), {})

    def both_sides(
        self, maps: Float[Tensor, "b n e"], valid: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b n h c"]:
        """y of every head over all tokens, from `maps`: queries, keys and values, not yet rotated."""
        q, k, v, _ = self.maps(maps, valid)
        return fixed_decay_attention(q, k, v, q.new_tensor(self.constants[0])).transpose(1, 2)

    def maps(
        self,
        maps: Float[Tensor, "b n e"],
        valid: Bool[Tensor, "b n"] | None,
        start: Int[Tensor, "b *n"] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Float[Tensor, "#b h n 1"]]:
        """Rotated q / (m sqrt c) and k, v and log g; padding has k = 0, and if causal lets nothing decay."""
        exact = exact_dtype(maps)  # bfloat16 would lose the decays
        maps = maps.to(exact).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)
        qk, v = maps.split((2 * self.heads, self.heads), dim=1)
        q, k = rotate(qk, start).chunk(2, dim=1)
        if valid is not None:
            k = k.masked_fill(~valid[:, None, :, None], 0.0)
        log_g, scale = (q.new_tensor(values)[None, :, None, None] for values in self.constants)
        log_g = log_g.expand(-1, -1, maps.shape[2], -1)
        if self.causal and valid is not None:
            log_g = log_g.masked_fill(~valid[:, None, :, None], 0.0)
        return q / scale, k, v.contiguous(), log_g

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the memory S, c by c a head, and how many tokens it holds."""
        start = state[1] if state else x.new_zeros(x.shape[0], dtype=torch.long)
        place, after = start if state else None, start + x.shape[1]
        if valid is not None:
            place, after = start[:, None] + token_places(valid), start + valid.sum(1)
        q, k, v, log_g = self.maps(self.qkv(x), valid, place)
        S = state[0] if state else q.new_zeros(*q.shape[:2], q.shape[3], q.shape[3])
        y, S = decayed_linear_attention(q, k, v, log_g, S)
        return self.out(y.transpose(1, 2).flatten(2).to(x)), (S, after)


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
