r"""The parts of a model: its mixers with their options, in one form for all the forms that users write.

    {"mixer": "graph", "levels": 3, "channel.phases": 8}     names, and options by a flat or dotted key
    {"mixer": {"name": "graph", "levels": 3}, ...}           as `config.json` keeps them, every option written

A flat key goes to every part that reads it; one that none reads is refused. Files written before mixers had options
of their own hold every key of every mixer, flat: what the chosen ones do not read is dropped there.
"""

from collections.abc import Collection, Mapping
from typing import Any

from spinodal.errors import InputError
from spinodal.mixers import registry
from spinodal.mixers.entry import Kind, MixerConfig, near

NONE = "none"  # no token mixer at all
PARTS = {
    "mixer": Kind.TOKEN,
    "channel": Kind.CHANNEL,
    "encoder_mixer": Kind.TOKEN,
    "cross": Kind.CROSS,
}
SIZES = {"hidden", "phases"}
# What every file holds that was written before mixers had options of their own
OLD = {"mixer", "channel", "hidden", "phases"}


def is_old(values: Mapping[str, Any]) -> bool:
    """Whether these values are of a file that holds the options of all mixers by flat keys."""
    return values.keys() >= OLD and isinstance(values["mixer"], str)


def is_option(key: str) -> bool:
    """Whether this key may be an option: of any mixer by its name, or `part.name`."""
    return key in registry.options() or (key.partition(".")[0] in PARTS and "." in key)


def read_part(part: str, value: str | Mapping[str, Any]) -> dict[str, Any]:
    """{"name": ..., every option} from a name, or from a dictionary with a name. InputError for what is unknown."""
    options = {"name": value} if isinstance(value, str) else dict(value)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise InputError(f'{part}={value!r}: it takes a name, or a dictionary with one, {{"name": ...}}')
    if part == "mixer" and name == NONE:
        if options:
            raise InputError(f"mixer=none does not read {', '.join(options)}")
        return {"name": NONE}
    config = registry.find_entry(PARTS[part], name).configure(options)
    if options.keys() < vars(config).keys():  # a file holds every option, a user those that are set
        config.require_effect(options)
    return {"name": name, **vars(config)}


def unread_sizes(options: Mapping[str, Any]) -> set[str]:
    """The flat keys that no part has to read: `hidden`, `phases`, and options at their default value.

    So one set of sizes serves several models, of which some have no phases.
    """
    known = registry.options()
    return {
        key
        for key, value in options.items()
        if key in SIZES or (key in known and value == known[key].default)
    }


def read_parts(
    chosen: Mapping[str, Any], options: Mapping[str, Any], *, drop: bool = False, unread: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """The parts with these options, flat or dotted keys, each given to those that read it.

    InputError for an option that no chosen part reads, or that has no effect at the values of the others,
    unless `drop`; those in `unread` may be read by none.
    """
    parts = {part: read_part(part, value) for part, value in chosen.items()}
    given: dict[str, dict[str, Any]] = {part: {} for part in parts}
    for key in sorted(options, key=lambda key: "." in key):  # what names its part comes last, and wins
        part, dot, name = key.rpartition(".")
        readers = [other for other, held in parts.items() if name in held and part in ("", other)]
        if dot and part not in parts:
            raise InputError(f"{key}: no part of a model is called {part}: {', '.join(parts)} are")
        if not readers and not drop and key not in unread:
            raise InputError(unread_message(key, options[key], parts))
        for other in readers:
            given[other][name] = options[key]
    parts = {part: read_part(part, held | given[part]) for part, held in parts.items()}
    if not drop:
        for part, own in given.items():
            if own:
                part_config(part, parts[part]).require_effect(own)
    return parts


def part_config(part: str, held: Mapping[str, Any]) -> MixerConfig:
    """The configuration of the mixer that a part holds, which must not be "none"."""
    options = {name: value for name, value in held.items() if name != "name"}
    return registry.find_entry(PARTS[part], held["name"]).configure(options)


def read_by(part: str, held: Mapping[str, Any]) -> set[str]:
    """The options of a part that have an effect at the values of its others."""
    return (
        set() if held["name"] == NONE else held.keys() - part_config(part, held).without_effect() - {"name"}
    )


def reported_names(part: str, held: Mapping[str, Any]) -> list[str]:
    """The residuals and measures that the mixer of a part reports and that a constraint may name."""
    if held["name"] == NONE:
        return []
    entry, config = registry.find_entry(PARTS[part], held["name"]), part_config(part, held)
    left_out = {*entry.detached, *config.unreported()}
    return [name for name in (*entry.residuals, *entry.measures) if name not in left_out]


def unread_message(key: str, value: object, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The error message for an option that no part reads: what the parts read, and which mixers read it."""
    name = key.rpartition(".")[2]
    what = [
        f"{part}={held['name']} reads {', '.join(own) or 'no option'}"
        for part, held in parts.items()
        if (own := [option for option in held if option != "name"])
        or part in ("mixer", key.rpartition(".")[0])
    ]
    known = registry.options()
    who = registry.readers(name)
    way = f"{who} would" if who else (near(name, known) or "no mixer does").rstrip()
    return f"{key}={value}: no part of this model reads it ({'; '.join(what)}); {way}"
