"""A finished run is verified where it is asked for again, and its model is written again from the last checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
from marks import slow_but
from test_resume import LABEL, small, write_words

from spinodal.errors import InputError
from spinodal.runs import read_run
from spinodal.runs.record import CHECKSUM
from spinodal.training import Experiment, TrainingResult, override, train


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    path = write_words(tmp_path_factory.mktemp("text") / "corpus.txt")
    return override(small(path), {"steps": 4, "evaluate_every": 4, "save_every": 3})


@pytest.fixture(scope="module")
def whole(plan: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(plan, out, LABEL)
    return out


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def harm(run: Path, damage: str) -> None:
    weights = run / "model" / "model.safetensors"
    if damage == "deleted":
        shutil.rmtree(run / "model")
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "flipped":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    elif damage == "empty tokenizer":
        (run / "model" / "tokenizer.json").write_bytes(b"")
    else:
        (run / "model" / "config.json").unlink()


DAMAGES = ("deleted", "cut", "flipped", "empty tokenizer", "no config")


@pytest.mark.parametrize("damage", slow_but(DAMAGES, "flipped", "no config"))
def test_a_damaged_model_is_written_again_as_it_was(plan: Experiment, whole: Path, run: Path, damage: str):
    harm(run, damage)
    with pytest.warns(UserWarning, match=r"the model is written again from .*checkpoint-4"):
        result = train(plan, run, LABEL, resume=True)
    assert result == read_run(whole).result_as(TrainingResult)
    assert content(run) == content(whole)


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_its_last_checkpoint_a_damaged_model_is_refused_with_the_way_on(
    plan: Experiment, run: Path, damage: str
):
    harm(run, damage)
    shutil.rmtree(run / "checkpoints" / "checkpoint-4")
    before = content(run)
    with pytest.raises(
        InputError, match=r"model/.*no whole checkpoint of its last step 4 .*`overwrite` trains it"
    ):
        train(plan, run, LABEL, resume=True)
    assert content(run) == before


@pytest.mark.parametrize("damage", ["deleted", "cut", "no config"])
def test_models_of_before_there_were_checksums_are_verified_as_far_as_they_can(
    plan: Experiment, whole: Path, run: Path, damage: str
):
    record = json.loads((run / "run.json").read_text()) | {"format": 2}
    old = json.dumps({name: value for name, value in record.items() if name not in ("files", CHECKSUM)})
    (run / "run.json").write_text(old)
    assert train(plan, run, LABEL, resume=True).final["steps"] == 4
    assert (run / "run.json").read_text() == old
    harm(run, damage)
    with pytest.warns(UserWarning, match="the model is written again"):
        train(plan, run, LABEL, resume=True)
    assert content(run)["model/model.safetensors"] == content(whole)["model/model.safetensors"]
    assert read_run(run).damage() is None


def test_a_finished_run_whose_record_is_lost_is_the_same_again(plan: Experiment, whole: Path, run: Path):
    (run / "run.json").unlink()
    shutil.rmtree(run / "model")
    with pytest.warns(UserWarning, match="known by what it saved"):
        result = train(plan, run, LABEL, resume=True)
    before = read_run(whole).result_as(TrainingResult)
    assert (result.final, result.metrics, result.probe) == (before.final, before.metrics, before.probe)
    assert content(run)["model/model.safetensors"] == content(whole)["model/model.safetensors"]
