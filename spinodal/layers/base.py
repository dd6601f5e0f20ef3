"""A mixer behind tensors: what all layers are."""

from collections.abc import Mapping
from typing import Any, Literal, overload

from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.mixers.base import Mixer, Source
from spinodal.mixers.entry import Kind, MixerConfig, Shape
from spinodal.mixers.registry import find_entry

Tokens = Float[Tensor, "b n d"]
Valid = Bool[Tensor, "b n"] | None
Reported = dict[str, Float[Tensor, ""]]


class Layer(nn.Module):
    """y = mixer(x): a mixer behind tensors; `residuals=True` returns what it reports as well."""

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
        mixed = self.mixer(x, valid, residuals=residuals)
        return (mixed.tokens, mixed.reported) if residuals else mixed.tokens


class CrossLayer(nn.Module):
    """y = mixer(x, source): tokens that read another sequence [b m d], of which `source_valid` marks the padding."""

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
        return self.mixer.mix(x, valid, Source(source, source_valid)).tokens


def build_mixer(config: MixerConfig, shape: Shape) -> Mixer:
    """The mixer of these options. InputError for one that is set and changes nothing."""
    config.require_effect(vars(config))
    return config.build(shape)


def mixer_layer(
    kind: str, name: str, shape: Shape, options: Mapping[str, Any] | None = None
) -> Layer | CrossLayer:
    """The layer of a registered mixer: `mixer_layer("mixer", "graph", Shape(16, heads=2), {"levels": 2})`.

    `kind` is mixer, channel or cross. InputError for an unknown name or option.
    """
    mixer = build_mixer(find_entry(Kind(kind), name).configure(options or {}), shape)
    return CrossLayer(mixer) if kind == Kind.CROSS else Layer(mixer)
