"""Tuning: the same trials for every model, judged by what neither is trained on nor reported, and computed once."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_resume import small, write_words

from spinodal.errors import InputError
from spinodal.runs import read, sweep
from spinodal.training import Experiment, Recipe, compare, override, parse_grid
from spinodal.training.build import prepare_data

TUNING = importlib.import_module("spinodal.training.tuning")


@pytest.fixture
def plain(tmp_path: Path) -> Experiment:
    corpus = write_words(tmp_path / "corpus.txt", 900)
    values = {"method": "none", "channel": "swiglu", "steps": 8, "evaluate_every": 8, "save_every": 8}
    return override(small(corpus), values)


def test_a_grid_is_read_by_the_types_of_its_keys():
    grid = parse_grid(["lr=.004,.008 matrix_lr=1e-3", "decay=cosine,constant"])
    assert grid == {"lr": [0.004, 0.008], "matrix_lr": [1e-3], "decay": ["cosine", "constant"]}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("lr", "takes KEY=VALUE,VALUE"),
        ("lr=.1 lr=.2", "lr is given twice"),
        ("steps=3,4", "steps is not tuned: `tune` takes lr, matrix_lr"),
        ("lr=fast,slow", "lr=fast: lr takes a number"),
        ("lr=.1,.1", "takes each value once"),
        ("lr=.1 matrix_lr=.2", "leaves no choice"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_grid_is_named(asked: str, said: str):
    with pytest.raises(InputError, match=said):
        parse_grid([asked])


def test_a_combination_that_a_model_cannot_take_is_found_before_anything_is_trained(
    plain: Experiment, tmp_path: Path
):
    grid = {"optimizer": ["adamw", "sgd"], "matrix_lr": [0.001, 0.002]}
    with pytest.raises(InputError, match=r"own: matrix_lr=0.001: optimizer=sgd trains all"):
        compare("own", Recipe(plain), tmp_path / "out", seeds=1, jobs=1, tune=grid)
    assert not (tmp_path / "out" / "tuning").exists()


def test_successive_halving_finds_the_best_of_a_known_loss(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nine trials over a quarter of the steps, the best three over all, and of each model its own optimum."""
    optimum = {"swiglu": 0.004, "competition": 0.01}

    def loss(configuration: Mapping[str, Any]) -> float | None:
        assert configuration["held_out"] == "development"
        assert configuration["seed"] == TUNING.SEED
        if configuration["lr"] > 0.02:
            return None
        return 1 / configuration["steps"] + abs(configuration["lr"] - optimum[configuration["channel"]])

    asked: list[tuple[str, int]] = []

    def count(function: object, cells: list[dict], *given: object, **options: object) -> list[float | None]:
        asked.extend((cell["channel"], cell["steps"]) for cell in cells)
        return [loss(cell) for cell in cells]

    monkeypatch.setattr(sweep, "run", count)
    models = {channel: override(plain, {"channel": channel, "steps": 400}) for channel in optimum}
    grid = {"lr": [k / 1000 for k in (1, 2, 4, 6, 8, 10, 12, 16, 32)]}
    found = TUNING.tune_models(models, grid, tmp_path)
    for channel in optimum:
        assert found[channel].chosen == {"lr": optimum[channel]}
        assert [steps for model, steps in asked if model == channel] == [100] * 9 + [400] * 3
        assert found[channel].trials[8].loss is None


@pytest.mark.parametrize(("trials", "left"), [(2, 2), (3, 2), (6, 2), (9, 3), (10, 4)])
def test_two_trials_at_least_are_decided_over_all_steps(trials: int, left: int):
    assert TUNING.finalists(trials) == left
    assert TUNING.trial_share({"lr": range(trials)}) == trials / 4 + left


def test_a_model_without_a_finite_trial_is_named(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweep, "run", lambda function, cells, *given, **options: [None] * len(cells))
    with pytest.raises(FloatingPointError, match="own: no trial of `tune` has a finite loss"):
        TUNING.tune_models({"own": plain}, {"lr": [1.0, 2.0]}, tmp_path)


@pytest.mark.slow
def test_a_trial_that_is_not_finite_has_no_loss(plain: Experiment):
    assert (
        TUNING.development_loss(TUNING.trial_experiment(plain, {"lr": 1e30, "clip": 1e30}, 8).flat()) is None
    )


@pytest.mark.parametrize("task", ["masked", "causal", "translation", "recall"])
def test_development_is_apart_from_training_and_from_what_is_reported(
    plain: Experiment, tmp_path: Path, task: str
):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"w{i} x{i}\ty{i} z{i}\n" for i in range(900)))
    values: dict[str, Any] = {"task": task}
    if task == "translation":
        values |= {"corpus": str(pairs), "source_length": 16}
    own = override(plain, values | ({"length": 16, "pairs": 4} if task == "recall" else {}))
    whole, part = (prepare_data(override(own, {"held_out": name})) for name in ("validation", "development"))
    assert part.vocabulary == whole.vocabulary
    if task in ("masked", "causal"):
        training, judged = (data.tokens for data in (part.training, part.held_out))  # type: ignore[attr-defined]
        assert np.array_equal(np.concatenate([training, judged]), whole.training.tokens)  # type: ignore[attr-defined]
        assert judged.size == whole.training.tokens.size // 20  # type: ignore[attr-defined]
    elif task == "translation":
        known = {name: set(data.pairs.sources) for name, data in  # type: ignore[attr-defined]
                 {"training": part.training, "judged": part.held_out, "before": whole.training}.items()}  # fmt: skip
        assert known["training"] | known["judged"] <= known["before"]
        assert not known["training"] & known["judged"]
    else:
        assert not part.held_out[0]["input_ids"].equal(whole.held_out[0]["input_ids"])


@pytest.mark.slow
def test_a_comparison_tunes_and_goes_on_with_its_cells(
    plain: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The chosen values are those of the runs; done again, no trial is computed a second time."""
    recipe, grid = Recipe(plain, {"rival": {"channel": "driving-force"}}), {"lr": [1e-6, 0.01]}
    done = compare("own", recipe, tmp_path / "out", seeds=1, jobs=1, tune=grid)
    assert {model: found.chosen for model, found in done.tuning.items()} == {
        "own": {"lr": 0.01},
        "rival": {"lr": 0.01},
    }
    assert {
        run.config["lr"] for models in done.runs.values() for runs in models.values() for run in runs
    } == {0.01}
    assert read(tmp_path / "out").tuning == done.tuning
    monkeypatch.setattr(TUNING, "PhysicsTrainer", None)
    again = compare("own", recipe, tmp_path / "out", seeds=1, jobs=1, tune=grid)
    assert again.tuning == done.tuning
    with pytest.raises(InputError, match=r"another experiment \(tune"):
        compare("own", recipe, tmp_path / "out", seeds=1, jobs=1, tune={"lr": [1e-6, 0.02]})


def test_an_empty_grid_is_refused():
    with pytest.raises(InputError, match="`tune` is empty"):
        parse_grid([" "])
    assert parse_grid([]) == {}
