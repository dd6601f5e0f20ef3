"""Comparisons: what a run of one is refused for names what the command has."""

import importlib
from pathlib import Path

import pytest

from spinodal.errors import InputError
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
