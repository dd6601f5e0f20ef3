"""Numbers that are not finite end a run before they are saved, and their module is named; or the step is skipped."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_resume import LABEL, history, small, write_words
from torch import Tensor

from spinodal.errors import InputError
from spinodal.runs import close_checkpoint, newest_checkpoint, read_run
from spinodal.runs.checkpoints import MANIFEST
from spinodal.training import Experiment, override, train
from spinodal.training.finite import nonfinite_weights
from spinodal.training.trainer import PhysicsTrainer

BAD = "model.blocks.0.mixer"  # where the gradient is made infinite


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    corpus = write_words(tmp_path / "corpus.txt")
    return override(small(corpus), {"method": "none", "pathway": "none", "steps": 12, "evaluate_every": 6})


def break_gradient(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """One entry of one gradient is infinite in these steps; the loss is as it was."""
    step = PhysicsTrainer.training_step

    def broken(self: PhysicsTrainer, *given: object, **named: object) -> Tensor:
        loss = step(self, *given, **named)  # pyright: ignore[reportArgumentType]
        if self.state.global_step + 1 in steps:
            parameter = next(p for n, p in self.network.named_parameters() if n.startswith(BAD))
            assert parameter.grad is not None
            parameter.grad.view(-1)[0] = math.inf
        return loss

    monkeypatch.setattr(PhysicsTrainer, "training_step", broken)


@pytest.mark.slow
def test_an_infinite_gradient_ends_the_run_and_poisons_no_checkpoint(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The step before a save: the loss there is finite, and the weights would not be."""
    whole = train(plain, tmp_path / "whole", LABEL)
    with monkeypatch.context() as broken:
        break_gradient(broken, 12)
        with pytest.raises(
            FloatingPointError, match=rf"gradient is inf at step 12; lower lr.*of {BAD}"
        ) as error:
            train(plain, tmp_path / "run", LABEL)
    assert "checkpoint-6 is kept" in str(error.value)
    assert "nonfinite=skip" in str(error.value)
    resumed = train(plain, tmp_path / "run", LABEL, resume=True)
    assert history(resumed) == history(whole)


@pytest.mark.slow
def test_a_step_with_an_infinite_gradient_is_skipped_where_that_is_asked(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = override(plain, {"nonfinite": "skip", "log_every": 3})
    break_gradient(monkeypatch, 5, 6)
    result = train(asked, tmp_path / "run", LABEL)
    rows = [row for row in result.metrics if "loss" in row]
    assert [row.get("skipped", 0) for row in rows] == [0, 2, 2, 2]
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert nonfinite_weights(tmp_path / "run" / "model") is None


def test_a_skipped_step_changes_neither_weights_nor_moments(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = override(plain, {"nonfinite": "skip", "steps": 6, "save_every": 1})
    break_gradient(monkeypatch, 6)
    train(asked, tmp_path / "run", LABEL)
    before, after = ((tmp_path / "run" / "checkpoints" / f"checkpoint-{step}") for step in (5, 6))
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    ours, theirs = (torch.load(folder / "optimizer.pt")["state"] for folder in (before, after))
    assert all(torch.equal(ours[p][name], theirs[p][name]) for p in ours for name in ours[p])


@pytest.mark.slow
def test_a_run_that_skips_every_step_ends(plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    break_gradient(monkeypatch, *range(1, 100))
    with pytest.raises(FloatingPointError, match=r"at step 11; .*; 10 steps before it were skipped"):
        train(override(plain, {"nonfinite": "skip"}), tmp_path / "run", LABEL)


@pytest.mark.slow
def test_weights_that_are_not_finite_are_not_saved(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    end = PhysicsTrainer.end_step

    def overflow(self: PhysicsTrainer) -> None:
        end(self)
        if self.state.global_step == 12:
            next(p for n, p in self.network.named_parameters() if n.startswith(BAD)).data.fill_(math.inf)

    monkeypatch.setattr(PhysicsTrainer, "end_step", overflow)
    with pytest.raises(FloatingPointError, match=rf"{BAD}.* is not finite after step 12, which is not saved"):
        train(override(plain, {"steps": 20, "evaluate_every": 7}), tmp_path / "run", LABEL)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-6"]


@pytest.mark.slow
def test_a_poisoned_checkpoint_of_before_is_passed_over(plain: Experiment, tmp_path: Path):
    train(plain, tmp_path / "run", LABEL)
    newest = tmp_path / "run" / "checkpoints" / "checkpoint-12"
    weights = load_file(newest / "model.safetensors")
    weights["model.embedding.weight"][0, 0] = math.nan
    save_file(weights, newest / "model.safetensors", metadata={"format": "pt"})
    (newest / MANIFEST).unlink()
    close_checkpoint(newest, experiment=plain.flat())
    with pytest.warns(
        UserWarning, match=r"checkpoint-12 is passed over: its model.embedding.weight is not finite"
    ):
        found = newest_checkpoint(tmp_path / "run", experiment=plain.flat(), check=nonfinite_weights)
    assert found == tmp_path / "run" / "checkpoints" / "checkpoint-6"


def test_a_policy_is_one_of_two(plain: Experiment):
    with pytest.raises(InputError, match="nonfinite=ignore: one of stop, skip"):
        override(plain, {"nonfinite": "ignore"})


@pytest.mark.slow
def test_a_run_shows_its_rows_while_it_lasts(plain: Experiment, tmp_path: Path):
    seen = []

    def look(step: float, steps: float):
        run = read_run(tmp_path / "run")
        seen.append((step, run.finished, [row["step"] for row in run.record.get("metrics", [])]))

    train(plain, tmp_path / "run", LABEL, progress=look)
    assert not any(finished for _, finished, _ in seen)
    shown = {step: rows for step, _, rows in seen}
    assert shown[7][:6] == [1, 2, 3, 4, 5, 6]  # a checkpoint was written at step 6
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
