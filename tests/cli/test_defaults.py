"""No default lives in the command line: each is None, or read from the room that has it, and shown."""

import ast
import dataclasses
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spinodal.cli import app
from spinodal.cli._defaults import default

FILES = sorted((Path(__file__).parents[2] / "spinodal" / "cli").glob("*.py"))


def functions(file: Path) -> list[ast.FunctionDef]:
    return [x for x in ast.walk(ast.parse(file.read_text())) if isinstance(x, ast.FunctionDef)]


def options(function: ast.FunctionDef) -> list[ast.expr]:
    """The defaults of arguments that are options."""
    every = [*function.args.posonlyargs, *function.args.args]
    pairs = zip(reversed(every), reversed(function.args.defaults), strict=False)
    return [value for _, value in pairs]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_option_has_no_default_of_its_own(file: Path):
    """Numbers and texts are neither written as a default nor as a constant that is one."""
    tree = ast.parse(file.read_text())
    literals = {
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    for function in functions(file):
        if function.name.endswith("_command"):
            for value in options(function):
                written = isinstance(value, ast.Constant) and value.value not in (None, False)
                assert not written, (function.name, ast.unparse(value))
                assert not (isinstance(value, ast.Name) and value.id in literals), (function.name, value.id)


def places() -> list[str]:
    """Every place whose default the command line reads, where it is written out."""
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "default"
                and file.stem != "_defaults"
            ):
                found |= {x.value for x in node.args if isinstance(x, ast.Constant)}
    return sorted(found)


def at_run_time(place: str) -> Any:
    """The default as Python has it."""
    names = place.split(".")
    found: Any = importlib.import_module(f"spinodal.{names.pop(0)}")
    for name in names:
        if inspect.ismodule(found):
            module = not hasattr(found, name)
            found = importlib.import_module(f"{found.__name__}.{name}") if module else getattr(found, name)
        elif dataclasses.is_dataclass(found) and isinstance(found, type):
            field = next(x for x in dataclasses.fields(found) if x.name == name)
            made = field.default_factory
            found = field.default if made is dataclasses.MISSING else made()
        elif hasattr(found, "_field_defaults") and isinstance(found, type):
            found = found._field_defaults[name]
        elif inspect.isfunction(found):
            found = inspect.signature(found).parameters[name].default
        else:
            found = getattr(found, name)
    return found


@pytest.mark.parametrize("place", places())
def test_a_default_is_what_the_room_has(place: str):
    assert default(place) == at_run_time(place)


def test_a_default_is_found_through_values_and_constants():
    assert default("flows.Simulation.start.n") == 64
    assert default("meanfield.DensityExperiment.field.beta") == 5.0
    assert default("flows.Diagram.threshold") == 0.999
    assert default("flows.Diagram.d") == (2, 8, 32, 128, 512, 1024)


@pytest.mark.parametrize("place", ["flows.Simulation.field", "flows.Nothing.n", "flows.Simulation.no"])
def test_what_has_no_default_is_not_made_up(place: str):
    with pytest.raises(LookupError):
        default(place)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["simulate"], ["default: 1.0", "default: 1e-08", "[k d]", "[h k d]", "Tokens; 64"]),
        (["phase-diagram"], ["default: 2,8,32,128,512,1024", "default: 0.1:9", "default: 0.999"]),
        (["meanfield"], ["default: 5.0", "diracs if not given", "1e-08 if not given"]),
        (["observe"], ["residual if not given", "0.1 if not given", "256 if not given"]),
        (["graph", "flow"], ["default: sin", "default: 0", "default: 201"]),
        (["translate"], ["default: 0.0"]),
        (["compare"], ["default: 3"]),
    ],
    ids=lambda value: value[0] if len(value) < 3 else "",
)
def test_a_help_page_shows_defaults(command: list[str], shown: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "400")
    page = " ".join(CliRunner().invoke(app, [*command, "--help"], terminal_width=400).output.split())
    for text in shown:
        assert text in page, (text, page)
