r"""Cross mixers: how a decoder reads what an encoder made.

    attention   y_i = sum_j softmax_j(<q_i, k_j> / sqrt(c)) v_j     from a source token by its content
    static      y_i = sum_j W_ij v_j                                by its place  [qajar2024, Figure 6]

The source is whole before the first token is written, so either is causal; what is kept of it has a
constant size.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer, OutputProjection, Source, State, combine
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape
from spinodal.mixers.ops.padding import mask_padding
from spinodal.mixers.ops.places import places, places_taken, read_place, read_places, scatter_to_places
from spinodal.types import Mixed


class CrossMixer(Mixer):
    """x [b n d] and a source [b m d] -> Mixed(tokens [b n d], ...): the base class of cross mixers.

    Tokens of a decoder read the output of an encoder. It counts as causal, since the source is complete before the
    first token is generated. InputError without a source.
    """

    causal = True

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None = None,
        source: Source | None = None,
        *,
        residuals: bool = False,
    ) -> Mixed:
        """Mixed(tokens, residuals, measures). InputError without a source."""
        return Mixed(self.extend_causal(x, self.begin(source), valid)[0], {})

    def mix(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None = None,
        source: Source | None = None,
        *,
        residuals: bool = False,
    ) -> Mixed:
        return self(x, valid, source, residuals=residuals)

    def begin(self, source: Source | None = None) -> State:
        """What is kept of the source. InputError where there is none."""
        if source is None:
            raise InputError(f"this {type(self).__name__} reads a source: give one")
        return self.read_source(source)

    @abstractmethod
    def read_source(self, source: Source) -> State:
        """The state before the first token: what the mixer keeps of the source."""


class CrossAttention(CrossMixer):
    """y_i = sum_j softmax_j(<q_i, k_j> / sqrt(c)) v_j, q of the token, k and v of the source, c features a head.

    Multi-head softmax attention of the decoder's tokens [b n d] to the source [b m d]. Scores have no rotary positions:
    positions enter through the encoder's output alone. InputError where `heads` does not divide `width`.
    """

    croppable = True

    def __init__(self, width: int, *, heads: int):
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} does not divide into heads={heads}")
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = OutputProjection(width, width)

    def crop(self, state: State, keep: int) -> State:
        """The state, unchanged: it holds keys and values of the source alone."""
        return state

    def read_source(self, source: Source) -> State:
        k, v = self.key_value(source.tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return (k, v) if source.valid is None else (k, v, source.valid)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        state = state or self.begin()
        k, v, *there = state
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mask = there[0][:, None, None, :] if there else None
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2)), state


class StaticCross(CrossMixer):
    """y_i = sum_j W_ij v_j: one learned matrix W a head from source to target places  [qajar2024, Figure 6].

    Weights depend on places, which are counted in valid tokens, and not on contents. InputError for a text
    longer than `length`, a source longer than `source_length`, and where `heads` does not divide `width`.
    """

    length: int

    def __init__(self, width: int, *, heads: int, length: int, source_length: int):
        super().__init__()
        if width % heads:
            raise InputError(f"width={width} does not divide into heads={heads}")
        self.heads, self.length, self.source_length = heads, length, source_length
        self.value = nn.Linear(width, width, bias=False)
        self.out = OutputProjection(width, width)
        self.weight = nn.Parameter(torch.empty(heads, length, source_length))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=self.source_length**-0.5)

    def read_source(self, source: Source) -> State:
        """The value at every place of the source, and the first place free in the target."""
        tokens, valid = source
        nowhere = tokens.new_zeros(tokens.shape[0], dtype=torch.long)
        place, free = places(tokens, valid, nowhere)
        if (m := places_taken(free, tokens.shape[1], self.source_length)) > self.source_length:
            raise InputError(
                f"this mixer reads a source of up to source_length={self.source_length} tokens, got {m}"
            )
        v = mask_padding(self.value(tokens), valid)
        table = v.new_zeros(v.shape[0], self.source_length, v.shape[2])
        return scatter_to_places(v, place, table), nowhere

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        table, start = state or self.begin()
        place, free = places(x, valid, start)
        if (n := places_taken(free, self.length, self.length)) > self.length:
            raise InputError(f"this mixer has places for length={self.length} tokens, got {n}")
        if x.shape[1] == 1:
            y = read_place(self.weight[:, place[:, 0].clamp(max=self.length - 1)], table)
        else:
            y = read_places(self.weight[:, :n], table, place)
        return self.out(y), (table, free)


class FusedCross(CrossMixer):
    """channel(token(x) + cross(x, source)): a decoder block with one residual around all  [qajar2024, Figs. 5, 6]."""

    def __init__(self, token: Mixer, cross: CrossMixer, channel: Mixer):
        super().__init__()
        self.token, self.cross, self.channel = token, cross, channel
        self.causal = token.causal and channel.causal
        self.length = min((m.length for m in (token, cross) if m.length is not None), default=None)
        self.croppable = token.croppable and cross.croppable and channel.croppable

    def crop(self, state: State, keep: int) -> State:
        source, token, channel = state
        parts = (self.cross, source), (self.token, token), (self.channel, channel)
        return tuple(part.crop(held, keep) for part, held in parts)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None = None,
        source: Source | None = None,
        *,
        residuals: bool = False,
    ) -> Mixed:
        mixed = self.token(x, valid, residuals=residuals)
        read = self.cross(x, valid, source)
        split = self.channel(mixed.tokens + read.tokens, valid, residuals=residuals)
        return combine(mixed, split)

    def read_source(self, source: Source) -> State:
        return (self.cross.read_source(source),)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        source, *past = state or self.begin()
        mixed, token = self.token.extend(x, past[0] if past else None, valid)
        read, source = self.cross.extend(x, source, valid)
        split, channel = self.channel.extend(mixed + read, past[1] if past else None, valid)
        return split, (source, token, channel)


@dataclass(frozen=True)
class CrossAttentionConfig(MixerConfig):
    """Attention to a source has no option of its own."""

    def build(self, shape: Shape) -> CrossMixer:
        return CrossAttention(shape.width, heads=shape.heads)


@dataclass(frozen=True)
class StaticCrossConfig(MixerConfig):
    """The static reader has no option of its own."""

    def build(self, shape: Shape) -> CrossMixer:
        return StaticCross(
            shape.width, heads=shape.heads, length=shape.length, source_length=shape.source_length
        )


ATTENTION = Entry(
    "attention", Kind.CROSS, "the source read by its contents", CrossAttentionConfig, CrossAttention
)
STATIC = Entry("static", Kind.CROSS, "the source read by its places", StaticCrossConfig, StaticCross)
