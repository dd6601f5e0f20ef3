r"""Convolutions over tokens: short and depthwise, or as long as the context.

    short     y_i = sum_{a < kernel} w_a * x_{i + a - before}    one filter a feature
    Toeplitz  y_i = sum_j t_{i-j} v_j                            one filter a head [qin2023]

The short one costs O(n kernel), the Toeplitz one O(n log n) by FFT, or O(n log^2 n) causal: by rounding, each
number of an FFT depends on all of its input, so for causal outputs only earlier tokens are transformed. Both
see the past only when causal; otherwise the short one is centred, the other two-sided.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, State
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape
from spinodal.mixers.ops.kv_cache import append, position
from spinodal.mixers.ops.padding import mask_padding, padding_first, reorder_tokens, token_places
from spinodal.mixers.ops.toeplitz import toeplitz_product
from spinodal.mixers.ops.tracing import LEAST, TOKENS, Size, is_plain
from spinodal.types import Mixed


def convolved(
    x: Float[Tensor, "b n d"],
    weight: Float[Tensor, "d 1 kernel"],
    valid: Bool[Tensor, "b n"] | None,
    after: int,
) -> Float[Tensor, "b n d"]:
    """y_i = sum_{a < kernel} w_a * x_{i + a - before}, before = kernel - 1 - after; padding is zero."""
    padded = functional.pad(mask_padding(x, valid).transpose(1, 2), (weight.shape[2] - 1 - after, after))
    return functional.conv1d(padded, weight, groups=x.shape[-1]).transpose(1, 2)


class CompiledConvolution(torch.autograd.Function):
    """`convolved` with after = kernel // 2, for large float32 tensors on the CPU: by compiled loops.

    Second derivatives are computed from `convolved`.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, valid: Tensor | None) -> Float[Tensor, "b n d"]:
        ctx.save_for_backward(x, weight, valid)
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        over_tokens("forward", x, weight, valid, y)
        return y

    @staticmethod
    def backward(ctx, g: Float[Tensor, "b n d"]) -> tuple[Tensor | None, ...]:
        (x, weight, valid), again = ctx.saved_tensors, torch.is_grad_enabled()
        if is_plain(g) and not again:
            dx = torch.empty_like(x, memory_format=torch.contiguous_format)
            dw = np.sum(over_tokens("backward", x, weight, valid, g, dx), axis=0)
            return dx, torch.from_numpy(dw.T).to(weight).unsqueeze(1), None
        with torch.enable_grad():
            y = convolved(x, weight, valid, weight.shape[2] // 2)
            return *torch.autograd.grad(y, (x, weight), g, create_graph=again), None


def over_tokens(
    loop: str, x: Tensor, weight: Tensor, valid: Tensor | None, *tensors: Float[Tensor, "b n d"]
) -> list[Any]:
    """Runs a loop of `convolution_kernels` over the tokens of all texts; it writes into the last tensor."""
    from spinodal.loops import in_parts  # here, since networks elsewhere do without a compiler
    from spinodal.mixers.ops import convolution_kernels

    there = torch.ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
    given = (x, weight[:, 0].T, there, *tensors)
    tokens, w, present, *others = (t.detach().contiguous().numpy() for t in given)
    before = len(w) - 1 - len(w) // 2
    run = partial(getattr(convolution_kernels, loop), tokens, w, present, before, *others)
    return in_parts(run, present.size, TOKENS)


class Convolution(Mixer):
    """y_i = sum_{a < kernel} w_a * x_{i + a - before}: one filter w a feature over `kernel` tokens.

    If causal these are the last ones, before = kernel - 1, else those around the token,
    before = kernel - 1 - kernel // 2.
    """

    def __init__(self, width: int, *, kernel: int = 4, causal: bool = False):
        super().__init__()
        self.kernel, self.causal = kernel, causal
        self.weight = nn.Parameter(torch.empty(width, 1, kernel))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.uniform_(self.weight, -(self.kernel**-0.5), self.kernel**-0.5)

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        if self.causal and valid is not None:
            return Mixed(self.extend_causal(x, None, valid)[0], {})
        if not self.causal and is_plain(x) and is_plain(self.weight.data) and x.numel() >= LEAST:
            return Mixed(CompiledConvolution.apply(x, self.weight, valid), {})
        return Mixed(convolved(x, self.weight, valid, 0 if self.causal else self.kernel // 2), {})

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is the last kernel - 1 tokens that are there; padding stands before them all."""
        (past,) = state or (x.new_zeros(x.shape[0], self.kernel - 1, x.shape[2]),)
        tokens, back = torch.cat([past, mask_padding(x, valid)], dim=1), None
        if valid is not None:
            order, back = padding_first(torch.cat([valid.new_ones(past.shape[:2]), valid], 1))
            tokens = reorder_tokens(tokens, order)
        if x.shape[1] == 1:  # a convolution would spend ten times as long on setting itself up
            y = (tokens * self.weight[:, 0].mT).sum(1, keepdim=True)
        else:
            y = functional.conv1d(tokens.transpose(1, 2), self.weight, groups=x.shape[-1]).transpose(1, 2)
        if back is not None:
            y = reorder_tokens(functional.pad(y, (0, 0, self.kernel - 1, 0)), back)[:, self.kernel - 1 :]
        return y, (tokens[:, x.shape[1] :].clone(),)


class Toeplitz(Mixer):
    """y_i = sum_j t_{i-j} v_j: one learned filter t a head over up to `length` tokens  [qin2023].

    What a token takes from another depends on their distance alone; values v and output are linear maps.
    """

    length: int
    croppable = True

    def __init__(self, width: int, *, heads: int, length: int, causal: bool = False):
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} does not divide into heads={heads}")
        self.heads, self.length, self.causal = heads, length, causal
        self.value = nn.Linear(width, width, bias=False)
        self.out = OutputProjection(width, width)
        self.filter = nn.Parameter(torch.empty(heads, length if causal else 2 * length - 1))
        self.reset_parameters()

    def reset_parameters(self):
        """Exponentials that reach from 2 tokens to the whole length, one a head, of unit norm."""
        device = self.filter.device
        reach = torch.logspace(math.log10(2), math.log10(max(self.length, 2)), self.heads, device=device)
        lag = torch.arange(self.length, device=device)
        if not self.causal:
            lag = torch.cat([lag, lag[1:].flip(0)])
        with torch.no_grad():
            self.filter.copy_(functional.normalize(torch.exp(-lag / reach[:, None]), dim=-1))

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        if self.causal and valid is not None:
            return Mixed(self.extend_causal(x, None, valid)[0], {})
        y = toeplitz_product(self.filter, self.values(x, valid), causal=self.causal)
        return Mixed(self.out(y.transpose(1, 2).flatten(2)), {})

    def values(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None
    ) -> Float[Tensor, "b h n c"]:
        """v = W x, head by head, zero on padding. InputError for more tokens than the filters have lags."""
        self.require(x.shape[1])
        return mask_padding(self.value(x), valid).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def require(self, tokens: Size):
        if tokens > self.length:
            raise InputError(
                f"this Toeplitz mixer holds lags up to length={self.length}, got {tokens} tokens"
            )

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The state is every value so far, and which are valid once padding was among them."""
        past, seen = (*(state or (None,)), None)[:2]
        n, m = x.shape[1], (int(position(past, x)[0]) if past else 0) + x.shape[1]
        self.require(m)
        cache, v = append(past, self.values(x, valid))
        if n == m and valid is None:
            y = toeplitz_product(self.filter, v, causal=True)
        elif valid is None and seen is None:
            lag = torch.arange(m - n, m, device=x.device)[:, None] - torch.arange(m, device=x.device)
            y = self.filter[:, lag.clamp(min=0)].tril(m - n) @ v
        else:
            new = x.new_ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
            if past and seen is None:
                seen, _ = append(None, new.new_ones(x.shape[0], 1, m - n, 1))
            seen, there = append(seen, new[:, None, :, None])
            y = self.filter_by_places(v, there[:, 0, :, 0], n)
        return self.out(y.transpose(1, 2).flatten(2)), ((cache,) if seen is None else (cache, seen))

    def filter_by_places(
        self, v: Float[Tensor, "b h m c"], there: Bool[Tensor, "b m"], n: Size
    ) -> Float[Tensor, "b h n c"]:
        """The last n of y_i = sum_j t_{p_i - p_j} v_j, p the places of the tokens that are there."""
        if n == v.shape[2]:
            order, back = (o[:, None, :, None].expand_as(v) for o in padding_first(there))
            return toeplitz_product(self.filter, v.gather(2, order), causal=True).gather(2, back)
        place = token_places(there)
        lag = place[:, -n:, None] - place[:, None]
        weights = self.filter[:, lag.clamp(min=0)].masked_fill(lag < 0, 0.0)
        return torch.einsum("hbnm,bhmc->bhnc", weights, v)


@dataclass(frozen=True)
class ToeplitzConfig(MixerConfig):
    """Toeplitz has no option of its own."""

    def build(self, shape: Shape) -> Mixer:
        return Toeplitz(shape.width, heads=shape.heads, length=shape.length, causal=shape.causal)


TOEPLITZ = Entry(
    "toeplitz",
    Kind.TOKEN,
    "one learned filter a head, as long as the text",
    ToeplitzConfig,
    Toeplitz,
)


@dataclass(frozen=True)
class ConvolutionConfig(MixerConfig):
    """Convolution has no option of its own."""

    def build(self, shape: Shape) -> Mixer:
        return Convolution(shape.width, kernel=max(shape.kernel, 1), causal=shape.causal)


CONVOLUTION = Entry(
    "convolution",
    Kind.TOKEN,
    "the short convolution alone, of kernel tokens",
    ConvolutionConfig,
    Convolution,
)
