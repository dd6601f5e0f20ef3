"""What memory cannot hold is refused before it is built, and what is advised fits."""

import re
from pathlib import Path

import pytest

from spinodal.errors import InputError
from spinodal.training import DataConfig, Experiment, Schedule, override, size, train
from spinodal.training.compare import Recipe, matched_models
from spinodal.training.run import prepare_data
from spinodal.training.size import BYTES, check_size, model_size

DENSE = {"channel": "dense", "mixer": "none", "width": 16, "heads": 2, "depth": 1, "phases": 2}
SMALL = Experiment(DataConfig(length=64), DENSE)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(size, "machine_memory", lambda: 10**7)
    return 10**7


def test_the_length_that_is_advised_fits_and_one_more_does_not(memory: int):
    with pytest.raises(InputError, match=r"parameters at length=64: training takes 16 bytes") as error:
        check_size(SMALL)
    longest = int(re.findall(r"at most (\d+)", str(error.value))[0])
    check_size(override(SMALL, {"length": longest}), vocabulary=SMALL.data.vocabulary)
    assert BYTES * model_size(override(SMALL, {"length": longest + 1}), SMALL.data.vocabulary) > memory


@pytest.mark.parametrize("task", ["masked", "causal", "translation", "recall"])
def test_a_model_that_no_length_makes_small_is_refused_too(memory: int, task: str):
    wide = override(Experiment(DataConfig(task=task), {}), {"width": 1024, "depth": 2})
    with pytest.raises(InputError, match="lower width, depth or vocabulary"):
        check_size(wide)


def test_nothing_is_read_before_sizes_and_names_are_known(memory: int, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "spinodal.training.tasks.tokenize_corpus", lambda *_, **__: pytest.fail("the text was read")
    )
    with pytest.raises(InputError, match="length of at most"):
        train(SMALL, tmp_path / "run")
    with pytest.raises(InputError, match="does not divide into heads"):
        train(override(SMALL, {"width": 15}), tmp_path / "run")
    with pytest.raises(InputError, match="length of at most"):
        matched_models("own", Recipe(SMALL))
    small = Experiment(DataConfig(length=8), {"channel": "swiglu", "width": 16, "depth": 1})
    with pytest.raises(InputError, match=r"rival: .*width=16, heads=3"):
        matched_models("own", Recipe(small, {"rival": {"heads": 3}}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "reported"),
    [
        ({"channel": "swiglu", "constrain": "F"}, "none"),
        ({"channel": "partition", "constrain": "g1,g2"}, "F"),
        ({"channel": "swiglu", "mixer": "graph", "constrain": "selection"}, "flow, energy, density, l1"),
        ({"channel": "swiglu", "mixer": "graph", "constrain": "F"}, "flow, energy, density, l1"),
        ({"task": "translation", "channel": "swiglu", "encoder_mixer": "graph"}, "flow, energy, density, l1"),
    ],
)
def test_a_constraint_that_no_mixer_reports_is_refused_with_the_experiment(values: dict, reported: str):
    experiment = Experiment(model={"channel": "partition", "width": 16, "heads": 2})
    with pytest.raises(InputError, match=f"this model reports {reported}; set method=none"):
        override(experiment, values | {"method": "penalty"})
    assert override(experiment, values).constraint.method == "none"


def test_a_constraint_on_what_options_make_a_mixer_report_is_taken():
    held = override(
        Experiment(), {"method": "penalty", "channel": "partition", "pathway": "I", "constrain": "g2"}
    )
    assert held.constraint.names == ["g2"]
    blocks = {"mixer": "graph", "block_size": 4, "method": "penalty", "constrain": "selection"}
    assert override(Experiment(), blocks).constraint.names == ["selection"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tokenizer": "words"}, "tokenizer=words"),
        ({"vocabulary": 100}, "a vocabulary of 100 tokens"),
        ({"length": 1}, "a context of 1 tokens"),
        ({"masked": 1.5}, "a masked fraction of 1.5"),
        ({"task": "translation", "source_length": 0}, "a context of 0 tokens"),
        ({"task": "recall", "pairs": 1000}, "pairs"),
    ],
)
def test_names_and_sizes_of_data_are_checked_with_the_experiment(values: dict, said: str):
    with pytest.raises(InputError, match=said):
        override(Experiment(), values)


@pytest.mark.parametrize("task", ["masked", "causal"])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_the_length_of_a_context_that_is_advised_fills_a_batch(tmp_path: Path, task: str, batch: int):
    (tmp_path / "corpus.txt").write_text("to be or not to be, that is the question; " * 40)
    data = DataConfig(str(tmp_path / "corpus.txt"), task, "characters", length=5000)
    experiment = Experiment(data, schedule=Schedule(batch=batch))
    with pytest.raises(InputError, match="take a length of at most") as error:
        prepare_data(experiment)
    longest = int(re.findall(r"length of at most (\d+)", str(error.value))[0])
    found = prepare_data(override(experiment, {"length": longest}))
    assert len(found.training) >= batch
    assert len(found.held_out) >= 1
    with pytest.raises(InputError, match=f"length of at most {longest}"):
        prepare_data(override(experiment, {"length": longest + 1}))
