"""compare: a recipe's model and its rivals, at equal size and at equal time."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from spinodal import recipes
from spinodal.cli._defaults import default
from spinodal.cli._expected import show_expected
from spinodal.cli._options import Columns, Format, RecipeName, Style, Unlimited, Values
from spinodal.cli._output import command_line, console, draw_report, show_duration, show_report, step_bars
from spinodal.limits import require_at_most

SEEDS = 1000  # runs
JOBS = default("training.compare.jobs")


def add_to(app: typer.Typer) -> None:
    app.command("compare")(compare_command)


def compare_command(
    recipe: RecipeName,
    values: Values = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the comparison; runs/compare-RECIPE if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each model, for the spread.")] = default(
        "training.compare.seeds"
    ),
    models: Annotated[
        str | None,
        typer.Option(
            help="Rivals, with commas: those to keep, all if not given, and NAME=package.module:Class of others."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once; 0 is one a core, or one with a GPU.")] = JOBS,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Address of a dask scheduler, tcp://host:8786, whose workers train; they see the same files."
        ),
    ] = None,
    tune: Annotated[
        list[str] | None,
        typer.Option(
            help='Values to choose from by equal trials, KEY=VALUE,VALUE: --tune "lr=.004,.008 matrix_lr=.0008,.0016".'
        ),
    ] = None,
    format: Format = None,
    style: Style = None,
    columns: Columns = None,
    unlimited: Unlimited = False,
):
    """Train a recipe's model and its rivals at equal parameters and at equal time, over seeds.

    KEY=VALUE changes all of them, but for the mixers that make a rival what it is. Finished runs are kept: the same
    command goes on where it stopped.
    """
    from spinodal.report import verdicts
    from spinodal.training import compare, parse_grid, parse_overrides

    require_at_most(SEEDS, seeds, "runs of each model", "seeds")
    require_at_most(SEEDS, jobs, "processes", "jobs")
    module = recipes.module(recipe, "compare")
    plan = module.RECIPE.with_values(parse_overrides(values or []))
    if models:
        plan = plan.with_rivals(models.split(","))
    out, grid = out or Path("runs") / f"compare-{recipe}", parse_grid(tune or [])
    with step_bars("the same command goes on from the last checkpoints") as bars:
        done = compare(
            recipe, plan, out, command=command_line(), seeds=seeds, jobs=jobs, scheduler=scheduler,
            tune=grid, progress=bars.progress, log=bars.log, scoring=bars.scoring, expect=show_duration,
            draw=partial(draw_report, again="the same command"),
        )  # fmt: skip
    show_tuning(done.tuning)
    show_report(out, done.runs)
    for line in filter(None, (*verdicts(done.runs), recipes.header(recipe)[recipes.CONCLUSION])):
        console.print(str(line), highlight=False, soft_wrap=True)
    if (
        not values
        and not models
        and not grid
        and recipes.header(recipe)["Command"].startswith("spinodal compare")
    ):
        show_expected(
            recipes.compare_with(recipes.comparison_numbers(done.arms), recipes.expected_intervals(module))
        )


def show_tuning(tuning: Mapping[str, Any]) -> None:
    """A row a model: the values that it was given, its loss with them in development, and how many trials all had."""
    if not tuning:
        return
    keys = list(next(iter(tuning.values())).chosen)
    table = Table("model", *keys, "loss in development", "trials")
    for model, found in tuning.items():
        loss = next(trial.loss for trial in reversed(found.trials) if trial.values == found.chosen)
        table.add_row(model, *(str(found.chosen[key]) for key in keys), f"{loss:.3f}", str(len(found.trials)))
    console.print(table)
