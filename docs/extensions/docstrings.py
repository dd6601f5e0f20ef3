"""Docstrings as they are written, fields of dataclasses with their comments, classes where their room shows them."""

import ast
import dataclasses
import importlib
import inspect
import textwrap
from typing import Any

import rst
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """For autodoc: the docstring, and the fields of a dataclass that has comments."""
    if what == "class" and dataclasses.is_dataclass(obj) and "\n".join(lines).startswith(f"{obj.__name__}("):
        lines.clear()  # what `dataclass` writes for a class without a docstring
    lines[:] = rst.restructured(lines)
    if what == "class" and (fields := field_lines(obj)):
        lines += rst.code(fields)


def readable(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, result: str | None
) -> Any:
    """A signature that is Python: of a field that a function makes, `<factory>` is not."""
    return (signature.replace("<factory>", "..."), result) if signature else None


def field_lines(kind: Any) -> str:
    """The fields of a dataclass as its source has them, if one has a comment."""
    if not dataclasses.is_dataclass(kind):
        return ""
    try:
        lines = textwrap.dedent(inspect.getsource(kind)).splitlines()  # type: ignore[arg-type]
    except (OSError, TypeError):
        return ""
    found: list[str] = []
    last = 0
    for field in ast.parse("\n".join(lines)).body[0].body:  # type: ignore[attr-defined]
        if isinstance(field, ast.AnnAssign):
            above = field.lineno - 1
            while above > last and lines[above - 1].strip().startswith("#"):
                above -= 1
            found += lines[above : field.end_lineno]
        last = field.end_lineno or field.lineno
    return textwrap.dedent("\n".join(found)) if any("#" in line for line in found) else ""


def public_names(app: Sphinx) -> None:
    """Where a class is shown: {"spinodal.flows.fields.composed.AttentionField": "spinodal.flows.AttentionField"}."""
    names: dict[str, str] = {}
    for room in rst.rooms():
        module = importlib.import_module(room)
        for name in rst.public(module):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isroutine(value):
                names.setdefault(f"{value.__module__}.{value.__qualname__}", f"{room}.{name}")
    app.config.spinodal_names = names


def find_public(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, text: nodes.Element) -> Any:
    """A class that is named by its file leads to where its room shows it; what is not public stays text."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("spinodal."):
        return None
    public = app.config.spinodal_names.get(target)
    if public is None:
        return text
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("spinodal_names", {}, "", dict)
    app.connect("builder-inited", public_names)
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", readable)
    app.connect("missing-reference", find_public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
