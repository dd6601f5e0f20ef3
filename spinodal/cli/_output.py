"""Where commands print: the terminal, or a page wide enough for a table."""

import contextlib
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from spinodal.errors import InputError

REPORT = "report.html"
# Of an evaluation: the loss, and what a task says beside it
MEASURED = {
    "held_out_loss": "held-out loss", "perplexity": "perplexity", "bleu": "BLEU", "symbol_error": "wrong symbols",
    "accuracy": "right answers",
}  # fmt: skip
console = Console(emoji=False, markup=False)  # what a user wrote is text: paths, names, words
if not console.is_terminal:
    console.width = 140


@contextlib.contextmanager
def renamed(**options: str) -> Iterator[None]:
    """Fields of a room that a command has under another name, tolerance="tol": its errors then name the option."""
    try:
        yield
    except InputError as error:
        text = str(error)
        for name in error.fields:
            text = text.replace(f"`{name}`", f"`{options.get(name, name)}`")
        raise InputError(text, field=tuple(options.get(name, name) for name in error.fields)) from None


def command_line() -> str:
    """The command that runs, as a record of it keeps it."""
    return shlex.join(["spinodal", *sys.argv[1:]])


def save_figures(folder: Any, figures: Mapping[str, Any]) -> list[str]:
    """Writes figures by their names into the folder of a run, as the options of pictures say; returns the files."""
    from spinodal.figures import current_look, write_picture

    files = {f"{name}.{kind}": figure for name, figure in figures.items() for kind in current_look().kinds}
    for name, figure in files.items():
        with folder.replacing(name) as place:
            write_picture(figure, place)
    return list(files)


class Bars(Progress):
    """A display that begins with its first row: an error before that stands alone."""

    def add_task(self, *arguments: Any, **fields: Any) -> TaskID:
        task = super().add_task(*arguments, **fields)
        self.start()
        return task


def text_column(template: str = "{task.description}") -> TextColumn:
    """A column of progress that shows names as they are."""
    return TextColumn(template, markup=False)


@contextlib.contextmanager
def bars(*columns: Any, transient: bool = False) -> Iterator[Bars]:
    """Rows of progress of these columns, on the standard output; nothing where there is no row."""
    shown = Bars(*columns, console=console, transient=transient)
    try:
        yield shown
    finally:
        if shown.tasks:
            shown.stop()


class StepBars:
    """A bar for each run, which appears once it begins, with its steps and its latest loss.

    With `lines` a line above the bars says what each evaluation found.
    """

    def __init__(self, display: Progress, *, lines: bool = False):
        self.display, self.lines, self.tasks = display, lines, dict[str, TaskID]()

    def progress(self, run: str) -> Callable[[float | int, float | int], None]:
        """What is called with the steps that are done and all steps."""

        def show(done: float | int, total: float | int) -> None:
            if run not in self.tasks:
                self.tasks[run] = self.display.add_task(run, total=total, loss="")
            self.display.update(self.tasks[run], completed=done)

        return show

    def scoring(self, run: str) -> Callable[[float | int, float | int], None]:
        """What is called with the batches of test samples that are scored and all batches."""
        return self.progress(f"{run}, scoring")

    def log(self, run: str) -> Callable[[int, Mapping[str, float]], None]:
        """What is called with a step and what was measured there, for a run whose bar has appeared."""

        def show(step: int, values: Mapping[str, float]) -> None:
            loss = values["loss"] if "loss" in values else values["held_out_loss"]
            self.display.update(self.tasks[run], loss=f"loss {loss:.3f}")
            told = [f"{text} {values[name]:.3f}" for name, text in MEASURED.items() if name in values]
            if self.lines and told:
                self.display.console.print(f"{run}, step {step}: {', '.join(told)}", highlight=False)

        return show


@contextlib.contextmanager
def step_bars(resumption: str, *, lines: bool = False) -> Iterator[StepBars]:
    """A progress display that shows steps, the latest loss and the time that is left; interrupted, how to go on."""
    from transformers.utils import logging

    columns = (
        text_column(), BarColumn(), MofNCompleteColumn(), text_column("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    logging.set_verbosity_error()  # Trainer warns at resuming of a tied matrix that is saved once
    try:
        with bars(*columns) as display:
            yield StepBars(display, lines=lines)
    except KeyboardInterrupt:
        console.print(f"interrupted; {resumption}", soft_wrap=True)
        raise typer.Exit(130) from None


def show_duration(seconds: float) -> None:
    """Prints how long what begins takes, about."""
    told = f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
    console.print(f"about {told} here, if nothing else computes", highlight=False)


@contextlib.contextmanager
def progress_bar(name: str) -> Iterator[Progress]:
    """A bar on the standard error, which goes when the block ends."""
    columns = (text_column(), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, emoji=False, markup=False), transient=True) as bar:
        bar.add_task(name, total=None)
        yield bar


def show_measures(measured: dict[str, Any]) -> None:
    """One line a name."""
    for name, value in measured.items():
        text = f"{value:.10g}" if isinstance(value, float) else f"{value}"
        console.print(f"{name}: {text}", highlight=False)


def print_json(value: Any) -> None:
    """A value as JSON on the standard output; numbers that are not finite as the texts "inf", "-inf" and "nan"."""
    from spinodal.runs import encode

    print(json.dumps(encode(value)[0], allow_nan=False))


def given(**options: Any) -> dict[str, Any]:
    """The options that have a value; of the others the defaults of what they are for hold."""
    return {name: value for name, value in options.items() if value is not None}


@contextlib.contextmanager
def named_bars(verb: str) -> Iterator[Callable[[str, float, float], None]]:
    """A bar for each name, which appears once it is told how much is done, and of how much."""
    tasks: dict[str, TaskID] = {}
    with bars(text_column(), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) as progress:

        def show(name: str, done: float | int, total: float | int):
            if name not in tasks:
                tasks[name] = progress.add_task(f"{verb} {name}", total=total)
            progress.update(tasks[name], completed=done)

        yield show


@contextlib.contextmanager
def flow_bar(end: float) -> Iterator[Callable[[float, float], object]]:
    """Progress of a simulation in the logarithm of time, or, to consensus, of the number of clusters."""
    columns = (
        text_column(),
        BarColumn(),
        text_column("{task.fields[now]}"),
        TimeElapsedColumn(),
    )
    with bars(*columns) as progress:

        def show(done: float | int, total: float | int) -> None:
            if not progress.tasks:
                progress.add_task("simulate", total=1.0, now="")
            if end < math.inf:
                part, now = math.log1p(1000 * done / total) / math.log1p(1000), f"t = {done:.4g}"
            else:
                left = total + 1 - done
                part, now = 1 - math.log(left) / math.log(total + 1), f"{left:.0f} tokens followed"
            progress.update(progress.task_ids[0], completed=part, now=now)

        yield show


@contextlib.contextmanager
def drawing(folder: Any, again: str = "", *, what: str = "pictures") -> Iterator[None]:
    """What draws pictures of a finished run, or its report; SaveError, which says how to have it yet, if it fails."""
    from spinodal.runs import SaveError

    try:
        yield
    except Exception as error:
        raise SaveError(
            f"{folder.path}: the numbers are saved, but their {what} could not be drawn "
            f"({type(error).__name__}: {error})" + (f"; {again} draws it again" if again else "")
        ) from error


def draw_report(folder: Any, arms: dict[str, dict[str, list[Any]]], *, again: str) -> None:
    """Writes report.html and loss.png into the folder of a finished run."""
    from spinodal import figures
    from spinodal.report import page

    runs = next(iter(arms.values()))
    with drawing(folder, again, what="report"):
        folder.write_text(REPORT, page(arms))
        save_figures(folder, {"loss": figures.loss_over_steps(runs, figures.colours(list(runs)))})


def show_report(out: Path, arms: dict[str, dict[str, list[Any]]]):
    """Prints the table of the report, and where that is."""
    from spinodal.report import rich_table

    console.print(rich_table(arms))
    console.print(f"report: {out / REPORT}", highlight=False, soft_wrap=True)
