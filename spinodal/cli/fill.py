"""fill: the words behind the masks of a text."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from spinodal.cli._defaults import default
from spinodal.cli._options import Run
from spinodal.cli._output import console


def add_to(app: typer.Typer) -> None:
    app.command("fill")(fill_command)


def fill_command(
    run: Run,
    text: Annotated[str, typer.Argument(help='Text with one <mask> or more: "to be or <mask> to be".')],
    top: Annotated[int, typer.Option(help="How many words to show for each mask.")] = default(
        "inference.fillings.top"
    ),
):
    """Fill in masked words: `spinodal fill runs/pet-mlm-seed0 "to be or <mask> to be"`."""
    from spinodal.inference import fillings

    for number, filling in enumerate(fillings(run, text, top=top), start=1):
        table = Table(f"mask {number}", "probability", "text")
        for candidate in filling:
            table.add_row(Text(candidate.token), f"{candidate.probability:.3f}", Text(candidate.text))
        console.print(table)
