r"""Plain text as reStructuredText, and what of the package is public.

Docstrings are plain text: the first paragraph is an equation if it has a sign of one; indented lines keep their
columns; examples are examples; what is left is running text, of which backquotes alone are markup.
"""

import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterable, Iterator
from types import ModuleType

import spinodal

SPECIAL = re.compile(r"([\\*_|`<>])")
EQUATION = re.compile(r"(^| )(=|<=|>=|<-|->|~) ")


def restructured(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    found: list[str] = []
    for number, block in enumerate(blocks(lines)):
        found += ["", *show(block, first=number == 0), ""]
    return found


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """Paragraphs; lines that are indented after others are a paragraph of their own, but for items of a list."""
    block: list[str] = []
    for line in [*textwrap.dedent("\n".join(lines)).splitlines(), ""]:
        item = bool(block) and block[0].startswith("- ")
        turns = bool(block) and bool(line.strip()) and line[:1].isspace() != block[0][:1].isspace()
        if block and (not line.strip() or (turns and not item)):
            yield block
            block = []
        if line.strip():
            block.append(line)


def show(block: list[str], *, first: bool) -> list[str]:
    """One paragraph as markup."""
    if block[0].startswith(">>>"):
        return block
    if block[0][:1].isspace():
        return literal("\n".join(block))
    if first and EQUATION.search(" ".join(block)):
        return equation("\n".join(block))
    if block[0].startswith("- "):
        return [("- " if line.startswith("- ") else "  ") + text(line[2:]) for line in block]
    return [text(" ".join(line.strip() for line in block))]


def text(plain: str) -> str:
    """Running text, of which `code` alone is markup."""
    parts = re.split(r"`([^`\n]+)`", plain)
    return "".join(
        f"\\ ``{part}``\\ " if k % 2 else SPECIAL.sub(r"\\\1", part) for k, part in enumerate(parts)
    )


def heading(title: str, line: str = "=") -> list[str]:
    return ["", title, line * len(title), ""]


def label(name: str) -> list[str]:
    return ["", f".. _{name}:", ""]


def indented(block: str) -> list[str]:
    return [f"   {line}".rstrip() for line in block.splitlines()]


def literal(block: str) -> list[str]:
    """Lines whose columns are kept."""
    return ["", "::", "", *indented(textwrap.dedent(block)), ""]


def equation(block: str) -> list[str]:
    """Lines whose columns are kept, and whose citations are links."""
    return ["", ".. parsed-literal::", "   :class: equation", "", *indented(SPECIAL.sub(r"\\\1", block)), ""]


def code(block: str, language: str = "python") -> list[str]:
    return ["", f".. code-block:: {language}", "", *indented(block), ""]


def table(head: Iterable[str], rows: Iterable[Iterable[str]], widths: str = "auto") -> list[str]:
    """A table of cells that are markup already; nothing where there are no rows."""
    rows = [list(row) for row in rows]
    if not rows:
        return []
    found = ["", ".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [list(head), *rows]:
        found += [f"   {'*' if k == 0 else ' '} - {cell}".rstrip() for k, cell in enumerate(row)]
    return [*found, ""]


def toctree(names: Iterable[str], *, hidden: bool = False) -> list[str]:
    options = ["   :hidden:"] if hidden else ["   :maxdepth: 1"]
    return ["", ".. toctree::", *options, "", *(f"   {name}" for name in names), ""]


def rooms() -> list[str]:
    """The modules that the package shows, by their full names."""
    return [f"spinodal.{name}" for name in spinodal.__all__ if name != "__version__"]


def public(module: ModuleType) -> list[str]:
    """What a module shows: its face, or what it defines without an underscore."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, value in vars(module).items() if defined_in(module, name, value)]
    below = {found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))}
    return [name for name in names if not (name in below and inspect.ismodule(getattr(module, name)))]


def defined_in(module: ModuleType, name: str, value: object) -> bool:
    own = inspect.isclass(value) or inspect.isroutine(value)
    return not name.startswith("_") and own and getattr(value, "__module__", "") == module.__name__
