"""Recipes: one claim a file, with the paper, the command, the minutes and the numbers to expect.

A recipe trains, and holds a `RECIPE`, or draws a figure, and has a function
    draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict
that writes pictures into `out` and returns what it measured; `quick` is small enough for a test.
"""

import ast
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

from spinodal.errors import InputError

FIELDS = ("Claim", "Paper", "Command", "Minutes", "Expected")
HOLDS = {"train": "RECIPE", "compare": "RECIPE", "draw": "draw"}  # command -> what it takes from a recipe


def header(name: str) -> dict[str, str]:
    """{"Claim": ..., "Paper": ..., ...} from a recipe's docstring, without running it; KeyError for a field missing."""
    path = Path(__path__[0]) / f"{name.replace('-', '_')}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = dict(re.findall(r"^(\w+): +(.*(?:\n +.*)*)", docstring, flags=re.MULTILINE))
    return {field: " ".join(found[field].split()) for field in FIELDS}


def names() -> list[str]:
    """Every recipe by its name on the command line: pet-mlm is recipes/pet_mlm.py."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def module(name: str, command: str | None = None) -> ModuleType:
    """The module of a recipe; InputError for an unknown one, or one that is not for this command of HOLDS."""
    if name not in names():
        raise InputError(f"unknown recipe {name!r}; `spinodal list` shows {', '.join(names())}")
    found = importlib.import_module(f"spinodal.recipes.{name.replace('-', '_')}")
    if command is not None and not hasattr(found, HOLDS[command]):
        raise InputError(f"{name} is not for `spinodal {command}`: its command is {header(name)['Command']}")
    return found
