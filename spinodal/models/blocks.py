r"""A block: residual sub-layers around mixers, made from the names in a configuration.

    two layers    x += mixer(norm x);  x += channel(norm x)
    fused         x += channel(mixer(norm x))

The Transformer baseline is ("attention", "swiglu"), PET any mixer with a partition. To add a
mixer, give it a line in MIXERS or CHANNELS; every model, recipe and contract test then has it.
A block of an encoder-decoder reads the source between the two, x += cross(norm x, source); fused,
as the paper draws it (Figures 5 and 6), x += channel(mixer(norm x) + cross(norm x, source)).
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar, cast

from jaxtyping import Bool, Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.mixers.base import Convolved, Fused, Mixer, Source, State, combine
from spinodal.mixers.channel.gates import DrivingForce, PhaseCompetition, SwiGLU
from spinodal.mixers.channel.partition import LiteralPartition, Partition
from spinodal.mixers.channel.partition_network import PartitionForm, Pathway, Reading
from spinodal.mixers.cross.mixers import CrossAttention, CrossMixer, FusedCross, StaticCross
from spinodal.mixers.graph.blocks import Blocks
from spinodal.mixers.graph.flow import GraphFlowAttention
from spinodal.mixers.graph.form import Descent, FlowForm
from spinodal.mixers.graph.levels import GraphLevels
from spinodal.mixers.token.attention import Attention
from spinodal.mixers.token.convolution import Convolution, Toeplitz
from spinodal.mixers.token.gated import GatedLinear, MinGRU
from spinodal.mixers.token.phase_memory import PhaseMemory
from spinodal.mixers.token.places import Triangular
from spinodal.mixers.token.retention import Retention
from spinodal.models.configuration import SpinodalConfig
from spinodal.types import Mixed

T = TypeVar("T")
Maker = Callable[[SpinodalConfig, bool], Mixer]


def partition_form(config: SpinodalConfig) -> PartitionForm:
    """The partition that a configuration describes; InputError names a reading or pathway unknown."""
    try:
        reading, pathway = Reading(config.reading), Pathway(config.pathway)
    except ValueError as error:
        raise InputError(
            f"{error}: reading is one of {', '.join(Reading)}, pathway one of {', '.join(Pathway)}"
        ) from None
    return PartitionForm(config.heads, config.phases, config.hidden, reading, pathway, config.reactions)


def graph_mixer(config: SpinodalConfig, causal: bool) -> Mixer:
    """The flow that a configuration describes: over all tokens, over chosen blocks, or on levels that share it."""
    form = FlowForm(config.coupling, threshold=config.threshold, descent=Descent(config.flow_steps))
    if config.levels > 1:
        return GraphLevels(
            config.width, heads=config.heads, sharing=(0,) * config.levels, size=config.block_size or 16,
            form=form, causal=causal,
        )  # fmt: skip
    if not config.block_size:
        return GraphFlowAttention(config.width, heads=config.heads, form=form, causal=causal)
    blocks = Blocks(config.block_size, config.top_blocks, warmup=config.dense_steps)
    blocks.require_fit(config.length)
    return GraphFlowAttention(config.width, heads=config.heads, form=form, causal=causal, links=blocks)


MIXERS: Mapping[str, Maker] = {
    "attention": lambda c, causal: Attention(c.width, heads=c.heads, causal=causal),
    "retention": lambda c, causal: Retention(c.width, heads=c.heads, causal=causal),
    "gated-linear": lambda c, causal: GatedLinear(c.width, heads=c.heads, causal=causal),
    "phase-memory": lambda c, causal: PhaseMemory(c.width, heads=c.heads, phases=c.phases, causal=causal),
    "min-gru": lambda c, causal: MinGRU(c.width, causal=causal),
    "triangular": lambda c, causal: Triangular(c.width, heads=c.heads, length=c.length, causal=causal),
    "toeplitz": lambda c, causal: Toeplitz(c.width, heads=c.heads, length=c.length, causal=causal),
    "convolution": lambda c, causal: Convolution(c.width, kernel=max(c.kernel, 1), causal=causal),
    "graph": graph_mixer,
}

CHANNELS: Mapping[str, Maker] = {
    "swiglu": lambda c, causal: SwiGLU(c.width, hidden=c.hidden),
    "driving-force": lambda c, causal: DrivingForce(c.width, hidden=c.hidden),
    "competition": lambda c, causal: PhaseCompetition(c.width, hidden=c.hidden, phases=c.phases),
    "partition": lambda c, causal: Partition(c.width, partition_form(c), causal=causal),
    "literal": lambda c, causal: LiteralPartition(c.width, partition_form(c), causal=causal),
    "dense": lambda c, causal: Partition(c.width, partition_form(c), length=c.length, causal=causal),
}

CROSSES: Mapping[str, Callable[[SpinodalConfig], CrossMixer]] = {
    "attention": lambda c: CrossAttention(c.width, heads=c.heads),
    "static": lambda c: StaticCross(c.width, heads=c.heads, length=c.length, source_length=c.source_length),
}

LEAST = {"width": 1, "depth": 1, "heads": 1, "hidden": 1, "kernel": 0, "length": 1}


def require_sizes(config: SpinodalConfig):
    """Raises InputError for a size out of its range; mixers refuse what only they cannot take."""
    for name, least in LEAST.items():
        if getattr(config, name) < least:
            raise InputError(f"{name}={getattr(config, name)}: a model needs at least {least}")
    if not 0 <= config.dropout < 1:
        raise InputError(f"dropout={config.dropout}: the share of features that is dropped lies in [0, 1)")
    if not config.initializer_range > 0:
        raise InputError(
            f"initializer_range={config.initializer_range}: the first size of embeddings is above 0"
        )


def chosen(table: Mapping[str, T], name: str, kind: str) -> T:
    """table[name], or an InputError with the nearest names."""
    if name not in table:
        near = difflib.get_close_matches(name, table, n=2)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise InputError(f"unknown {kind} {name!r}: {hint}all: {', '.join(table)}")
    return table[name]


def sublayers(
    config: SpinodalConfig, *, causal: bool = False, reads: bool = False
) -> list[Mixer | CrossMixer]:
    """The mixers of one block, one a residual; `mixer="none"` leaves the channel mixer alone."""
    channel = chosen(CHANNELS, config.channel, "channel")(config, causal)
    if not isinstance(channel, Partition) and (config.pathway, config.reading) != ("none", "token"):
        raise InputError(
            f"pathway={config.pathway}, reading={config.reading}: channel={config.channel} has neither reactions "
            f"nor readings; take channel=partition, literal or dense"
        )
    cross = chosen(CROSSES, config.cross, "cross")(config) if reads else None
    if config.mixer == "none":
        if config.fused:
            raise InputError("fused=True with mixer=none: there is no token mixer to put into the block")
        return [cross, channel] if cross else [channel]
    token = chosen(MIXERS, config.mixer, "mixer")(config, causal)
    if config.kernel and not isinstance(token, Convolution):
        token = Convolved(Convolution(config.width, kernel=config.kernel, causal=causal), token)
    if config.fused:
        return [FusedCross(token, cross, channel) if cross else Fused(token, channel)]
    return [token, cross, channel] if cross else [token, channel]


class Block(nn.Module):
    """x += mixer(norm(x)) for each of its mixers; what they report has names of its own."""

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
    ) -> Mixed:
        """Whole sequences; `source` for a block that reads one."""
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
        """Tokens that follow those in `state`, and the state after them; the source is read at the beginning alone."""
        if state is None:
            state = tuple(mixer.begin(source) for _, mixer in self.layers())
        after = []
        for (norm, mixer), before in zip(self.layers(), state, strict=True):
            y, now = mixer.extend(norm(x), before, valid)
            x = x + self.dropout(y)
            after.append(now)
        return x, tuple(after)

    def layers(self) -> Iterator[tuple[nn.Module, Mixer]]:
        """Each mixer behind its norm."""
        return zip(self.norms, cast("Iterable[Mixer]", self.mixers), strict=True)
