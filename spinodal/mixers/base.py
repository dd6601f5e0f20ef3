r"""The contract of every mixer, and the two ways to put mixers together.

A mixer maps tokens to tokens of the same shape and reports how far it is from equilibrium.
Structure (causal, heads, phases, length) belongs to the constructor and data to the call;
a constructor raises InputError for a structure that its mixer cannot have.

    contract                                                          held by
    outputs at valid tokens do not depend on padding                  tests/mixers/test_contract.py
    causal: output i does not depend on tokens after i, exactly       the same, for every mixer
    residuals are >= 0; they and measures are empty unless asked for  the same
    causal: tokens in parts, with a state between, are the whole      tests/mixers/test_continuation.py
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.types import Mixed

# What a causal mixer knows of the past: tensors, the batch first, in nested tuples; () where it knows nothing
State = tuple[Any, ...]

START = 0.1  # of the size at which a matrix keeps that of its input


class Source(NamedTuple):
    """A sequence that another one reads: its tokens, and which of them are no padding (None: all)."""

    tokens: Float[Tensor, "b m d"]
    valid: Bool[Tensor, "b m"] | None = None


def reorder_state(state: State, index: Int[Tensor, " b"]) -> State:
    """The state whose sample i is sample index[i] of the given one: what a beam search asks for."""
    return tuple(reorder_state(s, index) if isinstance(s, tuple) else s.index_select(0, index) for s in state)


def crop_state(state: State, keep: int) -> State:
    """The state after the first `keep` tokens, of a state that holds KV caches and nothing else.

    Each cache loses its later keys and values; a part without a state, (), has none to lose.
    """
    if state and isinstance(state[0], Tensor):
        rows, count, taken = state
        return rows, torch.full_like(count, keep), taken
    return tuple(crop_state(part, keep) for part in state)


def state_size(state: State) -> int:
    """How many numbers a state holds for one sequence."""
    return sum(state_size(s) if isinstance(s, tuple) else s[0].numel() for s in state)


def sequence_count(state: State) -> int | None:
    """How many sequences a state holds, None for one without tensors."""
    found = (sequence_count(s) if isinstance(s, tuple) else len(s) for s in state)
    return next((count for count in found if count is not None), None)


class OutputProjection(nn.Linear):
    """W x, the last matrix of a mixer, with entries of size 0.1 / sqrt(inputs) at the start.

    A block so begins near the identity; the random sums of a mixer over many tokens would otherwise exceed the
    tokens themselves for hundreds of steps.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, bias=False)

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=START * self.in_features**-0.5)


class Mixer(nn.Module, ABC):
    """x [b n d] -> Mixed(tokens [b n d], residuals, measures): the base class of all mixers.

    Where `causal` is True token i depends on tokens j <= i alone, and `extend` continues a text. `length` is the most
    tokens that can be mixed, None for any number.
    """

    causal: bool = False
    length: int | None = None  # the most tokens it can mix, None if it does not care
    croppable: bool = False  # whether its state can forget the last tokens: it holds them one by one

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        """Mixed(tokens, residuals, measures); `valid` is False on padding, None where there is none."""

    def mix(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None = None,
        source: Source | None = None,
        *,
        residuals: bool = False,
    ) -> Mixed:
        """Mixed(tokens, residuals, measures) as from `forward`; mixers that read no source ignore it."""
        return self(x, valid, residuals=residuals)

    def begin(self, source: Source | None = None) -> State:
        """The state before the first token: empty, or what is kept of the source by a mixer that reads one."""
        return ()

    def extend(
        self, x: Float[Tensor, "b n d"], state: State | None = None, valid: Bool[Tensor, "b n"] | None = None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """Tokens mixed with the past that `state` holds (None or empty: a beginning), and the state after them.

        Equal to `forward` over past and x together, cut at x: a prompt at once, or token by token.
        InputError if the mixer is not causal.
        """
        if not self.causal:
            raise InputError(
                f"this {type(self).__name__} sees the future: only a causal mixer can continue a past"
            )
        return self.extend_causal(x, state, valid)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The result of `extend`, without its check; every mixer that can be causal implements it."""
        raise NotImplementedError(f"{type(self).__name__} has no step form")

    def crop(self, state: State, keep: int) -> State:
        """The state as it was after the first `keep` tokens; InputError for sums over tokens."""
        if not self.croppable:
            raise InputError(
                f"a state of {type(self).__name__} sums up its tokens and cannot forget the last ones: read the text "
                f"again, or take a mixer that keeps its tokens (attention with kernel=0)"
            )
        return crop_state(state, keep)


class Tokenwise(Mixer):
    """y_i = f(x_i): a mixer that, where causal, acts on each token alone, and so has no state."""

    croppable = True

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        return self(x, valid).tokens, ()


class PhaseMixer(Mixer):
    """A mixer that splits every token into phases; `phase_fractions` tells the share of each [b n p]."""

    @abstractmethod
    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        """The share of each token in each phase, averaged over heads; sums to one over p."""


class Convolved(Mixer):
    """y = c + mixer(c), c = conv(x): a mixer behind a short convolution, whose output is also added  [derived].

    Linear mixers learn well only behind such a convolution, and attention is better behind it too: the baseline has it
    as well.
    """

    def __init__(self, convolution: Mixer, mixer: Mixer):
        super().__init__()
        self.convolution, self.mixer = convolution, mixer
        self.causal, self.length = convolution.causal and mixer.causal, mixer.length
        self.croppable = convolution.croppable and mixer.croppable

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        c = self.convolution(x, valid).tokens
        mixed = self.mixer(c, valid, residuals=residuals)
        return mixed._replace(tokens=c + mixed.tokens)

    def crop(self, state: State, keep: int) -> State:
        first, second = state
        return self.convolution.crop(first, keep), self.mixer.crop(second, keep)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        near, far = state or (None, None)
        c, near = self.convolution.extend(x, near, valid)
        y, far = self.mixer.extend(c, far, valid)
        return c + y, (near, far)


def combine(first: Mixed, second: Mixed) -> Mixed:
    """Mixed of the tokens of `second`, with the residuals and measures of both."""
    return Mixed(second.tokens, first.residuals | second.residuals, first.measures | second.measures)


class Fused(Mixer):
    """channel(token(x)): one block that mixes tokens and partitions features, as [qajar2024] draws it.

    In this form there is one residual around both; the two-layer form has one around each.
    """

    def __init__(self, token: Mixer, channel: Mixer):
        super().__init__()
        self.token, self.channel = token, channel
        self.causal, self.length = token.causal and channel.causal, token.length
        self.croppable = token.croppable and channel.croppable

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        mixed = self.token(x, valid, residuals=residuals)
        split = self.channel(mixed.tokens, valid, residuals=residuals)
        return combine(mixed, split)

    def crop(self, state: State, keep: int) -> State:
        first, second = state
        return self.token.crop(first, keep), self.channel.crop(second, keep)

    def extend_causal(
        self, x: Float[Tensor, "b n d"], state: State | None, valid: Bool[Tensor, "b n"] | None
    ) -> tuple[Float[Tensor, "b n d"], State]:
        between, within = state or (None, None)
        y, between = self.token.extend(x, between, valid)
        y, within = self.channel.extend(y, within, valid)
        return y, (between, within)
