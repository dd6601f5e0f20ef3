"""Observations as values and in folders: what goes to JSON comes back equal, and what is there is not lost."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from marks import slow_but

from spinodal.errors import InputError
from spinodal.report.observation import write_observation
from spinodal.runs import RunFolder, decode, encode, equal, read_run
from spinodal.watch import (
    Arrays,
    Observation,
    ObservationComparison,
    ObservationResult,
    Question,
    Sound,
    Texts,
    TrainedModel,
    compare_into,
    observe,
    observe_into,
    read_observation,
    source_named,
    unlike,
    without_trajectory,
)

OLD = Path(__file__).parent.parent / "pins" / "data" / "finished"


def arrays(seed: int = 0, name: str = "made") -> Arrays:
    """Three layers of two sequences, one of them padded."""
    valid = np.ones((2, 8), dtype=bool)
    valid[1, 6:] = False
    tokens = np.random.default_rng(seed).standard_normal((3, 2, 8, 5))
    return Arrays(name, np.arange(3.0), tokens, valid)


@pytest.mark.parametrize(
    "source",
    [
        arrays(),
        TrainedModel("minilm", Texts(("to be", "or not"), truncate=True)),
        TrainedModel("whisper-base", Sound(np.linspace(-1, 1, 9))),
    ],
)
def test_an_experiment_comes_back_equal(source: Arrays | TrainedModel):
    effect = () if isinstance(source, Arrays) else ("spinodal_beta:2",)
    asked = Observation(source, Question(beta=2.0, nulls=()), effect)
    value, found = encode(asked)
    assert equal(asked, decode(Observation, json.loads(json.dumps(value)), found))


def test_a_result_comes_back_equal_from_json_and_from_its_folder(tmp_path: Path):
    told = []
    asked = Observation(arrays(), Question(beta=1.0))
    found = observe_into(
        asked, tmp_path / "out", command="spinodal observe", progress=lambda *n: told.append(n)
    )
    assert told == [(1, 2), (2, 2)]
    value, parts = encode(found)
    assert equal(found, decode(ObservationResult, json.loads(json.dumps(value)), parts))
    assert equal(found, observe(asked))
    assert equal(found, read_observation(tmp_path / "out"))
    run = read_run(tmp_path / "out")
    assert equal(asked, run.config_as(Observation))
    assert (run.kind, run.format, run.record["command"]) == ("observe", 3, "spinodal observe")


def test_what_is_there_is_refused_or_written_over(tmp_path: Path):
    observe_into(Observation(arrays()), tmp_path)
    before = (tmp_path / "observe.json").read_bytes()
    with pytest.raises(InputError, match="`overwrite` replaces it"):
        observe_into(Observation(arrays(1)), tmp_path)
    bad = replace(arrays(), tokens=np.zeros((3, 2, 8, 5)))
    with pytest.raises(InputError, match="token 0 is zero"):
        observe_into(Observation(bad), tmp_path, overwrite=True)
    assert (tmp_path / "observe.json").read_bytes() == before
    again = observe_into(Observation(arrays(1)), tmp_path, overwrite=True)
    assert equal(again, read_observation(tmp_path))


@pytest.mark.parametrize("name", slow_but(["observe-arrays", "observe-model"], "observe-arrays"))
def test_old_records_are_read_and_drawn(name: str, tmp_path: Path):
    kept = json.loads((OLD / name / "observe.json").read_text())
    found = read_observation(OLD / name)
    assert list(found.summary) == kept["summary"]
    assert found.layers[-1].histogram == tuple(kept["layers"][-1]["histogram"])
    assert (found.shown.tokens is not None) == (OLD / name / "trajectory.safetensors").exists()
    value = json.loads(json.dumps(encode(without_trajectory(found))[0]))
    assert value["layers"][0].items() >= kept["layers"][0].items()
    assert {
        key: value[key] for key in ("nulls", "violations", "clock", "plateaus", "attention", "effect")
    } == {key: kept[key] for key in ("nulls", "violations", "clock", "plateaus", "attention", "effect")}
    write_observation(tmp_path / "report.html", found)
    assert ("sphere-canvas" in (tmp_path / "report.html").read_text()) == (found.shown.tokens is not None)


def test_other_runs_are_no_observations(tmp_path: Path):
    with pytest.raises(InputError, match="is not an observation, but a run of simulate"):
        read_observation(OLD / "simulate-pre")
    with pytest.raises(InputError, match="holds no run"):
        read_observation(tmp_path)


def test_an_old_observation_is_not_gone_on_with(tmp_path: Path):
    """It does not say what it observed."""
    shutil.copytree(OLD / "observe-arrays", tmp_path / "out")
    with pytest.raises(InputError, match="`overwrite` replaces it"):
        observe_into(Observation(arrays()), tmp_path / "out", resume=True)


@pytest.mark.slow
def test_numbers_outlive_a_report_that_fails(tmp_path: Path):
    """The same observation, asked again, is kept and drawn; a new one begins without the old page."""
    asked = Observation(arrays())

    def fail(*_: object):
        raise RuntimeError("no ink")

    def draw(folder: RunFolder, found: ObservationResult | ObservationComparison):
        folder.write_text("report.html", type(found).__name__)

    with pytest.raises(RuntimeError, match="no ink"):
        observe_into(asked, tmp_path, draw=fail)
    before = (tmp_path / "observe.json").read_bytes()
    with pytest.warns(UserWarning, match="it is kept, not made again"):
        found = observe_into(asked, tmp_path, resume=True, draw=draw)
    assert equal(found, observe(asked))
    assert (tmp_path / "observe.json").read_bytes() == before
    assert (tmp_path / "report.html").read_text() == "ObservationResult"
    with pytest.raises(InputError, match="`overwrite` replaces it"):
        observe_into(Observation(arrays(1)), tmp_path, resume=True, draw=fail)
    with pytest.raises(RuntimeError, match="no ink"):
        observe_into(asked, tmp_path, overwrite=True, draw=fail)
    assert not (tmp_path / "report.html").exists()


def test_a_comparison_says_what_was_asked_and_is_drawn_again(tmp_path: Path):
    question = Question(beta=2.0)
    sources = {"a": Observation(arrays(), question), "b": Observation(arrays(1), question)}
    drawn: list[str] = []

    def draw(folder: RunFolder, found: ObservationResult | ObservationComparison):
        drawn.append(type(found).__name__)

    compare_into(sources, tmp_path, draw=draw)
    config = read_run(tmp_path).config
    assert config["questions"]["b"] == encode(question)[0]
    assert config["models"] == {name: str(tmp_path / name) for name in "ab"}
    with pytest.warns(UserWarning, match="it is kept"):
        compare_into(sources, tmp_path, resume=True, draw=draw)
    assert drawn == ["ObservationResult", "ObservationResult", "ObservationComparison"] * 2
    other = {name: replace(source, question=Question(beta=3.0)) for name, source in sources.items()}
    with pytest.raises(InputError, match="`overwrite` replaces it"):
        compare_into(other, tmp_path, resume=True)


@pytest.mark.slow
def test_a_comparison_that_was_stopped_goes_on(tmp_path: Path):
    """What is finished is kept, and said to be; `overwrite` makes all of it again."""
    bad = replace(arrays(), tokens=np.zeros((3, 2, 8, 5)))
    known = observe_into(Observation(arrays(2)), tmp_path / "known")
    sources = {
        "a": Observation(arrays()), "b": Observation(bad), "known": tmp_path / "known",
    }  # fmt: skip
    with pytest.raises(InputError, match="token 0 is zero"):
        compare_into(sources, tmp_path / "out")
    assert not (tmp_path / "out" / "compare.json").exists()
    before = (tmp_path / "out" / "a" / "observe.json").stat().st_mtime_ns
    with pytest.warns(UserWarning, match="a holds this observation already: it is kept"):
        found = compare_into(sources | {"b": Observation(arrays(1))}, tmp_path / "out")
    assert (tmp_path / "out" / "a" / "observe.json").stat().st_mtime_ns == before
    assert equal(found.observations["known"], known)
    assert found.origins["a"]["seed"] == 0
    with pytest.raises(InputError, match="`overwrite`"):
        compare_into(sources, tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare_into({"a": Observation(arrays(3))}, tmp_path / "out", overwrite=True)
    assert equal(read_observation(tmp_path / "out" / "a"), observe(Observation(arrays(3))))


def test_a_name_a_text_and_a_file_are_told_apart(tmp_path: Path):
    (tmp_path / "lines.txt").write_text("to be\n\nor not\nto be", encoding="utf-8")
    found = source_named("minilm", text=str(tmp_path / "lines.txt"), most=2)
    assert isinstance(found, TrainedModel)
    assert found.inputs == Texts(("to be", "or not"))
    np.savez(tmp_path / "x.npz", arrays().tokens)
    found = source_named(str(tmp_path / "x.npz"))
    assert isinstance(found, Arrays)
    assert (found.name, found.tokens.shape) == ("x.npz", (3, 2, 8, 5))
    with pytest.raises(InputError, match="`depth` is for models that run"):
        source_named(str(tmp_path / "x.npz"), depth=3)
    with pytest.raises(InputError, match="`view` attention: made holds arrays, which have one view"):
        Observation(arrays(), Question(view="attention"))
    with pytest.raises(InputError, match="`stack` is for models that run"):
        Observation(arrays(), Question(stack="decoder"))
    with pytest.raises(InputError, match=r"laers\.npz: there is no such file"):
        source_named("laers.npz")
    with pytest.raises(InputError, match="`effect` is for models that run"):
        Observation(arrays(), effect=("spinodal_usa",))


def test_arrays_do_not_say_what_was_read(tmp_path: Path):
    """Beside a model they are not of "different inputs", and two of them are not of the same ones."""
    asked = {name: Observation(arrays(seed), Question(nulls=())) for seed, name in enumerate(("one", "two"))}
    found = compare_into(asked, tmp_path / "both")
    [said] = unlike(found.observations, found.origins)
    assert "not known: nothing says what was read in one, two (" in said
    texts = [{"config": {"source": {"inputs": {"lines": [line]}}}} for line in ("to be", "or not")]
    [said] = unlike(found.observations, {"one": found.origins["one"], "a": texts[0]})
    assert "not known: nothing says what was read in one (" in said
    both = unlike(found.observations, {"one": found.origins["one"], "a": texts[0], "b": texts[1]})
    assert len(both) == 2
    assert "different inputs" in both[0]
