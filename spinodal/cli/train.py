"""train: one model, from a recipe to a run with its report."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from spinodal import recipes
from spinodal.cli._expected import show_expected
from spinodal.cli._options import Columns, Format, RecipeName, Style, Values
from spinodal.cli._output import command_line, console, draw_report, show_duration, show_report, step_bars


def add_to(app: typer.Typer) -> None:
    app.command("train")(train_command)


def train_command(
    recipe: RecipeName,
    values: Values = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/RECIPE-seedS if not given.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest whole checkpoint.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again where a run is already.")
    ] = False,
    format: Format = None,
    style: Style = None,
    columns: Columns = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what memory training takes, and train nothing.")
    ] = False,
):
    """Train one model: `spinodal train pet-mlm steps=1000 --out runs/mine`.

    Writes run.json, model/ (for the Auto classes of transformers after `import spinodal.models`) and report.html.
    """
    from spinodal.runs import read_run
    from spinodal.training import Label, override, parse_overrides, train, training_run
    from spinodal.training.processes import process_rank

    module = recipes.module(recipe, "train")
    experiment = override(module.RECIPE.experiment, parse_overrides(values or []))
    if estimate:
        show_estimate(experiment)
        return
    seed = experiment.schedule.seed
    out = out or Path("runs") / f"{recipe}-seed{seed}"
    with step_bars(
        "the same command with --resume goes on from the last checkpoint, if there is one", lines=True
    ) as bars:
        train(
            experiment,
            out,
            Label(recipe, recipe, command_line()),
            resume=resume,
            overwrite=overwrite,
            progress=bars.progress(recipe),
            log=bars.log(recipe),
            scoring=bars.scoring(recipe),
            expect=show_duration,
            draw=partial(draw_report, again="the same command with --resume"),
        )
    if process_rank():
        return
    record = dict(read_run(out).record)
    show_report(out, {"": {recipe: [training_run(record)]}})
    if not values and recipes.header(recipe)["Command"].startswith("spinodal train"):
        show_expected(recipes.compare_with(recipes.run_numbers(record), recipes.expected_intervals(module)))


def show_estimate(experiment: Any) -> None:
    """Prints what training takes in each process, and what there is."""
    from spinodal.training import estimate

    found = estimate(experiment)
    console.print(f"parameters: {found.parameters:,}", highlight=False)
    for name in ("weights", "gradients", "moments", "activations", "total", "available"):
        console.print(f"{name}: {getattr(found, name) / 1e9:.3f} GB", highlight=False)
