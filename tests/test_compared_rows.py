"""tools/results.py: each of its commands is one that `spinodal compare` takes, and has the seconds of each model."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from spinodal import recipes
from spinodal.training import Recipe, override, parse_grid, parse_overrides

PATH = Path(__file__).parents[1] / "tools" / "results.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_is_a_comparison_that_can_be_asked_for(tool: ModuleType):
    assert len(parse_grid([tool.GRID])) == 2
    for name, row in tool.ROWS.items():
        recipe, *words = row.command(name)[2:]
        values = [word for word in words[: words.index("--tune")] if "=" in word]
        plan: Recipe = recipes.module(recipe, "compare").RECIPE
        plan = Recipe(override(plan.experiment, parse_overrides(values)), plan.rivals)
        if "--models" in words:
            plan = plan.with_rivals(words[words.index("--models") + 1].split(","))
        for rival in plan.rivals.values():
            override(plan.experiment, dict(rival) | {"lr": 0.004, "matrix_lr": 0.0016})
        assert len(row.seconds) == 1 + len(plan.rivals), name
        assert 5 < row.minutes < 200
