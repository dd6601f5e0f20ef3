"""What a schedule says is what training does: rates, clipping, rows, and the steps that fill an equal time."""

import math
from pathlib import Path

import pytest
from test_resume import LABEL, small, write_words

from spinodal.training import Experiment, override, rates, train
from spinodal.training.compare import equal_time


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    corpus = write_words(tmp_path / "corpus.txt")
    return override(small(corpus), {"method": "none", "steps": 20, "evaluate_every": 20, "save_every": 20})


@pytest.mark.slow
def test_the_rate_rises_linearly_and_falls_as_a_cosine(plain: Experiment, tmp_path: Path):
    """lr k / w in the first w steps, then lr (1 + cos pi (k - w) / (n - w)) / 2, at the start of step k + 1."""
    run = train(override(plain, {"warmup": 0.25, "lr": 0.01}), tmp_path / "run", LABEL)
    expected = [0.01 * (k / 5 if k < 5 else (1 + math.cos(math.pi * (k - 5) / 15)) / 2) for k in range(20)]
    found = [row["learning_rate"] for row in run.metrics if "loss" in row]
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.slow
def test_the_optimiser_sees_no_gradient_above_the_clip(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The norm after clipping is min(norm, clip), with a clip that some steps exceed and others do not."""
    seen: list[float] = []

    def keep(size: float) -> float:
        seen.append(size)
        return 1.0

    free = train(plain, tmp_path / "free", LABEL)
    norms = sorted(row["grad_norm"] for row in free.metrics if "loss" in row)
    clip = norms[5]
    monkeypatch.setitem(rates.STEP_SIZES, "bounded", keep)
    run = train(override(plain, {"clip": clip, "step_size": "bounded"}), tmp_path / "run", LABEL)
    before = [row["grad_norm"] for row in run.metrics if "loss" in row]
    assert min(before) < clip < max(before)
    assert seen == pytest.approx([min(norm, clip) for norm in before], rel=1e-5)


@pytest.mark.slow
def test_the_residuals_of_a_row_are_those_of_its_step(plain: Experiment, tmp_path: Path):
    """Rows of every third step have the numbers that rows of every step have there."""
    kept = {}
    for log_every in (1, 3):
        asked = override(plain, {"log_every": log_every, "steps": 9, "save_every": 9})
        run = train(asked, tmp_path / str(log_every), LABEL)
        kept[log_every] = {row["step"]: row for row in run.metrics if "loss" in row}
    assert list(kept[3]) == [3, 6, 9]
    for step, row in kept[3].items():
        assert {name: row[name] for name in ("F", "g1", "spread")} == {
            name: kept[1][step][name] for name in ("F", "g1", "spread")
        }
        mean = sum(kept[1][k]["loss"] for k in range(step - 2, step + 1)) / 3
        assert row["loss"] == pytest.approx(mean, rel=1e-6)


def test_a_faster_model_is_given_the_steps_that_fill_the_time(plain: Experiment):
    models = {"slow": plain, "fast": override(plain, {"steps": 30})}
    runs = {name: [{"final": {"seconds": s}} for s in seconds] for name, seconds in
            {"slow": (30.0, 50.0), "fast": (12.0, 8.0)}.items()}  # fmt: skip
    assert equal_time(runs, models) == ("slow", {"fast": 30 * 80 / 20})
