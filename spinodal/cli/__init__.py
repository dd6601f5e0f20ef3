"""The command line: thin commands over the rooms; errors are sentences, not tracebacks.

A command's file is loaded when the command runs or its own help is asked for: `spinodal --help` reads docstrings only.
To add a command NAME: a file NAME.py here with a function NAME_command, or a `typer.Typer` of sub-commands, and
`add_to(app)`, which adds it. Files whose names begin with an underscore are no commands but help them.
"""

import ast
import importlib
import itertools
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from spinodal.errors import ConvergenceError, InputError, ScoringError, TerminationError

FOLDER = Path(__file__).parent
FIRST = (  # on the help page; the others follow by their names
    "train", "compare", "list", "fetch", "fill", "generate", "translate", "theory", "draw", "observe", "models",
    "shorten", "phase-diagram", "simulate", "meanfield", "spectrum", "graph",
)  # fmt: skip
FILES = {  # phase-diagram: phase_diagram.py; list: list_.py, as Python has a list of its own
    file.stem.rstrip("_").replace("_", "-"): file.stem
    for file in sorted(FOLDER.glob("*.py"))
    if not file.stem.startswith("_")
}
COMMANDS = (*(name for name in FIRST if name in FILES), *(name for name in FILES if name not in FIRST))


def docstring(name: str) -> str:
    """What a command says of itself, read without running its file: of its function, or of its file for a group."""
    tree = ast.parse((FOLDER / f"{FILES[name]}.py").read_text(encoding="utf-8"))
    function = f"{name.replace('-', '_')}_command"
    told = next((x for x in tree.body if isinstance(x, ast.FunctionDef) and x.name == function), tree)
    return ast.get_docstring(told) or ""


class Commands(TyperGroup):
    """The commands of COMMANDS: listed by their docstrings, loaded one at a time."""

    def __init__(self, **attributes):
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name) for name in COMMANDS}

    def list_commands(self, ctx) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx, cmd_name: str):
        """The command with its docstring and no options, for lists."""
        return TyperCommand(cmd_name, help=escape(docstring(cmd_name))) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx, args: list[str]):
        """The command itself, for running it and for its own help."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else self.loaded(name), rest

    @staticmethod
    def loaded(name: str):
        """The command with its options; its file is imported."""
        file = typer.Typer(no_args_is_help=True)
        module = importlib.import_module(f"spinodal.cli.{FILES[name]}")
        if not hasattr(module, "add_to"):
            raise InputError(
                f"spinodal/cli/{FILES[name]}.py has no add_to(app): a command's file adds itself to the app that it is "
                f'given, by app.command("{name}")(function)'
            )
        module.add_to(file)
        command = typer.main.get_group(file).commands[name]
        keep_brackets(command)
        return command


def keep_brackets(command: Any) -> None:
    """Escapes the square brackets of help texts, of which typer prints none that it takes for markup: [n d]."""
    for one in (command, *command.params):
        if one.help:
            one.help = escape(one.help)
    for below in getattr(command, "commands", {}).values():
        keep_brackets(below)


app = typer.Typer(
    cls=Commands,
    help="Tokens as a physical system: build, simulate and watch Transformers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(asked: bool) -> None:
    """Prints the version and ends."""
    if asked:
        from spinodal.version import __version__

        print(f"spinodal {__version__}")
        raise typer.Exit


@app.callback()  # a group, although it holds no command before one is asked for
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None: ...


console = Console(stderr=True, emoji=False, markup=False)  # what a user wrote is text


def is_main_process() -> bool:
    """Whether this process, of those that torchrun or accelerate started, is the one that speaks."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def say(message: Warning | str, category: type, filename: str, lineno: int, file=None, line=None):
    if is_main_process():
        console.print(Text("note:", style="yellow"), str(message), highlight=False, soft_wrap=True)


def shown(error: Exception) -> str:
    """The message, each argument that it names in backquotes as its option."""
    text = str(error)
    for name in getattr(error, "fields", ()):
        text = text.replace(f"`{name}`", "--" + name.replace("_", "-"))
    return text


def refuse_other_encodings(arguments: list[str]) -> None:
    """InputError for an argument whose bytes are no UTF-8: Python makes lone surrogates of them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the argument {argument!a} is not UTF-8 text: its character {error.start + 1} is byte "
                f"{ord(argument[error.start]) & 0xFF:#04x}"
            ) from None


def refuse_empty_folder(arguments: list[str]) -> None:
    """InputError for --out "": as a path that is the folder in which the command runs."""
    if "--out=" in arguments or ("--out", "") in itertools.pairwise(arguments):
        raise InputError(
            "`out` is empty: it takes a folder, such as runs/name, or . for this one", field="out"
        )


def interrupted(error: BaseException | None) -> bool:
    """Whether ctrl-C is what an error comes from: some modules, interrupted while they load, raise another."""
    return error is not None and (
        isinstance(error, KeyboardInterrupt) or interrupted(error.__cause__ or error.__context__)
    )


def main() -> None:
    """Runs a command; exit status 2 for wrong input, 1 for failed work, 130 when interrupted, 143 after SIGTERM."""
    warnings.showwarning = say
    os.environ.setdefault(
        "HF_HUB_DISABLE_PROGRESS_BARS", "1"
    )  # read by transformers, where a command loads it
    try:
        refuse_other_encodings(sys.argv[1:])
        refuse_empty_folder(sys.argv[1:])
        app()
    except (KeyboardInterrupt, ImportError) as error:
        if interrupted(error):
            sys.exit(130)
        raise
    except InputError as error:
        if is_main_process():  # all processes of a run raise it
            console.print(Text("error:", style="red"), shown(error), highlight=False, soft_wrap=True)
        sys.exit(2)
    except TerminationError as error:
        if is_main_process():
            console.print(Text("stopped:", style="yellow"), shown(error), highlight=False, soft_wrap=True)
        sys.exit(128 + signal.SIGTERM)
    except (ConvergenceError, FloatingPointError, OSError, ScoringError) as error:
        console.print(Text("failed:", style="red"), shown(error), highlight=False, soft_wrap=True)
        sys.exit(1)
