"""The room as a register: what `spinodal theory` relies on to list, parse and call its functions."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from spinodal import theory
from spinodal.theory.domain import Counts, Number, Numbers

STATEMENTS = [f for f in map(theory.__dict__.get, theory.__all__) if inspect.isfunction(f)]
KEYS = set(re.findall(r"@\w+\{(\w+),", (Path(__file__).parents[2] / "references.bib").read_text()))


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda f: f.__name__)
def test_sources_are_given_and_exist(statement):
    cited = " ".join(re.findall(r"\[([^\]]*)\]", statement.__doc__))
    assert cited or "inverse of" in statement.__doc__
    assert set(re.findall(r"[a-z]+\d{4}", cited)) <= KEYS


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda f: f.__name__)
def test_numbers_are_enough(statement):
    """Except for the one that takes tokens, every statement is called with numbers, each by name."""
    if statement is theory.metastable_configuration:
        return
    example = {"gamma": 0.5, "rho": 0.3, "alpha": 0.2, "epsilon": 0.01, "beta": 30.0, "n": 4, "d": 3, "k": 2}
    parameters = inspect.signature(statement).parameters
    assert all(p.annotation in (int, float, Number, Numbers, Counts) for p in parameters.values())
    needed = [name for name, p in parameters.items() if p.default is p.empty]
    result = statement(**{name: example.get(name, 1) for name in needed})
    numbers = [r for r in (result if isinstance(result, tuple) else (result,)) if not isinstance(r, str)]
    assert all(np.all(np.isfinite(r)) for r in numbers)
