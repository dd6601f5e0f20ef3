"""Where commands print: the terminal, or a page wide enough for a table."""

import contextlib
import shlex
import sys
from collections.abc import Iterator

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

console = Console(emoji=False)
if not console.is_terminal:
    console.width = 140


def command_line() -> str:
    """The command that runs, as a record of it keeps it."""
    return shlex.join(["spinodal", *sys.argv[1:]])


@contextlib.contextmanager
def step_bars(resumption: str) -> Iterator[Progress]:
    """A progress display that shows steps, the latest loss and the time that is left; interrupted, how to go on."""
    from transformers.utils import logging

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
