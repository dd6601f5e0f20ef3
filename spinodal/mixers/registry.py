"""The mixers by name: one entry each, from which configurations, keys, constraints and tests follow.

To add a mixer, write one file with its class, its configuration and its entry, and list the entry here;
another package calls `register`.
"""

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from spinodal.errors import InputError
from spinodal.mixers.channel import gates
from spinodal.mixers.channel import partition_config as partition
from spinodal.mixers.cross import mixers as cross
from spinodal.mixers.entry import Entry, Kind, Option, near
from spinodal.mixers.graph import config as graph
from spinodal.mixers.token import attention, convolution, gated, phase_memory, places, retention

ENTRIES: dict[tuple[Kind, str], Entry] = {
    (entry.kind, entry.name): entry
    for entry in (
        attention.ATTENTION,
        retention.RETENTION,
        gated.GATED_LINEAR,
        phase_memory.PHASE_MEMORY,
        gated.MIN_GRU,
        places.TRIANGULAR,
        convolution.TOEPLITZ,
        convolution.CONVOLUTION,
        graph.GRAPH,
        gates.SWIGLU,
        gates.DRIVING_FORCE,
        gates.COMPETITION,
        partition.PARTITION,
        partition.LITERAL_PARTITION,
        partition.DENSE_PARTITION,
        cross.ATTENTION,
        cross.STATIC,
    )
}


RESERVED = {"name"}  # what a part of a configuration says besides options, and what `reserve` adds


def reserve(names: Collection[str]) -> None:
    """Keeps these names, which mean something else where options are read, from being options.

    InputError where a registered mixer has one of them.
    """
    RESERVED.update(names)
    for entry in ENTRIES.values():
        require_free(entry)


def require_free(entry: Entry) -> None:
    """InputError where an option of this mixer has the name of something else."""
    if taken := sorted(entry.options.keys() & RESERVED):
        raise InputError(
            f"{entry.kind}={entry.name}: its option {taken[0]} is the name of something that every model or training "
            "has: choose another name"
        )


def register(entry: Entry) -> None:
    """Adds a mixer, which every model, command and constraint then knows by its name.

    InputError for a name that is taken, for an option that another mixer has with another type or default, and for one
    with the name of a field of models or of training: a key of the command line means one thing.
    """
    if (entry.kind, entry.name) in ENTRIES:
        raise InputError(f"{entry.kind}={entry.name} is registered already")
    require_free(entry)
    shared = options()
    for name, own in entry.options.items():
        if name in shared and (shared[name].type, shared[name].default) != (own.type, own.default):
            other = shared[name]
            raise InputError(
                f"{entry.kind}={entry.name}: its option {name}, {own.type.__name__} {own.default!r}, is another "
                f"mixer's, {other.type.__name__} {other.default!r}: choose another name"
            )
    ENTRIES[entry.kind, entry.name] = entry
    options.cache_clear()


@contextlib.contextmanager
def registered(entry: Entry) -> Iterator[Entry]:
    """A context in which the mixer is registered; at its end the entry is removed."""
    register(entry)
    try:
        yield entry
    finally:
        del ENTRIES[entry.kind, entry.name]
        options.cache_clear()


def entries(kind: Kind) -> dict[str, Entry]:
    """The mixers of a kind by name, in the order of the registry."""
    return {name: entry for (own, name), entry in ENTRIES.items() if own is kind}


def find_entry(kind: Kind, name: str) -> Entry:
    """The entry of this name, or an InputError with the nearest names."""
    known = entries(kind)
    if name not in known:
        raise InputError(f"unknown {kind} {name!r}: {near(name, known)}all: {', '.join(known)}")
    return known[name]


@functools.cache  # a configuration asks for every name that is set; what changes ENTRIES clears it
def options() -> Mapping[str, Option]:
    """Every option of any mixer, by name."""
    found: dict[str, Option] = {}
    for entry in ENTRIES.values():
        found = {**entry.options, **found}
    return MappingProxyType(found)


def readers(option: str) -> str:
    """The mixers that read an option, in words: "channel=partition, literal or dense"; empty where none does."""
    groups = []
    for kind in Kind:
        if names := [name for name, entry in entries(kind).items() if option in entry.options]:
            groups.append(f"{kind}={', '.join(names)}")
    return "; ".join(groups)


def constrainable() -> list[str]:
    """The names that a constraint may use: residuals and measures of all mixers that carry a gradient."""
    names: dict[str, None] = {}
    for entry in ENTRIES.values():
        names |= dict.fromkeys(entry.residuals)
    for entry in ENTRIES.values():
        names |= dict.fromkeys(name for name in entry.measures if name not in entry.detached)
    return list(names)
