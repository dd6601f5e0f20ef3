"""draw: the figure of a recipe, its numbers beside those that were expected."""

import inspect
import time
from pathlib import Path
from typing import Annotated

import typer

from spinodal import recipes
from spinodal.cli._expected import show_measured
from spinodal.cli._output import command_line, console
from spinodal.errors import InputError


def add_to(app: typer.Typer) -> None:
    app.command("draw")(draw_command)


def draw_command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A figure of `spinodal list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; runs/RECIPE if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything that is drawn by chance; the figure's own if not given.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, in seconds.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Draw again where a figure is.")] = False,
):
    """Draw a figure with the theory in its axes: `spinodal draw f4-histograms --out runs/f4`.

    Writes pictures and run.json, which holds the measured numbers and what was expected of them. Numbers outside their
    interval are marked, and named in a warning.
    """
    from spinodal.runs import open_run

    module, header = recipes.module(recipe, "draw"), recipes.header(recipe)
    out = out or Path("runs") / recipe
    seed = int(inspect.signature(module.draw).parameters["seed"].default) if seed is None else seed
    if seed < 0:
        raise InputError(f"`seed` {seed}: must be 0 or more", field="seed")
    label = {
        "recipe": recipe,
        "paper": header["Paper"],
        "expected": header["Expected"],
        "command": command_line(),
    }
    config, started = {"quick": quick, "seed": seed}, time.perf_counter()
    with open_run(
        out, kind="draw", config=config, seed=seed, label=label, resume=not overwrite, overwrite=overwrite
    ) as folder:
        if folder.previous and folder.previous.finished:
            raise InputError(
                f"{out} holds this figure already: `overwrite` draws it again, `out` takes another folder",
                field=("overwrite", "out"),
            )
        takes = "its small version" if quick else f"about {header['Minutes']} minutes on two cores"
        console.print(f"{header['Claim']}; {takes}", highlight=False)
        try:
            folder.begin()
            with console.status("drawing"):
                measured = module.draw(out, seed=seed, quick=quick)
        except KeyboardInterrupt:
            console.print(
                f"interrupted; what {out / 'cells'} holds, if anything, the same command does not do again",
                soft_wrap=True,
            )
            raise typer.Exit(130) from None
        judged = recipes.compare_with(measured, recipes.expected_intervals(module, quick=quick))
        outside = [row.name for row in judged if row.outside]
        seconds = time.perf_counter() - started
        folder.finish({"measured": measured, "outside": outside, "seconds": seconds})
    show_measured(measured, judged)
    console.print(f"expected: {header['Expected']}", highlight=False)
    files = sorted(
        path.name for kind in ("png", "svg", "gif", "mp4", "npz") for path in out.glob(f"*.{kind}")
    )
    console.print(f"{out}: {', '.join([*files, 'run.json'])}", highlight=False, soft_wrap=True)
