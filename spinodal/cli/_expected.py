"""Measured numbers beside the intervals that a recipe expects of them."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from spinodal.cli._output import console
from spinodal.recipes import Judgement


def show_measured(measured: Mapping[str, Any], judged: list[Judgement]) -> None:
    """A table of what was measured, each number beside its interval, and a warning of those outside."""
    table = Table("measured", "value", "expected", "")
    for name, value in measured.items():
        if isinstance(value, str | list):
            table.add_row(name, str(value), "", "")
    for row in judged:
        table.add_row(*cells(row))
    console.print(table)
    show_warnings(judged)


def show_expected(judged: list[Judgement]) -> None:
    """A table of the numbers of which something was expected, and a warning of those outside."""
    table = Table("measured", "value", "expected", "")
    for row in judged:
        if row.expected is not None:
            table.add_row(*cells(row))
    console.print(table)
    show_warnings(judged)


def cells(row: Judgement) -> tuple[str, str, str, str | Text]:
    """A row of a table: name, value, interval, and "outside" where it is."""
    bounds = "" if row.expected is None else interval(*row.expected)
    return row.name, number(row.value), bounds, Text("outside", style="red") if row.outside else ""


def show_warnings(judged: list[Judgement]) -> None:
    """A line for every number outside its interval; the command still ends well."""
    for row in judged:
        if row.outside and row.expected is not None:
            text = f"warning: {row.name} is {number(row.value)}, outside what is expected, {interval(*row.expected)}"
            console.print(text, style="red", highlight=False, soft_wrap=True)


def number(value: float | None) -> str:
    """A number to six digits."""
    return "not measured" if value is None else f"{value:.6g}"


def interval(low: float, high: float) -> str:
    """An interval in words: "2", "at least 1", "0 to 1e-12"."""
    if low == high:
        return f"{low:g}"
    if math.isinf(high):
        return f"at least {low:.9g}"
    if math.isinf(low):
        return f"at most {high:.9g}"
    return f"{low:.9g} to {high:.9g}"
