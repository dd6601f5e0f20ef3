"""Square brackets that a user wrote, or a help text holds, are shown as they stand: no text is taken for markup."""

import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from command import spinodal
from rich.progress import Task

from spinodal import cli
from spinodal.cli import _expected, _output
from spinodal.figures import style
from spinodal.recipes import Judgement

WILD = "[/b] a[i] [bold] [lr=0.1] [n, d] :warning:"


def plain_commands(name: str) -> Iterator[tuple[list[str], Any]]:
    """A command, and those below it, by their words, as its file writes them."""
    app = typer.Typer()
    importlib.import_module(f"spinodal.cli.{cli.FILES[name]}").add_to(app)
    command = typer.main.get_group(app).commands[name]
    yield [name], command
    for below, inner in getattr(command, "commands", {}).items():
        yield [name, below], inner


def together(text: str) -> str:
    """A text without white space and the lines of boxes."""
    return re.sub(r"[\s│]", "", text)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_help_page_holds_every_text_as_it_is_written(monkeypatch, capsys, name: str):
    monkeypatch.setenv("COLUMNS", "4000")
    for words, command in plain_commands(name):
        assert spinodal(monkeypatch, *words, "--help") == 0
        page = together(capsys.readouterr().out)
        for text in (command.help or "", *(one.help for one in command.params if one.help)):
            assert together(inspect.cleandoc(text)) in page


def test_the_list_of_commands_holds_every_first_sentence(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "4000")
    monkeypatch.setattr(cli, "docstring", lambda name: f"{name} takes [k d].")
    assert spinodal(monkeypatch, "--help") == 0
    page = capsys.readouterr().out
    assert all(f"{name} takes [k d]." in page for name in cli.COMMANDS)


def test_an_error_and_a_note_hold_what_was_written(monkeypatch, capsys):
    assert spinodal(monkeypatch, "list", WILD) == 2
    assert f"list {WILD}: one of" in capsys.readouterr().err
    with warnings.catch_warnings():
        monkeypatch.setattr(warnings, "showwarning", cli.say)
        warnings.simplefilter("always")
        warnings.warn(WILD, stacklevel=1)
    assert capsys.readouterr().err == f"note: {WILD}\n"


def test_a_folder_is_named_as_it_was_given(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    command = ["graph", "flow", "--graph", "path:3", "--time", 1]
    assert spinodal(monkeypatch, *command, "--out", "map[lr=0.1]") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "results: map[lr=0.1]"
    assert (tmp_path / "map[lr=0.1]" / "run.json").is_file()


def test_tables_and_rows_of_progress_hold_names_as_they_are(capsys):
    _expected.show_measured({"words": WILD, WILD: 1.0}, [Judgement(WILD, 3.0, (0.0, 1.0))])
    shown = capsys.readouterr().out
    assert shown.count(WILD) == 3
    assert "outside" in shown
    row = Task(0, WILD, 1.0, 0.0, _get_time=lambda: 0.0)  # pyright: ignore[reportArgumentType]
    assert str(_output.text_column().render(row)) == WILD


def test_no_file_takes_a_text_for_markup():
    """A console that prints has no markup, rows of progress are of `text_column`, and only help pages need escaping."""
    for path in Path(cli.__file__).parents[1].rglob("*.py"):
        text, name = path.read_text(encoding="utf-8"), path.name
        assert all("markup=False" in made for made in re.findall(r"\bConsole\([^\n]*", text)), name
        assert "TextColumn(" not in text or path == Path(_output.__file__), name
        assert "rich.markup" not in text or path == Path(cli.__file__), name


def test_a_name_in_a_figure_is_no_formula():
    name = r"$\frac{ and $5"
    with style.rc_context(style.STYLE):
        figure, axes = style.panel(2.0, 1.0)
        axes.set(title=name, xlabel=name, ylabel=name)
    assert style.svg(figure, "names", title="").count(name) >= 3
