"""runs: what lies in a folder of runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from spinodal.cli._output import console


def add_to(app: typer.Typer) -> None:
    app.command("runs")(runs_command)


def runs_command(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or one with runs below it.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every checksum: of files, checkpoints and cells.")
    ] = False,
):
    """List runs: finished or not, whole or damaged, last step, loss, and how to go on: `spinodal runs runs --verify`.

    Nothing is written. Without --verify files need only be there. The exit status is 1 where a run is damaged.
    """
    from spinodal.runs import survey

    found = survey(folder, verify=verify)
    table = Table("run", "kind", "state", "step", "loss", "notes")
    for run in found:
        state = f"{run.state}, verified" if verify and run.state == "finished" else run.state
        step, loss = ("" if value is None else f"{value:.6g}" for value in (run.step, run.loss))
        table.add_row(Text(str(run.path)), run.kind, state, step, loss, Text("; ".join(run.notes)))
    console.print(table)
    if any(run.state == "damaged" for run in found):
        raise typer.Exit(1)
