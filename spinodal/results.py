"""`Result`, the base class of all results: a repr that fits a screen, a table for a notebook, and a picture.

    class Evolution(Result): ...      result            one line a field: shapes and ends of arrays, never their entries
                                      result.plot()     its first picture; figures.draw(result) has all of them

A frozen dataclass that inherits from `Result` says `repr=False`, or it would print its arrays. `plot` imports
`spinodal.figures` when it is called, so that a result that is never drawn loads no matplotlib.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from spinodal.errors import InputError

FEW = 4  # numbers that are shown one by one
WIDTH = 90


class Result:
    """Base class of results: a repr with one line a field, the same as an HTML table, and `plot()`."""

    def __repr__(self) -> str:
        rows = field_rows(self)
        width = max((len(name) for name, _ in rows), default=0)
        own = type(self).__str__ is not object.__str__
        head = f"{type(self).__name__}: {str(self).partition(chr(10))[0]}" if own else type(self).__name__
        return "\n".join([head, *(f"  {name:{width}}  {said}" for name, said in rows)])

    def _repr_html_(self) -> str:
        cells = (f"<tr><td>{name}</td><td>{html.escape(said)}</td></tr>" for name, said in field_rows(self))
        return f"<table><caption>{type(self).__name__}</caption>{''.join(cells)}</table>"

    def plot(self, name: str | None = None) -> Any:
        """The matplotlib Figure of this name, the first of `figures.draw(result)` if none is given.

        InputError for a name that no picture has, and for a result without pictures.
        """
        pictures = import_module("spinodal.figures").draw(self)
        if name is not None and name not in pictures:
            raise InputError(f"`name` {name!r}: the pictures are {', '.join(pictures)}", field="name")
        return pictures[next(iter(pictures)) if name is None else name]


class PlayedResult(Result):
    """Base class of results whose tokens or densities move: a notebook plays them below the table."""

    def _repr_html_(self) -> str:
        return super()._repr_html_() + import_module("spinodal.explorer").player_frame(self)


def field_rows(result: Any) -> list[tuple[str, str]]:
    """[(name, value as one line)] of the fields of a dataclass that are not None and have repr=True."""
    values = ((f.name, getattr(result, f.name)) for f in dataclasses.fields(result) if f.repr)
    return [(name, brief(value)) for name, value in values if value is not None]


def brief(value: object) -> str:
    """A value in a line: numbers as they are, arrays by shape and, where they increase, their ends."""
    if isinstance(value, np.ndarray) and value.size > FEW:
        shape = f"{value.dtype} [{' '.join(map(str, value.shape))}]"
        if value.ndim == 1 and value.dtype.kind in "iuf" and bool((np.diff(value) > 0).all()):
            return f"{shape}, {value[0]:.6g} to {value[-1]:.6g}"
        return shape
    if isinstance(value, np.ndarray):
        return str(value.tolist())
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str | bool | int | np.generic):
        return cut(str(value))
    if isinstance(value, Mapping):
        return cut(", ".join(map(str, value)))
    named = value._asdict() if hasattr(value, "_asdict") else None  # pyright: ignore[reportAttributeAccessIssue]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.repr}
    if named is not None:
        return cut(", ".join(f"{name} {brief(part)}" for name, part in named.items() if part is not None))
    if isinstance(value, list | tuple) and len(value) > FEW:
        return f"{len(value)} of {type(value[0]).__name__}"
    if isinstance(value, list | tuple):
        return cut(f"[{', '.join(map(brief, value))}]")
    return cut(repr(value))


def cut(text: str) -> str:
    """The text on one line, of at most WIDTH characters; a longer one ends in "..."."""
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."
