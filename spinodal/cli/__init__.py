"""The command line: thin commands over the rooms, one file a room; errors are sentences, not tracebacks."""

import sys
import warnings

import typer
from rich.console import Console
from rich.markup import escape
from transformers.utils import logging

from spinodal.cli import graph, meanfield, observe, particles, recipes, sweeps, text, theory, training
from spinodal.errors import ConvergenceError, InputError, ScoringError

app = typer.Typer(
    help="Tokens as a physical system: build, simulate and watch Transformers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
training.add_to(app)
text.add_to(app)
theory.add_to(app)
recipes.add_to(app)
observe.add_to(app)
sweeps.add_to(app)
graph.add_to(app)
particles.add_to(app)
meanfield.add_to(app)

console = Console(stderr=True, emoji=False)


def say(message: Warning | str, category: type, filename: str, lineno: int, file=None, line=None):
    console.print(f"[yellow]note:[/] {escape(str(message))}", highlight=False)


def shown(error: Exception) -> str:
    """The message, each argument that it names in backquotes as its option."""
    text = str(error)
    for name in getattr(error, "fields", ()):
        text = text.replace(f"`{name}`", "--" + name.replace("_", "-"))
    return text


def main() -> None:
    """Runs a command; exit status 2 for wrong input, 1 for work that failed; 130 when interrupted is typer's."""
    warnings.showwarning = say
    logging.disable_progress_bar()
    try:
        app()
    except InputError as error:
        console.print("[red]error:[/]", escape(shown(error)), highlight=False, soft_wrap=True)
        sys.exit(2)
    except (ConvergenceError, FloatingPointError, OSError, ScoringError) as error:
        console.print("[red]failed:[/]", escape(shown(error)), highlight=False, soft_wrap=True)
        sys.exit(1)
