"""The classes of all layers: a mixer as a module from tensors to tensors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, Source
from spinodal.mixers.entry import Kind, MixerConfig, Shape
from spinodal.mixers.registry import find_entry
from spinodal.mixers.size import parameter_count, require_memory

Tokens = Float[Tensor, "b n d"]
Valid = Bool[Tensor, "b n"] | None
Reported = dict[str, Float[Tensor, ""]]


def require_tokens(name: str, x: Tensor, valid: Tensor | None) -> None:
    """Raises InputError for tokens that are not [b n d] with n > 0, and for a mask that is not Boolean [b n]."""
    if x.ndim != 3 or x.shape[1] == 0:
        raise InputError(f"{name} has the shape {tuple(x.shape)}: tokens are [b n d], one or more in a text")
    if valid is not None and (valid.dtype != torch.bool or valid.shape != x.shape[:2]):
        raise InputError(
            f"the mask of {name} is {valid.dtype} {tuple(valid.shape)}: it must be torch.bool {tuple(x.shape[:2])}, "
            f"False on padding"
        )


class Layer(nn.Module):
    """y = mixer(x) [b n d]; with `residuals=True` the pair of y and {name: residual or measure}."""

    def __init__(self, mixer: Mixer):
        super().__init__()
        self.mixer = mixer

    @overload
    def __call__(self, x: Tokens, valid: Valid = None, *, residuals: Literal[False] = False) -> Tokens: ...

    @overload
    def __call__(
        self, x: Tokens, valid: Valid = None, *, residuals: Literal[True]
    ) -> tuple[Tokens, Reported]: ...

    def __call__(self, x: Tokens, valid: Valid = None, *, residuals: bool = False) -> Any:
        return super().__call__(x, valid, residuals=residuals)

    def forward(
        self, x: Tokens, valid: Valid = None, *, residuals: bool = False
    ) -> Tokens | tuple[Tokens, Reported]:
        require_tokens("x", x, valid)
        mixed = self.mixer(x, valid, residuals=residuals)
        return (mixed.tokens, mixed.reported) if residuals else mixed.tokens


class CrossLayer(nn.Module):
    """y = mixer(x, source) [b n d], from tokens x and another sequence [b m d].

    `valid` and `source_valid` are False on the padding of x and of the source.
    """

    def __init__(self, mixer: Mixer):
        super().__init__()
        self.mixer = mixer

    def forward(
        self,
        x: Tokens,
        source: Float[Tensor, "b m d"],
        valid: Valid = None,
        *,
        source_valid: Bool[Tensor, "b m"] | None = None,
    ) -> Tokens:
        require_tokens("x", x, valid)
        require_tokens("source", source, source_valid)
        return self.mixer.mix(x, valid, Source(source, source_valid)).tokens


def build_mixer(config: MixerConfig, shape: Shape) -> Mixer:
    """The mixer of these options and this shape.

    InputError for an option that is set and has no effect, and for a mixer that does not fit into memory.
    """
    config.require_effect(vars(config))
    require_memory(lambda n: parameter_count(lambda: config.build(replace(shape, length=n))), shape.length)
    return config.build(shape)


def mixer_layer(
    kind: str, name: str, shape: Shape, options: Mapping[str, Any] | None = None
) -> Layer | CrossLayer:
    """The layer of a registered mixer: `mixer_layer("mixer", "graph", Shape(16, heads=2), {"levels": 2})`.

    `kind` is mixer, channel or cross. InputError for an unknown kind, name or option.
    """
    if kind not in list(Kind):
        raise InputError(f"kind={kind!r} is none of {', '.join(Kind)}")
    mixer = build_mixer(find_entry(Kind(kind), name).configure(options or {}), shape)
    return CrossLayer(mixer) if kind == Kind.CROSS else Layer(mixer)
