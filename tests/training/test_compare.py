"""Comparisons: what a run of one is refused for names what the command has."""

import importlib
from pathlib import Path

import pytest
import torch

from spinodal.errors import InputError, TerminationError
from spinodal.training import Experiment, Label

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

    monkeypatch.setattr(COMPARE, "run_all", end)
    monkeypatch.setattr(COMPARE, "matched_models", lambda name, recipe: {name: recipe.experiment})
    monkeypatch.setattr(COMPARE.os, "cpu_count", lambda: 7)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InterruptedError, match=f"jobs={jobs}$"):
        COMPARE.compare("pet-lm", COMPARE.Recipe(Experiment()), tmp_path / "out", jobs=asked)
