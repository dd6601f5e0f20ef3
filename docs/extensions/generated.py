"""Writes the pages of docs/reference from what the package says of itself, before Sphinx reads them."""

import importlib
import inspect
import typing
from pathlib import Path
from typing import Any

import rst
from rich.text import Text
from sphinx.application import Sphinx

from spinodal import cli, recipes

TYPES = {str: "text", int: "whole number", float: "number", Path: "path"}


def write_pages(app: Sphinx) -> None:
    """Every page as it should be; those that are so already are left, those of what is gone are removed."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    pages = {
        "index": index(),
        "commands": commands(),
        "recipes": recipe_list(Path(app.srcdir)),
        "mixers": mixers(),
        "observables": observables(),
        **{room: room_page(room) for room in rst.rooms()},
    }
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()
    for name, lines in pages.items():
        path, text = folder / f"{name}.rst", "\n".join(lines) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def index() -> list[str]:
    said = [(inspect.getdoc(importlib.import_module(room)) or "").partition("\n")[0] for room in rst.rooms()]
    rows = [(f":doc:`{room}`", rst.text(line)) for room, line in zip(rst.rooms(), said, strict=True)]
    return [
        *rst.heading("Reference"),
        "Written when the site is built, from docstrings, help texts and the headers of recipes.",
        *rst.toctree(["commands", "recipes", "mixers", "observables"]),
        *rst.table(["room", "what it holds"], rows, "30 70"),
        *rst.toctree(rst.rooms(), hidden=True),
    ]


# rooms


def room_page(room: str) -> list[str]:
    """What a room says of itself, its names with a line each, and all of them in full."""
    module = importlib.import_module(room)
    names = rst.public(module)
    rows = [(f":py:obj:`{name} <{room}.{name}>`", first_line(getattr(module, name))) for name in names]
    return [
        *rst.heading(room),
        *rst.restructured((inspect.getdoc(module) or "").splitlines()),
        *["", f".. py:module:: {room}", ""],
        *rst.table(["name", "in a line"], rows, "30 70"),
        *(line for name in names for line in entry(room, name, getattr(module, name))),
    ]


def is_documented(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def first_line(value: Any) -> str:
    return rst.text(
        (inspect.getdoc(value) or "").partition("\n")[0] if is_documented(value) else said_of(value)
    )


def entry(room: str, name: str, value: Any) -> list[str]:
    """The directive of one public name."""
    if inspect.isclass(value):
        ours = any(base.__module__.startswith("spinodal") for base in value.__bases__)
        bases = ["   :show-inheritance:"] if ours else []
        return ["", f".. autoclass:: {room}.{name}", "   :members:", *bases, ""]
    if inspect.isroutine(value):
        return ["", f".. autofunction:: {room}.{name}", ""]
    return ["", f".. py:data:: {room}.{name}", "", f"   {rst.text(said_of(value))}", ""]


def said_of(value: Any) -> str:
    """A public value in a line: what it holds, or what it is."""
    if isinstance(value, dict) or type(value) in (tuple, list):
        return f"A {type(value).__name__} of {', '.join(map(str, value))}."
    return repr(value) if isinstance(value, str | int | float) else f"A {type(value).__name__}."


# commands


def commands() -> list[str]:
    said = "``spinodal COMMAND --help`` prints the same. In Python the rooms have what the commands call."
    lines = [*rst.heading("Commands"), said, ""]
    for name in cli.COMMANDS:
        lines += command(cli.Commands.loaded(name), f"spinodal {name}", "-")
    return lines


def command(found: Any, name: str, line: str) -> list[str]:
    """A command with its options, or a group with its commands."""
    arguments = [one for one in found.params if one.param_type_name == "argument"]
    called = " ".join([name, *map(shown_name, arguments), "[OPTIONS]"])
    lines = [*rst.label(f"command-{name.replace(' ', '-')}"), *rst.heading(name, line)]
    lines += rst.restructured(plain(found.help).splitlines())
    below = getattr(found, "commands", {})
    if not below:
        lines += rst.code(called, "text")
    rows = [
        (f"``{shown_name(one)}``", taken(one), default_of(one), rst.text(plain(one.help)))
        for one in found.params
    ]
    lines += rst.table(["option", "takes", "if not given", "meaning"], rows, "22 14 14 50")
    for each, inner in below.items():
        lines += command(inner, f"{name} {each}", "~")
    return lines


def shown_name(one: Any) -> str:
    """--out, or RUN of an argument."""
    if one.param_type_name == "argument":
        return one.metavar or one.name.upper()
    return ", ".join([*one.opts, *one.secondary_opts])


def taken(one: Any) -> str:
    """What an option takes, in a word; nothing for a switch."""
    if getattr(one, "is_flag", False):
        return ""
    kind = one.type_descriptor.annotation
    kind, *_ = typing.get_args(kind) or (kind,)
    return TYPES.get(kind, getattr(kind, "__name__", "")) + (", repeated" if one.multiple else "")


def default_of(one: Any) -> str:
    """What stands for an option that is not given, where that is a value."""
    value = one.default
    plainly = isinstance(value, str | int | float | Path) and not getattr(one, "is_flag", False)
    return f"``{value}``" if plainly and str(value) else ""


def plain(help_text: str | None) -> str:
    """A help text without the escapes that rich needs."""
    return Text.from_markup(help_text or "").plain


# recipes


def recipe_list(docs: Path) -> list[str]:
    said = (
        "One claim a file. The command of each makes its numbers and pictures, and says which number lies outside of "
        "what is expected; ``spinodal list`` prints them all."
    )
    lines = [*rst.heading("Recipes"), said, ""]
    for name in recipes.names():
        lines += recipe(name, docs)
    return lines


def recipe(name: str, docs: Path) -> list[str]:
    """What a recipe's header says, its picture and its intervals."""
    header, module = recipes.header(name), recipes.module(name)
    title, picture = title_of(name), picture_of(name, docs)
    image = ["", f".. image:: /{picture}", f"   :alt: {title}", "   :width: 480px", ""] if picture else []
    rows = [
        (rst.text(number), f"{low:.6g}", f"{high:.6g}")
        for number, (low, high) in recipes.expected_intervals(module).items()
    ]
    return [
        *rst.label(f"recipe-{name}"),
        *rst.heading(name, "-"),
        *[rst.text(title), "", *image],
        *[f"**Claim.** {rst.text(header['Claim'])} [{header['Paper']}]", ""],
        *rst.code(header["Command"], "text"),
        *[f"{header['Minutes']} minutes. **Expected.** {rst.text(header['Expected'])}", ""],
        *rst.table(["number", "from", "to"], rows, "60 20 20"),
    ]


def title_of(name: str) -> str:
    """The first line of a recipe's docstring."""
    return (inspect.getdoc(recipes.module(name)) or "").partition("\n")[0]


def picture_of(name: str, docs: Path) -> Path | None:
    """A recipe's picture, relative to docs: gallery/NAME.png, or the first that begins with the figure's number."""
    exact, number = docs / "gallery" / f"{name}.png", name.partition("-")[0]
    begins = sorted((docs / "gallery").glob(f"{number}-*.png")) if number[1:].isdigit() else []
    found = exact if exact.exists() else next(iter(begins), None)
    return found and found.relative_to(docs)


# mixers and observables


def mixers() -> list[str]:
    from spinodal.mixers.registry import ENTRIES

    said = "``spinodal list mixers`` prints the same; ``spinodal train RECIPE KEY=VALUE`` sets an option."
    lines = [*rst.heading("Mixers"), said, ""]
    for each in ENTRIES.values():
        reports = ", ".join((*each.residuals, *each.measures))
        rows = [(f"``{o.name}``", f"``{o.default}``", rst.text(o.meaning)) for o in each.options.values()]
        lines += [*rst.heading(f"{each.kind}={each.name}", "-"), rst.text(each.summary), ""]
        lines += [f"Reports {rst.text(reports)}.", ""] if reports else []
        lines += rst.table(["option", "if not given", "meaning"], rows, "25 25 50")
    return lines


def observables() -> list[str]:
    from spinodal.observables import OBSERVABLES

    said = "Numbers of tokens by name, for ``simulate`` and ``observe --observables`` and for ``observables.measure``."
    rows = [
        (f"``{each.name}``", rst.text(each.label), rst.text(each.reading)) for each in OBSERVABLES.values()
    ]
    head = ["name", "what it is", "what its course tells"]
    return [*rst.heading("Observables"), said, "", *rst.table(head, rows, "20 35 45")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
