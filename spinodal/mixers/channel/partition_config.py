"""The options of the three partitions, and their entries: tokenwise, as the paper parameterises it, and dense."""

from abc import ABC
from dataclasses import dataclass

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer
from spinodal.mixers.channel.partition import LiteralPartition, Partition
from spinodal.mixers.channel.partition_network import PartitionForm, Pathway, Reading
from spinodal.mixers.entry import Entry, Kind, MixerConfig, Shape, option


@dataclass(frozen=True)
class PartitionOptions(MixerConfig, ABC):
    """The options that all partitions have: sizes, what a mixture is, and where reactions take place."""

    hidden: int = option(26, "inner size of the channel mixer")
    phases: int = option(16, "phases that tokens, features or memories split into")
    reactions: int = option(2, "reactions of a mixture (pathways I and II) or of a phase (III)")
    pathway: str = option("none", "where reactions take place: none, I, II or III")
    reading: str = option("token", "what a mixture is: token, feature or flat")

    def __post_init__(self):
        if self.hidden < 1:
            raise InputError(f"hidden={self.hidden}: a model needs at least 1")
        self.form(heads=1)

    def without_effect(self) -> dict[str, str]:
        return {"reactions": "a pathway with reactions, I, II or III"} if self.pathway == Pathway.NONE else {}

    def unreported(self) -> tuple[str, ...]:
        return ("g1", "g2") if self.pathway == Pathway.NONE else ()

    def form(self, heads: int) -> PartitionForm:
        """The `PartitionForm` of these options. InputError for an unknown reading or pathway."""
        try:
            reading, pathway = Reading(self.reading), Pathway(self.pathway)
        except ValueError as error:
            raise InputError(
                f"{error}: reading is one of {', '.join(Reading)}, pathway one of {', '.join(Pathway)}"
            ) from None
        return PartitionForm(heads, self.phases, self.hidden, reading, pathway, self.reactions)


@dataclass(frozen=True)
class PartitionConfig(PartitionOptions):
    """The options of a `Partition` whose network acts on each token."""

    def build(self, shape: Shape) -> Mixer:
        return Partition(shape.width, self.form(shape.heads), causal=shape.causal)


@dataclass(frozen=True)
class LiteralPartitionConfig(PartitionOptions):
    """The options of `LiteralPartition`, which is parameterised as in [qajar2024] and has poles."""

    def build(self, shape: Shape) -> Mixer:
        return LiteralPartition(shape.width, self.form(shape.heads), causal=shape.causal)


@dataclass(frozen=True)
class DensePartitionConfig(PartitionOptions):
    """The options of a `Partition` with the network of [qajar2024], dense over all tokens of a text."""

    def build(self, shape: Shape) -> Mixer:
        return Partition(shape.width, self.form(shape.heads), length=shape.length, causal=shape.causal)


PARTITION = Entry(
    "partition", Kind.CHANNEL, "phases in equilibrium, with or without reactions", PartitionConfig, Partition,
    residuals=("F", "g1", "g2"), measures=("spread",), detached=("spread",),
)  # fmt: skip
LITERAL_PARTITION = Entry(
    "literal", Kind.CHANNEL, "the partition as the PET paper parameterises it, which has poles", LiteralPartitionConfig,
    LiteralPartition, residuals=("F", "g1", "g2", "h"), measures=("spread",), detached=("spread",),
)  # fmt: skip
DENSE_PARTITION = Entry(
    "dense", Kind.CHANNEL, "the partition behind the PET paper's dense network, for texts of one length",
    DensePartitionConfig, Partition, residuals=("F", "g1", "g2"), measures=("spread",), detached=("spread",),
    exact_length=True,
)  # fmt: skip
