"""list: the recipes, the observables, or the mixers."""

from typing import Annotated

import typer
from rich.table import Table

from spinodal.cli._output import console
from spinodal.errors import InputError


def add_to(app: typer.Typer) -> None:
    app.command("list")(list_command)


def list_command(
    what: Annotated[str | None, typer.Argument(help="recipes (if not given), observables or mixers.")] = None,
):
    """List the recipes, each with its claim, its command and how long it takes; or the observables, or the mixers.

    `spinodal list observables` names the numbers that `simulate --observables` and `observe --observables` take;
    `spinodal list mixers` the mixers of a model, each with the options that it reads and what it reports.
    """
    what = what or next(iter(TABLES))
    if what not in TABLES:
        raise InputError(f"list {what}: one of {', '.join(TABLES)}")
    console.print(TABLES[what]())


def recipe_table() -> Table:
    from spinodal import recipes

    table = Table("recipe", "claim", "command", "minutes")
    for name in recipes.names():
        header = recipes.header(name)
        table.add_row(name, header["Claim"], header["Command"].rpartition(" ")[0], header["Minutes"])
    return table


def observable_table() -> Table:
    from spinodal.observables import OBSERVABLES

    table = Table("observable", "what it is", "what its course tells")
    for name, entry in OBSERVABLES.items():
        table.add_row(name, entry.label, entry.reading)
    return table


def mixer_table() -> Table:
    from spinodal.mixers.registry import ENTRIES

    table = Table("mixer", "what it is", "options", "reports")
    for entry in ENTRIES.values():
        options = [f"{o.name}={o.default}: {o.meaning}" for o in entry.options.values()]
        reports = ", ".join((*entry.residuals, *entry.measures))
        table.add_row(f"{entry.kind}={entry.name}", entry.summary, "\n".join(options), reports)
    return table


TABLES = {"recipes": recipe_table, "observables": observable_table, "mixers": mixer_table}
