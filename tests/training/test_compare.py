"""Comparisons: what a run of one is refused for names what the command has."""

import importlib
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from spinodal.errors import InputError, TerminationError
from spinodal.training import Experiment, Label, override

COMPARE = importlib.import_module("spinodal.training.compare")  # its function has the name of the file


def test_an_arm_that_is_refused_names_no_option_that_compare_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def refuse(*given: object, **options: object) -> None:
        raise InputError(
            "a run of another experiment: `overwrite` starts it again, or choose another `out`",
            field=("overwrite", "out"),
        )

    monkeypatch.setattr(COMPARE, "train", refuse)
    task = COMPARE.PlannedRun(Experiment(), tmp_path / "arm", Label("arm", "recipe", ""))
    with pytest.raises(
        InputError, match=r"delete .*arm to train it again, or choose another `out`"
    ) as refused:
        COMPARE.run_task(task, COMPARE.Listeners())
    assert refused.value.fields == ("out",)


def test_an_arm_that_is_terminated_is_gone_on_with_by_the_same_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def end(*given: object, **options: object) -> None:
        raise TerminationError("SIGTERM ended training at step 3 of 9: `resume` goes on from there")

    monkeypatch.setattr(COMPARE, "train", end)
    task = COMPARE.PlannedRun(Experiment(), tmp_path / "arms" / "arm", Label("arm", "recipe", ""))
    with pytest.raises(
        TerminationError, match=r"arms/arm: .*step 3 of 9: the same command goes on from there"
    ):
        COMPARE.run_task(task, COMPARE.Listeners())


def test_a_comparison_is_not_started_by_torchrun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="take torchrun or accelerate launch for single runs"):
        COMPARE.compare("pet-lm", COMPARE.Recipe(Experiment()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("asked", "jobs"), [(0, 7), (3, 3)])
def test_as_many_runs_at_once_as_cores_or_as_asked(
    asked: int, jobs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def end(*given: object, jobs: int, **options: object) -> None:
        raise InterruptedError(f"jobs={jobs}")

    read = SimpleNamespace(digests={})
    monkeypatch.setattr(COMPARE, "run_all", end)
    monkeypatch.setattr(COMPARE, "matched_models", lambda name, recipe: {name: (recipe.experiment, read)})
    monkeypatch.setattr(COMPARE.os, "cpu_count", lambda: 7)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InterruptedError, match=f"jobs={jobs}$"):
        COMPARE.compare("pet-lm", COMPARE.Recipe(Experiment()), tmp_path / "out", jobs=asked)


def test_an_error_of_a_model_names_it_and_keeps_its_fields(monkeypatch: pytest.MonkeyPatch):
    def refuse(experiment: Experiment) -> None:
        raise InputError("`corpus` is empty", field="corpus")

    monkeypatch.setattr(COMPARE, "prepare_data", refuse)
    with pytest.raises(InputError, match="own: `corpus` is empty") as refused:
        COMPARE.matched_models("own", COMPARE.Recipe(Experiment()))
    assert refused.value.fields == ("corpus",)


def test_what_workers_warn_of_is_said_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def compute(function: object, asked: dict, *, hear, **options: object):
        for key, task in asked.items():
            hear(("warning", task.run.name, ("12 parameters learn nothing",)))
            yield key, {"name": task.run.name}

    monkeypatch.setattr(COMPARE.sweep, "compute", compute)
    tasks = [
        COMPARE.PlannedRun(Experiment(), tmp_path / "arm" / name, Label(name, "recipe", "")) for name in "ab"
    ]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        records = COMPARE.run_all(tasks, jobs=2, scheduler=None, listeners=COMPARE.Listeners())
    assert [str(warning.message) for warning in said] == ["12 parameters learn nothing"]
    assert [record["name"] for record in records] == ["arm/a", "arm/b"]


def test_what_is_given_holds_for_rivals_with_rates_of_their_own():
    """But not for the mixers that make them rivals."""
    recipe = COMPARE.Recipe(
        override(Experiment(), {"lr": 0.03, "matrix_lr": 0.006}),
        {"rival": {"mixer": "attention", "matrix_lr": 0.003}},
    )
    given = recipe.with_values({"matrix_lr": 0.001, "mixer": "retention"})
    assert given.experiment.schedule.matrix_lr == 0.001
    assert given.rivals == {"rival": {"mixer": "attention"}}
    muon = recipe.with_values({"optimizer": "muon"})
    assert (muon.experiment.schedule.matrix_lr, muon.rivals["rival"]) == (0.0, {"mixer": "attention"})
    assert recipe.with_values({"lr": 0.01}).rivals == recipe.rivals


@pytest.mark.parametrize(
    "values", [{"optimizer": "sgd"}, {"optimizer": "muon"}, {"optimizer": "adamw-one-rate"}]
)
def test_another_optimizer_has_its_own_rate_of_matrices(values: dict[str, str]):
    own = override(Experiment(), {"matrix_lr": 0.006})
    assert override(own, values).schedule.matrix_lr == 0
    assert override(own, {"optimizer": "adamw"}).schedule.matrix_lr == 0.006
    assert override(own, {"optimizer": "muon", "matrix_lr": 0.02}).schedule.matrix_lr == 0.02
