"""explore: tokens that move in a browser."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from spinodal.cli._output import console
from spinodal.errors import InputError


def add_to(app: typer.Typer) -> None:
    app.command("explore")(explore_command)


def explore_command(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN|OBSERVATION]", help="A folder of `spinodal simulate` or `observe`, to be played."),
    ] = None,
    out: Annotated[Path, Option(help="The page, an .html file.")] = Path("explorer.html"),
    overwrite: Annotated[bool, Option("--overwrite", help="Write over a page that is there.")] = False,
):  # fmt: skip
    """Write a page in which tokens move: `spinodal explore --out explorer.html`, and open it in a browser.

    One file that loads nothing. It simulates by the steps of `spinodal simulate`, whose command it tells; with a run or
    an observation it opens with that, and the flow can be started from any of its layers.
    """
    from spinodal.explorer import explorer_page, read_recording
    from spinodal.runs import write_text

    if out.is_dir() or (out.exists() and not overwrite):
        why = (
            "is a folder: name a file in it" if out.is_dir() else "is there already: `overwrite` replaces it"
        )
        raise InputError(f"`out` {out} {why}", field=("out", "overwrite"))
    recording = None if run is None else read_recording(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, explorer_page(recording))
    console.print(f"page: {out}", highlight=False, soft_wrap=True)
