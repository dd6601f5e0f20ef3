"""Recipes: one claim a file, with the paper, the command, the minutes and the numbers to expect.

A recipe trains, and holds a `RECIPE`, or draws a figure, and has a function
    draw(out: Path, *, seed: int = 0, quick: bool = False) -> dict
that writes pictures into `out` and returns what it measured; `quick` is small enough for a test. Both hold
    EXPECTED = {name: (low, high)}
of what the command measures at its defaults, ends included; `EXPECTED_QUICK` stands for the quick form of a figure
where its numbers are others. Names of nested measurements are joined, "trained, layer 48: mean cosine"; those of a
single run are of its record, "held_out_loss" or "F"; of a comparison they are means over seeds, "ARM: MODEL: F".

A recipe of a paper whose results came after the library's sources is called pK-NAME and holds a `PAPER` too: what of it
was read, and the numbers that its command found, with their errors. `spinodal list papers` shows them.
"""

import ast
import difflib
import importlib
import math
import pkgutil
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from spinodal.errors import InputError

FIELDS = ("Claim", "Paper", "Command", "Minutes", "Expected")
CONCLUSION = "Conclusion"  # a field that some recipes have: what a reader may conclude from their numbers
HOLDS = {"train": "RECIPE", "compare": "RECIPE", "draw": "draw"}  # command -> what it takes from a recipe


def header(name: str) -> dict[str, str]:
    """{"Claim": ..., "Paper": ..., ...} from a recipe's docstring, without running it; KeyError for a field missing.

    `CONCLUSION` is "" where there is none.
    """
    file = f"{name.replace('-', '_')}.py"
    path = next(place / file for place in map(Path, __path__) if (place / file).is_file())
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = dict(re.findall(r"^(\w+): +(.*(?:\n +.*)*)", docstring, flags=re.MULTILINE))
    return {field: " ".join(found[field].split()) for field in FIELDS} | {
        CONCLUSION: " ".join(found.get(CONCLUSION, "").split())
    }


def names() -> list[str]:
    """Every recipe by its name on the command line: pet-mlm is recipes/pet_mlm.py."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def module(name: str, command: str | None = None) -> ModuleType:
    """The module of a recipe; InputError for an unknown one, or one that is not for this command of HOLDS."""
    if name not in names():
        near = difflib.get_close_matches(name.lower().replace("_", "-"), names(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"unknown recipe {name!r}{hint}; `spinodal list` shows {', '.join(names())}")
    found = importlib.import_module(f"spinodal.recipes.{name.replace('-', '_')}")
    if command is not None and not hasattr(found, HOLDS[command]):
        raise InputError(f"{name} is not for `spinodal {command}`: its command is {header(name)['Command']}")
    return found


class Paper(NamedTuple):
    """The paper of a recipe, and the numbers that the recipe's command found: {name: (value, standard error)}.

    `arxiv` are the numbers of the papers that make the claim, `read` is what of them was read, and `differs` says where
    a claim or a figure of theirs is not what was found. The error is None where no chance enters.
    """

    arxiv: tuple[str, ...]
    read: str
    found: Mapping[str, tuple[float, float | None]]
    date: str
    seed: int = 0
    differs: str = ""


def paper_names() -> list[str]:
    """The recipes that hold a `PAPER`, in the order of their numbers."""
    found = {name: re.match(r"p(\d+)-", name) for name in names()}
    return sorted(
        (name for name, number in found.items() if number), key=lambda name: int(name[1 : name.index("-")])
    )


def estimate(name: str, samples: Iterable[float]) -> dict[str, float]:
    """{name: mean, "name ±": deviation over samples / sqrt(s)}: what a recipe returns of a number with an error."""
    values = [float(value) for value in samples]
    error = statistics.stdev(values) / math.sqrt(len(values))
    return {name: statistics.fmean(values), f"{name} ±": error}


def share(name: str, hits: int, trials: int) -> dict[str, float]:
    """{name: hits / trials, "name ±": (p (1 - p) / (trials + 3))^(1/2)}, p = (hits + 1) / (trials + 2)  (Laplace).

    The error is the deviation of the share given the trials, and is above 0 where all of them hit.
    """
    p = (hits + 1) / (trials + 2)
    return {name: hits / trials, f"{name} ±": math.sqrt(p * (1 - p) / (trials + 3))}


class Judgement(NamedTuple):
    """A measured number beside the interval that was expected of it; None where one of the two is missing."""

    name: str
    value: float | None
    expected: tuple[float, float] | None

    @property
    def outside(self) -> bool:
        """Whether the number is not in its interval, or was expected and not measured."""
        if self.expected is None:
            return False
        low, high = self.expected
        return self.value is None or not low <= self.value <= high


def expected_intervals(found: ModuleType, *, quick: bool = False) -> dict[str, tuple[float, float]]:
    """{name: (low, high)} of what a recipe measures, of its quick form where that is asked for."""
    bounds = getattr(found, "EXPECTED_QUICK", found.EXPECTED) if quick else found.EXPECTED
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def compare_with(measured: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]]) -> list[Judgement]:
    """Every measured number, then every expected one that was not measured."""
    values = dict(numbers(measured))
    rows = [Judgement(name, value, bounds.get(name)) for name, value in values.items()]
    return rows + [Judgement(name, None, bounds[name]) for name in bounds if name not in values]


def numbers(measured: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """(name, number) of all that is a number, the names of nested ones joined by colons."""
    for name, value in measured.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{path}{name}: ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{path}{name}", float(value)


def run_numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The last residuals and measures of a training run, and its held-out loss and scores."""
    rows = [row for row in record["metrics"] if "loss" in row]
    return dict(numbers({**rows[-1], **record["final"]}))


def comparison_numbers(arms: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> dict[str, float]:
    """{"ARM: MODEL: NAME": mean over seeds} of `run_numbers` of a comparison's records."""
    found = {}
    for arm, models in arms.items():
        for model, records in models.items():
            runs = [run_numbers(record) for record in records]
            for name in runs[0]:
                found[f"{arm}: {model}: {name}"] = sum(run[name] for run in runs) / len(runs)
    return found
