r"""Mixers for other people's models: plain keywords, tensors in and out.

    y = layer(x, valid)                            [b n d] -> [b n d], False in `valid` on padding
    y, reported = layer(x, residuals=True)         what the mixer reports of its equilibrium, by name

>>> import torch
>>> from spinodal.layers import GraphFlow, Retention
>>> x = torch.ones(2, 5, 16)
>>> Retention(16, heads=2, causal=True)(x).shape
torch.Size([2, 5, 16])
>>> y, reported = GraphFlow(16, heads=2, flow_steps=2)(x, residuals=True)
>>> sorted(reported)
['density', 'energy', 'flow', 'l1']

A layer is as `spinodal.models` builds it, without its norm and its short convolution; `layer.mixer` is the mixer.
`mixer_layer` makes one of any registered mixer by its name.
"""

from collections.abc import Mapping
from typing import Any, Literal, overload

from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.mixers.base import Mixer, Source
from spinodal.mixers.channel.gates import DrivingForceConfig, PhaseCompetitionConfig, SwiGLUConfig
from spinodal.mixers.channel.partition import (
    DensePartitionConfig,
    LiteralPartitionConfig,
    PartitionConfig,
    PartitionOptions,
)
from spinodal.mixers.cross.mixers import CrossAttentionConfig, StaticCrossConfig
from spinodal.mixers.entry import Kind, MixerConfig, Shape
from spinodal.mixers.graph.config import GraphConfig
from spinodal.mixers.registry import find_entry
from spinodal.mixers.token.attention import AttentionConfig
from spinodal.mixers.token.convolution import ConvolutionConfig, ToeplitzConfig
from spinodal.mixers.token.gated import GatedLinearConfig, MinGRUConfig
from spinodal.mixers.token.phase_memory import PhaseMemoryConfig
from spinodal.mixers.token.places import TriangularConfig
from spinodal.mixers.token.retention import RetentionConfig

__all__ = [
    "Attention",
    "Convolution",
    "CrossAttention",
    "DensePartition",
    "DrivingForce",
    "GatedLinear",
    "GraphFlow",
    "Layer",
    "LiteralPartition",
    "MinGRU",
    "Partition",
    "PhaseCompetition",
    "PhaseMemory",
    "Retention",
    "StaticCross",
    "SwiGLU",
    "Toeplitz",
    "Triangular",
    "mixer_layer",
]

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


class Attention(Layer):
    """Rotary softmax attention over all tokens, or over earlier ones if `causal`."""

    def __init__(self, width: int, *, heads: int = 4, causal: bool = False):
        super().__init__(AttentionConfig().build(Shape(width, heads=heads, causal=causal)))


class Retention(Layer):
    """Averages that decay by a fixed rate a head."""

    def __init__(self, width: int, *, heads: int = 4, causal: bool = False):
        super().__init__(RetentionConfig().build(Shape(width, heads=heads, causal=causal)))


class GatedLinear(Layer):
    """Linear attention whose decays are read from the tokens."""

    def __init__(self, width: int, *, heads: int = 4, causal: bool = False):
        super().__init__(GatedLinearConfig().build(Shape(width, heads=heads, causal=causal)))


class PhaseMemory(Layer):
    """A memory for each phase that tokens are split into."""

    def __init__(
        self, width: int, *, heads: int = 4, causal: bool = False, phases: int = PhaseMemoryConfig.phases
    ):
        super().__init__(PhaseMemoryConfig(phases=phases).build(Shape(width, heads=heads, causal=causal)))


class MinGRU(Layer):
    """The least gated recurrence."""

    def __init__(self, width: int, *, causal: bool = False):
        super().__init__(MinGRUConfig().build(Shape(width, causal=causal)))


class Triangular(Layer):
    """One learned matrix of places a head, for texts of up to `length` tokens."""

    def __init__(self, width: int, *, length: int, heads: int = 4, causal: bool = False):
        super().__init__(TriangularConfig().build(Shape(width, length=length, heads=heads, causal=causal)))


class Toeplitz(Layer):
    """One learned filter a head, for texts of up to `length` tokens."""

    def __init__(self, width: int, *, length: int, heads: int = 4, causal: bool = False):
        super().__init__(ToeplitzConfig().build(Shape(width, length=length, heads=heads, causal=causal)))


class Convolution(Layer):
    """A depthwise convolution over `kernel` tokens."""

    def __init__(self, width: int, *, kernel: int = 4, causal: bool = False):
        super().__init__(ConvolutionConfig().build(Shape(width, kernel=kernel, causal=causal)))


class GraphFlow(Layer):
    """Tokens that descend an energy on their graph; options as `mixer=graph` has them.

    `length` is the text whose blocks must be enough for `top_blocks`.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 4,
        causal: bool = False,
        length: int = 128,
        flow_steps: int = GraphConfig.flow_steps,
        coupling: str = GraphConfig.coupling,
        threshold: float = GraphConfig.threshold,
        block_size: int = GraphConfig.block_size,
        top_blocks: int = GraphConfig.top_blocks,
        dense_steps: int = GraphConfig.dense_steps,
        levels: int = GraphConfig.levels,
    ):
        config = GraphConfig(
            flow_steps=flow_steps,
            coupling=coupling,
            threshold=threshold,
            block_size=block_size,
            top_blocks=top_blocks,
            dense_steps=dense_steps,
            levels=levels,
        )
        super().__init__(build_mixer(config, Shape(width, heads=heads, causal=causal, length=length)))


class SwiGLU(Layer):
    """The gate of Transformers, of `hidden` features."""

    def __init__(self, width: int, *, hidden: int = SwiGLUConfig.hidden):
        super().__init__(SwiGLUConfig(hidden=hidden).build(Shape(width)))


class DrivingForce(Layer):
    """The tension between two phases of every feature."""

    def __init__(self, width: int, *, hidden: int = DrivingForceConfig.hidden):
        super().__init__(DrivingForceConfig(hidden=hidden).build(Shape(width)))


class PhaseCompetition(Layer):
    """Phases that compete for every feature."""

    def __init__(
        self,
        width: int,
        *,
        hidden: int = PhaseCompetitionConfig.hidden,
        phases: int = PhaseCompetitionConfig.phases,
    ):
        super().__init__(PhaseCompetitionConfig(hidden=hidden, phases=phases).build(Shape(width)))


class Partition(Layer):
    """Phases in equilibrium, with or without reactions (`pathway` none, I, II, III)."""

    def __init__(
        self,
        width: int,
        *,
        heads: int = 4,
        causal: bool = False,
        hidden: int = PartitionOptions.hidden,
        phases: int = PartitionOptions.phases,
        reactions: int = PartitionOptions.reactions,
        pathway: str = PartitionOptions.pathway,
        reading: str = PartitionOptions.reading,
    ):
        config = PartitionConfig(
            hidden=hidden, phases=phases, reactions=reactions, pathway=pathway, reading=reading
        )
        super().__init__(build_mixer(config, Shape(width, heads=heads, causal=causal)))


class LiteralPartition(Layer):
    """The partition as the PET paper parameterises it, which has poles."""

    def __init__(
        self,
        width: int,
        *,
        heads: int = 4,
        causal: bool = False,
        hidden: int = PartitionOptions.hidden,
        phases: int = PartitionOptions.phases,
        reactions: int = PartitionOptions.reactions,
        pathway: str = PartitionOptions.pathway,
        reading: str = PartitionOptions.reading,
    ):
        config = LiteralPartitionConfig(
            hidden=hidden, phases=phases, reactions=reactions, pathway=pathway, reading=reading
        )
        super().__init__(build_mixer(config, Shape(width, heads=heads, causal=causal)))


class DensePartition(Layer):
    """The partition behind the PET paper's dense network, for texts of exactly `length` tokens."""

    def __init__(
        self,
        width: int,
        *,
        length: int,
        heads: int = 4,
        hidden: int = PartitionOptions.hidden,
        phases: int = PartitionOptions.phases,
        reactions: int = PartitionOptions.reactions,
        pathway: str = PartitionOptions.pathway,
        reading: str = PartitionOptions.reading,
    ):
        config = DensePartitionConfig(
            hidden=hidden, phases=phases, reactions=reactions, pathway=pathway, reading=reading
        )
        super().__init__(build_mixer(config, Shape(width, heads=heads, length=length)))


class CrossAttention(CrossLayer):
    """A source read by its contents."""

    def __init__(self, width: int, *, heads: int = 4):
        super().__init__(CrossAttentionConfig().build(Shape(width, heads=heads)))


class StaticCross(CrossLayer):
    """A source of up to `source_length` tokens read by its places, by up to `length` tokens."""

    def __init__(self, width: int, *, length: int, source_length: int, heads: int = 4):
        super().__init__(
            StaticCrossConfig().build(Shape(width, length=length, source_length=source_length, heads=heads))
        )
