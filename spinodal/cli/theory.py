"""theory: closed forms by name, as a number or a table."""

import difflib
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from spinodal.cli._closed_forms import chosen, forms
from spinodal.cli._options import Unlimited
from spinodal.cli._output import console
from spinodal.cli._values import number_or_array
from spinodal.errors import InputError
from spinodal.limits import require_at_most

LINES = 10_000  # of a table that is read


def add_to(app: typer.Typer) -> None:
    app.command("theory")(theory_command)


def theory_command(
    name: Annotated[
        str | None, typer.Argument(help="The name of a closed form, or `list`, as if not given: all of them.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="n=32 beta=1,4,9")
    ] = None,
    unlimited: Unlimited = False,
):
    """Evaluate a closed form: `spinodal theory gamma_time_sa gamma=0.999 n=32 beta=1,5,9`.

    `spinodal theory` alone lists them all, each with its equation; several values, with commas, make a table.
    """
    if name in (None, "list"):
        table = Table("name", "values", "equation")
        for known, function in forms().items():
            signature = ", ".join(inspect.signature(function).parameters)
            table.add_row(known, signature, (inspect.getdoc(function) or "").partition("\n")[0])
        console.print(table)
        return
    function = chosen(name)
    given = {key: number_or_array(key, text) for key, text in map(split, values or [])}
    expected = inspect.signature(function).parameters
    missing = [key for key, p in expected.items() if p.default is p.empty and key not in given]
    wrong = [unknown_key(key, missing or list(expected)) for key in given if key not in expected]
    if wrong := wrong + ([f"missing: {', '.join(missing)}"] if missing else []):
        raise InputError(f"{name} takes {', '.join(expected)}; {'; '.join(wrong)}")
    show(name, given, computed(name, function, given))


def unknown_key(key: str, known: list[str]) -> str:
    """That a key is unknown, and which of the known ones may be meant."""
    near = difflib.get_close_matches(key, known, n=1)
    return f"{key} is unknown{f' (did you mean {near[0]}?)' if near else ''}"


def split(argument: str) -> tuple[str, str]:
    key, equals, text = argument.partition("=")
    if not equals:
        raise InputError(f"{argument!r} is not of the form key=value")
    return key, text


def computed(name: str, function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """The result; InputError where values do not go together, or leave what can be computed."""
    several = {key: len(value) for key, value in given.items() if np.ndim(value) == 1}
    if len(set(several.values())) > 1:
        told = ", ".join(f"{count} of {key}" for key, count in several.items())
        raise InputError(f"{name} was given {told}: give as many of each, or one")
    try:
        return function(**given)
    except InputError:
        raise
    except TypeError as error:
        if not several:
            raise
        raise InputError(f"{name} takes one value at a time of {' or '.join(several)} ({error})") from None
    except (ArithmeticError, ValueError, MemoryError) as error:
        raise InputError(f"{name} cannot be computed from these values ({error})") from None


def show(name: str, given: dict[str, Any], result: Any):
    """A line a number; a table where values vary; name and value where the result has several parts."""
    if hasattr(result, "_asdict"):
        for key, value in result._asdict().items():
            console.print(f"{key}: {value}", highlight=False)
    elif np.ndim(result) == 0:
        console.print(f"{float(result):.15g}", highlight=False)
    else:
        varied = {
            key: value for key, value in given.items() if np.ndim(value) == 1 and len(value) == len(result)
        }
        require_at_most(LINES, len(result), "lines of a table")
        table = Table(*varied, name)
        for row in zip(*varied.values(), np.asarray(result).tolist(), strict=True):
            table.add_row(*(f"{value:.15g}" if np.ndim(value) == 0 else str(value) for value in row))
        console.print(table)
