r"""The entries of the registry: the options of a mixer, how it is built for a shape, and what it reports.

shape     what all mixers have in common: width, heads, causal, length, ...    the model's
options   what this mixer alone has: phases, levels, ...                       its own configuration
names     residuals and measures, as losses, logs and pages call them
"""

import dataclasses
import difflib
import functools
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
    """The kinds of mixers in a block; the value of each is the configuration key that chooses one."""

    TOKEN = "mixer"  # moves information between tokens
    CHANNEL = "channel"  # acts on the features of each token
    CROSS = "cross"  # reads another sequence


@dataclass(frozen=True)
class Shape:
    """The sizes of the model that a mixer is built for; each mixer reads those that it needs."""

    width: int  # features of a token
    heads: int = 4  # groups of features that mix apart from each other
    causal: bool = False  # no token sees a later one
    length: int = 128  # the most tokens of a text, for mixers that must know
    source_length: int = 128  # the most tokens of a source, for mixers that must know
    kernel: int = 4  # tokens of the short convolution


def option(default: Any, meaning: str) -> Any:
    """A dataclass field for a mixer's configuration, with its default and, as its help text, its meaning."""
    return dataclasses.field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class MixerConfig(ABC):
    """The options of one mixer. A subclass is a frozen dataclass; each field is an `option` of type int, float, str
    or bool, and a value out of its range is an InputError of its `__post_init__`."""

    @abstractmethod
    def build(self, shape: Shape) -> Mixer:
        """A mixer with these options and this shape. InputError where they do not fit each other."""

    def without_effect(self) -> dict[str, str]:
        """{option: condition} of the options without effect at these values; the condition would give one."""
        return {}

    def unreported(self) -> Collection[str]:
        """The residuals and measures of its entry that a mixer of these options does not report."""
        return ()

    def require_effect(self, given: Collection[str]) -> None:
        """Raises InputError where an option named in `given` differs from its default and has no effect."""
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
        """The value, unchanged. InputError unless finite and of this type; an int passes for a float."""
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

    @functools.cached_property
    def options(self) -> Mapping[str, Option]:
        """The options of its configuration by name."""
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
    """The question "did you mean graph? " with up to two names similar to `name`; "" where none is."""
    found = difflib.get_close_matches(name, list(names), n=2)
    return f"did you mean {' or '.join(found)}? " if found else ""
