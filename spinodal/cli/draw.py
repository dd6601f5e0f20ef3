"""draw: the figure of a recipe, its numbers beside those that were expected; the pictures of a run."""

import inspect
import time
from pathlib import Path
from typing import Annotated

import typer

from spinodal import recipes
from spinodal.cli._expected import show_measured
from spinodal.cli._options import Columns, Format, Style
from spinodal.cli._output import command_line, console
from spinodal.errors import InputError


def add_to(app: typer.Typer) -> None:
    app.command("draw")(draw_command)


def draw_command(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE|RUN", help="A figure of `spinodal list`, or a run's folder.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the pictures; runs/RECIPE, or RUN/pictures, if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything that is drawn by chance; the figure's own if not given.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, in seconds.")] = False,
    format: Format = None,
    style: Style = None,
    columns: Columns = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Draw again where a figure is.")] = False,
):
    """Draw a figure with the theory in its axes: `spinodal draw f4-histograms --out runs/f4`.

    Writes pictures and run.json, which holds the measured numbers and what was expected of them. Numbers outside their
    interval are marked, and named in a warning. Of a run that is finished it draws all pictures again:
    `spinodal draw runs/wait --format pdf --style paper --columns 1`.
    """
    from spinodal.runs import PICTURES, open_run

    if recipe not in recipes.names() and Path(recipe).exists():
        if seed is not None or quick:
            raise InputError(
                f"{recipe} is a run: `seed` and `quick` are for recipes", field=("seed", "quick")
            )
        draw_run(Path(recipe), out, overwrite=overwrite)
        return
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
    kinds = (*PICTURES, "csv", "gif", "mp4", "npz")
    files = sorted(path.name for kind in kinds for path in out.glob(f"*.{kind}"))
    console.print(f"{out}: {', '.join([*files, 'run.json'])}", highlight=False, soft_wrap=True)


def draw_run(run: Path, out: Path | None, *, overwrite: bool) -> None:
    """Writes all pictures of a finished run, and their numbers where a format, style or width is asked for."""
    from spinodal.figures import current_look, draw, write_picture
    from spinodal.runs import read_run, replacing

    kinds, out = current_look().kinds, out or run / "pictures"
    files = {f"{name}.{kind}": figure for name, figure in draw(read_run(run)).items() for kind in kinds}
    if not overwrite and (taken := [name for name in files if (out / name).exists()]):
        raise InputError(f"{out} holds {taken[0]} already: `overwrite` draws it again", field="overwrite")
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in files.items():
        with replacing(out / name) as place:
            write_picture(figure, place)
    console.print(f"{out}: {', '.join(files)}", highlight=False, soft_wrap=True)
