r"""The contract of every mixer, and the two ways to put mixers together.

A mixer maps tokens to tokens of the same shape and reports how far it is from equilibrium.
Structure (causal, heads, phases, length) belongs to the constructor and data to the call;
a mixer that cannot be what is asked of it refuses in its constructor.

    contract                                                          held by
    outputs at valid tokens do not depend on padding                  tests/mixers/test_contract.py
    causal: output i does not depend on tokens after i, exactly       the same, for every mixer
    residuals are >= 0, and empty unless asked for                    the same
"""

from abc import ABC, abstractmethod

from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.types import Mixed

START = 0.1  # of the size at which a matrix keeps that of its input


class Reduction(nn.Linear):
    """The last matrix of a mixer, small at the start: a block begins near the identity.

    Else what a long mixer sums up at random drowns the tokens themselves for hundreds of steps.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, bias=False)

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=START * self.in_features**-0.5)


class Mixer(nn.Module, ABC):
    """Tokens in, tokens out; `causal` and `length` say what a caller may rely on."""

    causal: bool = False
    length: int | None = None  # the most tokens it can mix, None if it does not care

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        """Mixed(tokens, residuals); `valid` is False on padding, None where there is none."""


class PhaseMixer(Mixer):
    """A mixer that splits every token into phases, and can show how much of it went where."""

    @abstractmethod
    def phase_fractions(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n p"]:
        """The share of each token in each phase, averaged over heads; sums to one over p."""


class Convolved(Mixer):
    """c + mixer(c) with c = conv(x): a short convolution that also feeds the residual directly.

    Long mixers pay only behind it, attention too, so the baseline gets the same [derived].
    """

    def __init__(self, convolution: Mixer, mixer: Mixer):
        super().__init__()
        self.convolution, self.mixer = convolution, mixer
        self.causal, self.length = convolution.causal and mixer.causal, mixer.length

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        c = self.convolution(x, valid).tokens
        mixed = self.mixer(c, valid, residuals=residuals)
        return Mixed(c + mixed.tokens, mixed.residuals)


class Fused(Mixer):
    """channel(token(x)): one block that mixes tokens and partitions features, as the paper draws it.

    In this form there is one residual around both; the two-layer form has one around each.
    """

    def __init__(self, token: Mixer, channel: Mixer):
        super().__init__()
        self.token, self.channel = token, channel
        self.causal, self.length = token.causal and channel.causal, token.length

    def forward(
        self, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, *, residuals: bool = False
    ) -> Mixed:
        mixed = self.token(x, valid, residuals=residuals)
        split = self.channel(mixed.tokens, valid, residuals=residuals)
        return Mixed(split.tokens, mixed.residuals | split.residuals)
