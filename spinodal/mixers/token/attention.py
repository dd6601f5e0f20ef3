r"""Rotary softmax attention: the baseline, and the reference for every other token mixer.

    y_i = sum_j softmax_j(<R_i q_i, R_j k_j> / sqrt(c)) v_j    per head of c = d/h features,

where R_i rotates pairs of features by angles proportional to the position i, so that only
i - j enters [su2021]. One fused call; memory is linear in n.
"""

from dataclasses import dataclass
from functools import cache, lru_cache, partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape
from spinodal.mixers.ops.kv_cache import append
from spinodal.mixers.ops.padding import token_places
from spinodal.mixers.ops.precision import exact_dtype
from spinodal.mixers.ops.tracing import LEAST, TOKENS, is_plain
from spinodal.types import Mixed

BASE = 10_000.0  # of the angles


@cache
def frequencies(c: int, base: float) -> list[float]:
    """base^(-2k/c), k < c/2: the angles, in radians a token, by which pairs of features rotate  [su2021]."""
    return [base ** (-2 * k / c) for k in range(c // 2)]


def rotate(
    x: Float[Tensor, "*b n c"], start: Int[Tensor, "s *n"] | None = None, *, base: float = BASE
) -> Float[Tensor, "*b n c"]:
    """(x_a, x_b) -> (x_a cos - x_b sin, x_a sin + x_b cos), angle i base^(-2k/c)  [su2021].

    `start` is the position of the first token of each sample, the first axis, or of all its tokens; zero if None.
    """
    n, c = x.shape[-2:]
    if start is None and x.ndim == 4 and is_plain(x) and x.numel() >= LEAST:
        return Rotation.apply(x, *cached_angles(n, c, base))
    exact = exact_dtype(x)  # bfloat16 would round position 1000 by up to 4
    i = torch.arange(n, device=x.device, dtype=exact)
    if start is not None:
        i = start.view(start.shape[0], *[1] * (x.ndim - 3), -1).to(exact) + (i if start.ndim == 1 else 0.0)
    return rotate_pairs(x, *(y.to(x.dtype) for y in cos_sin(i, int(c), base)))


def cos_sin(
    i: Float[Tensor, "*n"], c: int, base: float
) -> tuple[Float[Tensor, "*n k"], Float[Tensor, "*n k"]]:
    """Cosine and sine of the angles at these positions."""
    angle = i[..., None] * torch.tensor(frequencies(c, base), device=i.device, dtype=i.dtype)
    return angle.cos(), angle.sin()


@lru_cache(maxsize=16)
def cached_angles(n: int, c: int, base: float) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """`cos_sin` of the first n positions, float32 on the CPU; later calls may be in any autograd mode."""
    with torch.inference_mode(False), torch.no_grad():
        return cos_sin(torch.arange(n, device="cpu", dtype=torch.float32), c, base)


def rotate_pairs(
    x: Float[Tensor, "*b n c"], cos: Float[Tensor, "*n k"], sin: Float[Tensor, "*n k"]
) -> Float[Tensor, "*b n c"]:
    """(x_a cos - x_b sin, x_a sin + x_b cos)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Rotation(torch.autograd.Function):
    """`rotate_pairs` in one pass over memory, to the same bits; its gradient is the rotation back."""

    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        from spinodal.loops import in_parts  # here, since networks elsewhere do without a compiler
        from spinodal.mixers.ops.rotation_kernels import turn

        ctx.save_for_backward(cos, sin)
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        arrays = [t.detach().numpy() for t in (x, cos, sin, y)]
        in_parts(partial(turn, *arrays), x.shape[0] * x.shape[2], TOKENS)
        return y

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        turned = Rotation.apply if is_plain(g) else rotate_pairs
        return turned(g, cos, -sin), None, None


class Attention(Mixer):
    """y_i = sum_j softmax_j(<R_i q_i, R_j k_j> / sqrt(c)) v_j, a head of c features  [su2021].

    Multi-head softmax attention whose scores depend on positions by their difference alone; causal, or over all
    valid tokens. A linear map of all heads follows.

    >>> import torch
    >>> from spinodal.mixers import Attention
    >>> mixer = Attention(8, heads=2, causal=True)
    >>> mixer(torch.randn(1, 5, 8)).tokens.shape
    torch.Size([1, 5, 8])
    """

    croppable = True

    def __init__(self, width: int, *, heads: int, causal: bool = False):
        super().__init__()
        if width % (2 * heads):
            raise InputError(
                f"attention needs an even number of features per head: width={width}, heads={heads}"
            )
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = OutputProjection(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        q, k, v = self.maps(x)
        place = token_places(valid) if self.causal and valid is not None else None
        mask = None if valid is None else valid[:, None, None, :]
        if mask is not None and self.causal:
            mask = mask & torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        y = functional.scaled_dot_product_attention(
            rotate(q, place), rotate(k, place), v, attn_mask=mask, is_causal=self.causal and mask is None
        )
        return Mixed(self.out(y.transpose(1, 2).flatten(2)), {})

    def maps(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "3 b h n c"]:
        """Queries, keys and values."""
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is every rotated key and value so far, and which of them are valid."""
        keys, values, seen = state or (None, None, None)
        q, k, v = self.maps(x)
        new = valid if valid is not None else x.new_ones(x.shape[:2], dtype=torch.bool)
        seen, there = append(seen, new[:, None, :, None])
        place = token_places(there[:, 0, :, 0])[:, -x.shape[1] :]
        keys, k = append(keys, rotate(k, place))
        values, v = append(values, v)
        n, m = x.shape[1], k.shape[2]
        mask = None
        if n < m or valid is not None:
            mask = there.mT & torch.ones(n, m, dtype=torch.bool, device=x.device).tril(m - n)
        y = functional.scaled_dot_product_attention(
            rotate(q, place), k, v, attn_mask=mask, is_causal=mask is None
        )
        return self.out(y.transpose(1, 2).flatten(2)), (keys, values, seen)


@dataclass(frozen=True)
class AttentionConfig(MixerConfig):
    """Attention has no option of its own."""

    def build(self, shape: Shape) -> Mixer:
        return Attention(shape.width, heads=shape.heads, causal=shape.causal)


ATTENTION = Entry(
    "attention",
    Kind.TOKEN,
    "rotary softmax attention: the baseline",
    AttentionConfig,
    Attention,
)
