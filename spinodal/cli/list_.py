"""list: the recipes."""

import typer
from rich.markup import escape
from rich.table import Table

from spinodal import recipes
from spinodal.cli._output import console


def add_to(app: typer.Typer) -> None:
    app.command("list")(list_command)


def list_command():
    """List the recipes, each with its claim, its command and how long it takes."""
    table = Table("recipe", "claim", "command", "minutes")
    for name in recipes.names():
        header = recipes.header(name)
        table.add_row(name, escape(header["Claim"]), header["Command"].rpartition(" ")[0], header["Minutes"])
    console.print(table)
