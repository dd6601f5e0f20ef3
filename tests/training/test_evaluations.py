"""Evaluations read as many held-out samples as a tenth of the time allows, always the same ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_resume import LABEL, history, small, stop_at, write_words
from torch.utils.data import default_collate
from typed import present

from spinodal.training import Experiment, Recipe, TrainingResult, evaluation, override, train
from spinodal.training.build import build_model, prepare_data
from spinodal.training.compare import matched_models
from spinodal.training.trainer import PhysicsTrainer


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    """Eighteen held-out contexts."""
    corpus = write_words(tmp_path / "corpus.txt", 1000)
    values = {"method": "none", "steps": 8, "evaluate_every": 2, "save_every": 2, "decay": "constant"}
    return override(override(small(corpus), values), {"channel": "swiglu"})


@pytest.mark.parametrize(
    ("held_out", "trained", "count"),
    [(740, 800, 240), (740, 3200, 740), (6758, 1280, 384), (500, 0, 64), (9, 0, 9)],
)
def test_an_evaluation_is_a_tenth_of_the_passes_of_training(held_out: int, trained: int, count: int):
    assert evaluation.judged_samples(held_out, trained) == count


def test_the_loss_of_some_samples_is_that_of_these_evenly_along(plain: Experiment):
    data = prepare_data(plain)
    model, samples = build_model(plain, data), data.held_out
    whole, found = (
        evaluation.held_out_loss(model, samples, 4, default_collate, count=count) for count in (None, 6)
    )
    each = [
        model(**{name: value[None] for name, value in samples[i].items()}).loss.item()
        for i in range(len(samples))
    ]
    weights = [int((samples[i]["labels"] >= 0).sum()) for i in range(len(samples))]
    chosen = [i * len(samples) // 6 for i in range(6)]
    assert whole == pytest.approx(np.average(each, weights=weights), rel=1e-6)
    assert found == pytest.approx(
        np.average([each[i] for i in chosen], weights=[weights[i] for i in chosen]), rel=1e-6
    )


def read(
    plain: Experiment, out: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[list[int], TrainingResult]:
    """The samples that each evaluation of a run reads, and the run; few are enough for an evaluation."""
    counts: list[int] = []
    count = present(vars(PhysicsTrainer)["held_out_count"].fget)

    def counted(trainer: PhysicsTrainer) -> int:
        counts.append(count(trainer))
        return counts[-1]

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "LEAST", 2)
        patch.setattr(PhysicsTrainer, "held_out_count", property(counted))
        return counts, train(plain, out, LABEL, **options)


@pytest.mark.slow
def test_a_run_that_goes_on_reads_the_samples_that_it_would_have_read(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    held_out = len(prepare_data(plain).held_out)
    counts, whole = read(plain, tmp_path / "whole", monkeypatch)
    assert counts == [4, 4, 4, min(19, held_out)]
    with pytest.raises(KeyboardInterrupt):
        read(plain, tmp_path / "run", monkeypatch, progress=stop_at(5))
    _, found = read(plain, tmp_path / "run", monkeypatch, resume=True)
    assert history(found) == history(whole)
    counts, _ = read(override(plain, {"judged": 5, "steps": 4}), tmp_path / "five", monkeypatch)
    assert counts == [4, 5]


def test_both_arms_of_a_comparison_are_judged_by_all(plain: Experiment):
    models = matched_models("own", Recipe(plain, {"rival": {"lr": 1e-3}}))
    assert {experiment.schedule.judged for experiment, _ in models.values()} == {
        len(prepare_data(plain).held_out)
    }
