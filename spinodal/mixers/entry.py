r"""What an entry of the registry says of a mixer: its options, how it is built of a shape, what it reports.

shape     what every mixer may be told: width, heads, causal, length, ...      the model's
options   what this mixer alone is told: phases, levels, ...                   its own configuration
names     residuals and measures, which losses, logs and pages then have
"""

import dataclasses
import difflib
import math
import typing
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from spinodal.errors import InputError
from spinodal.mixers.base import Mixer


class Kind(StrEnum):
    """What a mixer does in a block, by the name that a configuration chooses it under."""

    TOKEN = "mixer"  # moves information between tokens
    CHANNEL = "channel"  # acts on the features of each token
    CROSS = "cross"  # reads another sequence


@dataclass(frozen=True)
class Shape:
    """What every mixer may be told of the model that it stands in."""

    width: int  # features of a token
    heads: int = 4  # groups of features that mix apart from each other
    causal: bool = False  # no token sees a later one
    length: int = 128  # the most tokens of a text, for mixers that must know
    source_length: int = 128  # the most tokens of a source, for mixers that must know
    kernel: int = 4  # tokens of the short convolution


def option(default: Any, meaning: str) -> Any:
    """A field of a mixer's configuration: its default and what it means."""
    return dataclasses.field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class MixerConfig(ABC):
    """The options of one mixer. A subclass is a frozen dataclass; each field is an `option` of type int, float, str
    or bool, and a value out of its range is an InputError of its `__post_init__`."""

    @abstractmethod
    def build(self, shape: Shape) -> Mixer:
        """The mixer of this shape. InputError where the two do not fit."""

    def without_effect(self) -> dict[str, str]:
        """The options that change nothing beside the values of the others, each with what it takes to be read."""
        return {}

    def unreported(self) -> Collection[str]:
        """The residuals and measures of its entry that a mixer of these options does not report."""
        return ()

    def require_effect(self, given: Collection[str]) -> None:
        """Raises InputError for a value of these options, not its default, that changes nothing."""
        for name, needed in self.without_effect().items():
            value = getattr(self, name)
            if name in given and value != type(self).__dataclass_fields__[name].default:
                raise InputError(f"{name}={value}: it is read only with {needed}")


@dataclass(frozen=True)
class Option:
    """One option: its name, type, default and meaning."""

    name: str
    type: type
    default: Any
    meaning: str

    def check(self, value: object) -> Any:
        """The value, if it is of this option's type; a whole number does for a float. InputError else."""
        kinds = (int, float) if self.type is float else (self.type,)
        wrong = isinstance(value, bool) and self.type is not bool
        if wrong or not isinstance(value, kinds) or (isinstance(value, float) and not math.isfinite(value)):
            raise InputError(f"{self.name}={value!r}: {self.name} takes {self.type.__name__}")
        return value


@dataclass(frozen=True)
class Entry:
    """A mixer of the registry; `spinodal.mixers.registry.register` adds it.

    `residuals` and `measures` are all that it may report (`Mixed`); `detached` are those of the measures that carry
    no gradient, so that no constraint may name them. `exact_length` says that it takes texts of `length` tokens and
    no others.
    """

    name: str
    kind: Kind
    summary: str
    config: type[MixerConfig]
    mixer: type[Mixer]
    residuals: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    exact_length: bool = False

    @property
    def options(self) -> dict[str, Option]:
        hints = typing.get_type_hints(self.config)
        return {
            field.name: Option(field.name, hints[field.name], field.default, field.metadata.get("help", ""))
            for field in dataclasses.fields(self.config)
        }

    def configure(self, options: Mapping[str, Any]) -> MixerConfig:
        """The configuration with these options. InputError for one that this mixer does not read, or a bad value."""
        known = self.options
        if unknown := [name for name in options if name not in known]:
            raise InputError(
                f"{self.kind}={self.name} does not read {', '.join(unknown)}: {near(unknown[0], known)}"
                f"it reads {', '.join(known) or 'no option'}"
            )
        return self.config(**{name: known[name].check(value) for name, value in options.items()})


def near(name: str, names: Iterable[str]) -> str:
    """ "did you mean graph? " where a name is like others, else nothing."""
    found = difflib.get_close_matches(name, list(names), n=2)
    return f"did you mean {' or '.join(found)}? " if found else ""
