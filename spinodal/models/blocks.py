r"""A block: residual sub-layers around mixers, made from the names in a configuration.

    two layers    x += mixer(norm x);  x += channel(norm x)
    fused         x += channel(mixer(norm x))

The Transformer baseline is ("attention", "swiglu"), PET any mixer with a partition. The mixers stand in
`spinodal.mixers.registry`; every model, recipe and contract test has all of them.
A block of an encoder-decoder reads the source between the two, x += cross(norm x, source); fused,
as the paper draws it (Figures 5 and 6), x += channel(mixer(norm x) + cross(norm x, source)).
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, cast

from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from spinodal.errors import InputError
from spinodal.mixers import registry, size
from spinodal.mixers.base import Convolved, Fused, Mixer, Source, State, combine
from spinodal.mixers.cross.mixers import CrossMixer, FusedCross
from spinodal.mixers.token.convolution import Convolution
from spinodal.models.configuration import SpinodalConfig
from spinodal.models.parts import NONE, PARTS, read_part
from spinodal.models.state_cache import BlockState
from spinodal.types import Mixed

LEAST = {"vocab_size": 1, "width": 1, "depth": 1, "heads": 1, "kernel": 0, "length": 1}


def require_sizes(config: SpinodalConfig):
    """Raises InputError for a size out of its range; limits of single mixers are checked by these."""
    for name, least in LEAST.items():
        if getattr(config, name) < least:
            raise InputError(f"{name}={getattr(config, name)}: a model needs at least {least}")
    if not 0 <= config.dropout < 1:
        raise InputError(f"dropout={config.dropout}: the share of features that is dropped lies in [0, 1)")
    if not config.initializer_range > 0:
        raise InputError(
            f"initializer_range={config.initializer_range}: the first size of embeddings is above 0"
        )


def require_memory(config: SpinodalConfig, *, causal: bool = False, reads: bool = False) -> None:
    """Raises InputError for a stack of blocks that the memory does not hold, before any of it is allocated."""

    def parameters(length: int) -> int:
        own = copy.copy(config)
        own.length = length
        block = size.parameter_count(lambda: Block(own, causal=causal, reads=reads))
        return config.depth * block + config.vocab_size * config.width

    size.require_memory(parameters, config.length)


def build_part(config: SpinodalConfig, part: str, *, causal: bool) -> Mixer:
    """The mixer that a part of a configuration describes."""
    options: dict[str, Any] = read_part(part, getattr(config, part))
    entry = registry.find_entry(PARTS[part], options.pop("name"))
    return entry.configure(options).build(config.shape(causal=causal))


def sublayers(config: SpinodalConfig, *, causal: bool = False, reads: bool = False) -> list[Mixer]:
    """The mixers of one block, each for a residual connection; without a token mixer for `mixer="none"`."""
    channel = build_part(config, "channel", causal=causal)
    cross = cast(CrossMixer, build_part(config, "cross", causal=causal)) if reads else None
    if read_part("mixer", config.mixer)["name"] == NONE:
        if config.fused:
            raise InputError("fused=True with mixer=none: there is no token mixer to put into the block")
        return [cross, channel] if cross else [channel]
    token = build_part(config, "mixer", causal=causal)
    if config.kernel and not isinstance(token, Convolution):
        token = Convolved(Convolution(config.width, kernel=config.kernel, causal=causal), token)
    if config.fused:
        return [FusedCross(token, cross, channel) if cross else Fused(token, channel)]
    return [token, cross, channel] if cross else [token, channel]


class Block(GradientCheckpointingLayer):
    """x += mixer(norm(x)) for each of its mixers; Mixed has the residuals and measures of all by name."""

    def __init__(self, config: SpinodalConfig, *, causal: bool = False, reads: bool = False):
        super().__init__()
        self.mixers = nn.ModuleList(sublayers(config, causal=causal, reads=reads))
        self.norms = nn.ModuleList(nn.LayerNorm(config.width, bias=False) for _ in self.mixers)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        valid: Bool[Tensor, "b n"] | None = None,
        source: Source | None = None,
        *,
        residuals: bool = False,
        past: BlockState | None = None,
    ) -> Mixed:
        """Mixed of whole sequences, or of tokens that follow `past`, whose state is then replaced.

        `source` is for a block with a cross mixer.
        """
        if past is not None:
            y, past.state = self.extend(x, past.state, valid, source)
            past.seen += x.shape[1]
            return Mixed(y, {})
        found = Mixed(x, {})
        for norm, mixer in self.layers():
            mixed = mixer.mix(norm(x), valid, source, residuals=residuals)
            x = x + self.dropout(mixed.tokens)
            found = combine(found, mixed._replace(tokens=x))
        return found

    def extend(
        self,
        x: Float[Tensor, "b n d"],
        state: State | None = None,
        valid: Bool[Tensor, "b n"] | None = None,
        source: Source | None = None,
    ) -> tuple[Float[Tensor, "b n d"], State]:
        """The block's output for tokens that follow those in `state`, and the state after them.

        The source is read only where `state` is None, before the first token.
        """
        if state is None:
            state = tuple(mixer.begin(source) for _, mixer in self.layers())
        after = []
        for (norm, mixer), before in zip(self.layers(), state, strict=True):
            y, now = mixer.extend(norm(x), before, valid)
            x = x + self.dropout(y)
            after.append(now)
        return x, tuple(after)

    def layers(self) -> Iterator[tuple[nn.Module, Mixer]]:
        """The pairs (norm, mixer) in their order."""
        return zip(self.norms, cast("Iterable[Mixer]", self.mixers), strict=True)

    @property
    def croppable(self) -> bool:
        """Whether every mixer can forget its last tokens."""
        return all(mixer.croppable for _, mixer in self.layers())

    def crop(self, state: State, keep: int) -> State:
        """The state as it was after the first `keep` tokens; InputError where a mixer cannot forget."""
        pairs = zip(self.layers(), state, strict=True)
        return tuple(mixer.crop(held, keep) for (_, mixer), held in pairs)
