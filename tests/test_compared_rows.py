"""tools/results.py: commands that `spinodal compare` takes, with the seconds of each model, and tables."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from example_runs import record

from spinodal import recipes
from spinodal.training import Comparison, Recipe, Tuning, override, parse_grid, parse_overrides

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
    assert tool.ROWS["verse"].command("verse")[3:7] == ["--tune", "lr=.004,.008,.016,.032", "--seeds", "3"]
    for name, row in tool.ROWS.items():
        recipe, *words = row.command(name)[2:]
        values = [word for word in words[: words.index("--tune")] if "=" in word]
        plan: Recipe = recipes.module(recipe, "compare").RECIPE
        plan = Recipe(override(plan.experiment, parse_overrides(values)), plan.rivals)
        if "--models" in words:
            plan = plan.with_rivals(words[words.index("--models") + 1].split(","))
        for rival in plan.rivals.values():
            override(plan.experiment, dict(rival) | dict.fromkeys(parse_grid([row.grid]), 0.004))
        assert len(row.seconds) == 1 + len(plan.rivals), name
        assert 5 < row.minutes < 200


def test_a_table_has_rates_losses_and_paired_differences(tool: ModuleType, monkeypatch: pytest.MonkeyPatch):
    """The recipe's own model comes first in each arm, whichever was the slowest."""

    def runs(model: str, *finals: float) -> list[dict]:
        return [record(model, seed, final=final - 4 / 11) for seed, final in enumerate(finals)]

    pet, other = runs("pet", 3.0, 3.1, 3.2), runs("other", 3.1, 3.21, 3.29)
    arms = {
        "equal parameters": {"pet": pet, "other": other},
        "equal time": {"other": other, "pet": runs("pet", 3.0, 3.3, 3.35)},
    }
    rates = Tuning({"lr": 0.032, "matrix_lr": 0.0032}, [])
    monkeypatch.setattr(tool, "read", lambda folder: Comparison(arms, {"pet": rates, "other": rates}))
    _, _, *rows = tool.markdown("any").splitlines()
    assert [row.split(" | ")[:4] for row in rows] == [
        ["| equal parameters", "pet", "0.032", "0.0032"],
        ["| ", "other", "0.032", "0.0032"],
        ["| equal time", "pet", "0.032", "0.0032"],
        ["| ", "other", "0.032", "0.0032"],
    ]
    assert rows[0].endswith("| 350,123 | 100 | 10.0 ± 0.0 | 3.100 ± 0.100 |  |")
    assert rows[1].endswith("| 3.200 ± 0.095 | -0.100 ± 0.006, pet better |")
    assert rows[3].endswith("| +0.017 ± 0.059, not told apart |")
