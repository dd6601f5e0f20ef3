"""Recipes that train: their expectations are those of docs/results.md, and hold in the runs that are short.

`RUN` are trained where slow tests run, the recipe's own model alone. `STATED` says why the others are not.
"""

import re
from pathlib import Path

import pytest

from spinodal import recipes
from spinodal.training import override, train

TRAINED = [
    name for name in recipes.names() if not recipes.header(name)["Command"].startswith("spinodal draw")
]
RUN = {"addressing": {"steps": 400}}
MINUTES = "{} minutes on two cores: docs/results.md has its numbers"
GOAL = "{} minutes on two cores: its expectation is a goal"
STATED = {
    "cmudict": MINUTES.format(60),
    "debian-en-it": f"{GOAL.format(120)}, and its text is on computers with Debian's lists alone",
    "fill-mask": GOAL.format(65),
    "gates": "25 minutes on two cores: its numbers are those of pet-mlm",
    "mixers": MINUTES.format(15),
    "verse": GOAL.format(55),
    "graph-lm": MINUTES.format(20),
    "pet-dense": "3 minutes for one model of 4.5 million parameters",
    "pet-lm": MINUTES.format(15),
    "pet-mlm": MINUTES.format(5),
    "pet-paper": MINUTES.format(40),
    "pet-translate": MINUTES.format(20),
    "recall": MINUTES.format(30),
    "transformer-mlm": "its row is the transformer's of pet-mlm",
}
RESULTS = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
PLUS_MINUS = r"\| *([\w-]+) \|.*?\| (\d\.\d{3}) ± (\d\.\d{3}) \|"


def test_every_training_recipe_is_run_or_stated_with_its_reason():
    assert sorted(RUN.keys() | STATED.keys()) == TRAINED
    assert not RUN.keys() & STATED.keys()


@pytest.mark.parametrize("name", TRAINED)
def test_expectations_name_models_of_the_recipe(name: str):
    module = recipes.module(name)
    compares = recipes.header(name)["Command"].startswith("spinodal compare")
    for key, (low, high) in recipes.expected_intervals(module).items():
        assert low < high
        if compares:
            arm, model, _ = key.split(": ")
            assert arm in ("equal parameters", "equal time")
            assert model in (name, *module.RECIPE.rivals)


@pytest.mark.parametrize("name", ["pet-mlm", "pet-lm", "graph-lm", "mixers", "pet-translate"])
def test_expectations_hold_the_means_of_the_results_and_three_deviations(name: str):
    section = RESULTS.split(f"`spinodal compare {name}", 1)[1].split("\n## ")[0].split("equal time")[0]
    rows = re.findall(PLUS_MINUS, section)
    bounds = recipes.expected_intervals(recipes.module(name))
    assert {f"equal parameters: {model}: held_out_loss" for model, *_ in rows} == bounds.keys()
    for model, mean, deviation in rows:
        low, high = bounds[f"equal parameters: {model}: held_out_loss"]
        centre, width = (low + high) / 2, (high - low) / 2
        assert abs(centre - float(mean)) <= 0.01
        assert 2.5 * float(deviation) <= width <= 4 * float(deviation)


def test_the_demo_says_in_two_sentences_what_may_be_concluded():
    said = recipes.header("pet-mlm")[recipes.CONCLUSION]
    assert len(re.findall(r"\.(?= |$)", said)) == 2
    assert "claim no difference" in said
    assert recipes.header("pet-lm")[recipes.CONCLUSION] == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_short_run_of_the_own_model_is_where_it_is_expected(name: str, tmp_path: Path):
    module = recipes.module(name)
    result = train(override(module.RECIPE.experiment, RUN[name]), tmp_path / "run")
    found = recipes.run_numbers({"metrics": result.metrics, "final": result.final})
    bounds = {
        key.rpartition(": ")[2]: interval
        for key, interval in recipes.expected_intervals(module).items()
        if key.startswith(f"equal parameters: {name}: ")
    }
    judged = [row for row in recipes.compare_with(found, bounds) if row.expected]
    assert judged
    assert [row for row in judged if row.outside] == []


def test_numbers_of_a_comparison_are_means_over_seeds():
    def record(loss: float, accuracy: float) -> dict:
        rows = [{"step": 10, "loss": 3.0, "F": 0.2}, {"step": 20, "loss": 2.0, "F": 0.1 * loss}]
        evaluated = {"step": 20, "held_out_loss": loss}
        return {"metrics": [*rows, evaluated], "final": {"held_out_loss": loss, "accuracy": accuracy}}

    found = recipes.comparison_numbers({"equal parameters": {"own": [record(1.0, 0.5), record(2.0, 1.0)]}})
    assert found["equal parameters: own: held_out_loss"] == 1.5
    assert found["equal parameters: own: accuracy"] == 0.75
    assert found["equal parameters: own: F"] == pytest.approx(0.15)
