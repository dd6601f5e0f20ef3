"""A budget in minutes: the steps that fit by a known clock, kept where a run goes on."""

import json
from pathlib import Path

import pytest
from test_resume import LABEL, history, small, stop_at, write_words

from spinodal.errors import InputError
from spinodal.training import Experiment, Recipe, compare, override, planning, train
from spinodal.training.build import build_model, prepare_data
from spinodal.training.compare import expected_seconds


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    corpus = write_words(tmp_path / "corpus.txt")
    values = {
        "method": "none",
        "minutes": 0.5,
        "evaluate_every": 4,
        "save_every": 2,
        "decay": "plateau-decay",
    }
    return override(override(small(corpus), values), {"channel": "swiglu"})


def of_seconds(monkeypatch: pytest.MonkeyPatch, step: float, evaluation: float) -> None:
    monkeypatch.setattr(planning, "seconds_of_step", lambda *given: step)
    monkeypatch.setattr(planning, "seconds_of_evaluation", lambda *given: evaluation)
    monkeypatch.setattr(planning, "seconds_of_update", lambda *given: 0.0)


@pytest.mark.parametrize(
    ("step", "evaluation", "steps", "every"),
    [(0.5, 0.0, 60, 4), (1.0, 2.0, 25, 20), (4.0, 0.4, 7, 4), (100.0, 1.0, 1, 4)],
)
def test_steps_and_evaluations_fill_the_time(
    plain: Experiment, monkeypatch: pytest.MonkeyPatch, step: float, evaluation: float, steps: int, every: int
):
    of_seconds(monkeypatch, step, evaluation)
    data = prepare_data(plain)
    pace = planning.measure_pace(plain, build_model(plain, data), data)
    planned = planning.plan_steps(plain, pace)
    found = planned.schedule
    assert (found.steps, found.evaluate_every) == (steps, every)
    if steps > 1:
        assert 30 - step - evaluation <= steps * step + steps / every * evaluation + evaluation <= 30
        assert evaluation / every <= step / 10
    assert pace.seconds(planned) == pytest.approx(steps * (step + evaluation / every) + evaluation)


def test_the_clock_leaves_model_and_random_numbers_as_they_were(plain: Experiment, tmp_path: Path):
    """A run with a plan is, bit for bit, the run that is asked for those steps."""
    data = prepare_data(plain)
    model = build_model(plain, data)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert planning.seconds_of_step(plain, model, data) > 0
    assert planning.seconds_of_evaluation(plain, model, data) > 0
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.slow
def test_a_run_that_goes_on_has_the_steps_that_it_began_with(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    of_seconds(monkeypatch, 3.0, 0.0)
    whole = train(override(plain, {"minutes": 0.0, "steps": 10}), tmp_path / "whole", LABEL)
    with pytest.raises(KeyboardInterrupt):
        train(plain, tmp_path / "run", LABEL, progress=stop_at(5))
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["steps"], config["minutes"]) == (10, 0.5)
    of_seconds(monkeypatch, 1.0, 0.0)
    assert history(train(plain, tmp_path / "run", LABEL, resume=True)) == history(whole)
    assert train(plain, tmp_path / "run", LABEL, resume=True).final["steps"] == 10
    with pytest.raises(InputError, match=r"another experiment \(minutes=0.5 there, 1.0 asked"):
        train(override(plain, {"minutes": 1.0}), tmp_path / "run", LABEL, resume=True)


@pytest.mark.slow
def test_a_run_says_before_its_first_step_how_long_it_takes(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The steps that are left, where it goes on; all runs of a comparison, with the steps that equal time adds."""
    of_seconds(monkeypatch, 2.0, 1.0)
    short, told = override(plain, {"minutes": 0.0, "steps": 6}), []
    with pytest.raises(KeyboardInterrupt):
        train(short, tmp_path / "run", LABEL, progress=stop_at(5), expect=told.append)
    train(short, tmp_path / "run", LABEL, resume=True, expect=told.append)
    assert told == [6 * 2.25 + 1, 2 * 2.25 + 1]
    data, grid = prepare_data(short), {"lr": [1.0, 2.0, 3.0, 4.0]}
    assert expected_seconds(dict.fromkeys("ab", short), dict.fromkeys("ab", data), 3, grid) == (
        pytest.approx((3 * (2 + 1) + 2 * (4 / 4 + 2)) * told[0])
    )


def test_a_comparison_has_no_minutes(plain: Experiment, tmp_path: Path):
    with pytest.raises(InputError, match="take `steps`, not `minutes`"):
        compare("own", Recipe(plain), tmp_path / "out")
    with pytest.raises(InputError, match="minutes=-1"):
        override(plain, {"minutes": -1.0})


def test_batches_of_buckets_are_timed_as_they_are_trained_on(plain: Experiment, tmp_path: Path):
    """Of one length each, where consecutive pairs have all lengths; an update counts too."""
    file = tmp_path / "pairs.tsv"
    words = [("ab" * (1 + i % 9) + str(i), "x " * (1 + i % 9) + str(i)) for i in range(400)]
    file.write_text("".join(f"{source}\t{target}\n" for source, target in words))
    values = {
        "task": "translation", "corpus": str(file), "tokenizer": "characters", "target_tokenizer": "words",
        "length": 20, "source_length": 30, "bucket": 8, "batch": 8, "encoder_mixer": "retention",
    }  # fmt: skip
    asked = override(plain, values)
    data = prepare_data(asked)

    def spread(experiment: Experiment) -> float:
        batches = planning.first_batches(experiment, data)
        lengths = [[int(data.training[i]["attention_mask"].sum()) for i in batch] for batch in batches]
        return max(max(batch) - min(batch) for batch in lengths)

    assert spread(asked) < spread(override(asked, {"bucket": 0}))
    model = build_model(asked, data)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for optimizer in ("adamw", "muon"):
        assert planning.seconds_of_update(override(asked, {"optimizer": optimizer}), model) > 0
    assert all(p.equal(before[name]) and p.grad is None for name, p in model.named_parameters())
