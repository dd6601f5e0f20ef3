"""A run that was killed and resumed is the run that was not, bit for bit."""

import dataclasses
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from marks import slow_but
from safetensors.torch import load_file

from spinodal.data.tokens import TokenizedCorpus
from spinodal.errors import InputError, TerminationError
from spinodal.runs import provenance, read_run
from spinodal.training import (
    Constraint,
    DataConfig,
    Experiment,
    Label,
    Schedule,
    TrainingResult,
    override,
    run,
    tasks,
    train,
    trainer,
)
from spinodal.training.trainer import PhysicsTrainer

LABEL = Label("test", "test", "test")


def small(corpus: Path) -> Experiment:
    """Twelve batches an epoch, so that thirty steps cross two ends of an epoch."""
    return Experiment(
        DataConfig(str(corpus), tokenizer="characters", length=16),
        {
            "width": 16,
            "depth": 1,
            "heads": 2,
            "channel": "partition",
            "pathway": "I",
            "phases": 2,
            "hidden": 8,
        },
        Schedule(steps=30, batch=8, log_every=1, evaluate_every=10, save_every=6),
        Constraint("augmented", tolerance=0.01),
    )


def write_words(path: Path, count: int = 300) -> Path:
    """So many words of a physical text in an order that can be learned, about six letters each."""
    words = ("phase", "liquid", "vapour", "mixture", "token", "split", "root")
    path.write_text(" ".join(words[(i * i + i // 3) % 7] for i in range(count)))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_words(tmp_path / "corpus.txt")


def history(run: TrainingResult) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]


@pytest.mark.parametrize("step_size", slow_but(["constant", "bounded"], "constant"))
@pytest.mark.slow
def test_killed_and_resumed_is_bit_equal(step_size: str, corpus: Path, tmp_path: Path):
    experiment = override(small(corpus), {"step_size": step_size})
    whole = train(experiment, tmp_path / "whole", LABEL)
    out = tmp_path / "killed"

    def die(step: float, steps: float):
        if step == 15:
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(
        target=train, args=(experiment, out, LABEL), kwargs={"progress": die}
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not json.loads((out / "run.json").read_text())["finished"]
    resumed = train(experiment, out, LABEL, resume=True)
    assert history(resumed) == history(whole)
    ours, theirs = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("killed", "whole")
    )
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)


@pytest.mark.slow
def test_a_clock_that_is_set_back_costs_no_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What was written last is kept, although everything before it looks newer."""
    experiment, close = override(small(corpus), {"method": "none"}), trainer.close_checkpoint

    def set_back(folder: Path, **named) -> None:
        close(folder, **named)
        step = int(folder.name.rpartition("-")[2])
        os.utime(folder, (2e9 - step, 2e9 - step))

    monkeypatch.setattr(trainer, "close_checkpoint", set_back)
    train(experiment, tmp_path / "run", LABEL)
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["checkpoint-24", "checkpoint-30"]


def stop_at(step: int, kind: type[BaseException] = KeyboardInterrupt):
    def stop(done: float, steps: float):
        if done == step:
            raise kind

    return stop


def altered(text: TokenizedCorpus) -> TokenizedCorpus:
    return dataclasses.replace(text, digests=text.digests | {"tokenizer": "other"})


@pytest.mark.parametrize(("name", "harm"), [("text", " liquid"), ("tokenizer", "")])
@pytest.mark.slow
def test_another_text_or_tokenizer_is_named_and_refused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, harm: str
):
    """The text grows between stop and resume; or the same text gives another tokenizer, as another library may."""
    experiment, out = override(small(corpus), {"method": "none"}), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(experiment, out, LABEL, progress=stop_at(15))
    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))
    corpus.write_text(corpus.read_text() + harm)
    if not harm:
        read = tasks.read_text
        monkeypatch.setattr(tasks, "read_text", lambda config: altered(read(config)))
    with pytest.raises(
        InputError, match=rf"checkpoint-12 was trained on something else: the {name} \(sha256 "
    ):
        train(experiment, out, LABEL, resume=True)
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*")) == before


@pytest.mark.slow
def test_a_file_that_changes_in_between_is_read_anew(corpus: Path, tmp_path: Path):
    experiment = override(small(corpus), {"method": "none", "steps": 1, "evaluate_every": 1, "save_every": 1})
    one = train(experiment, tmp_path / "one", LABEL)
    corpus.write_text(corpus.read_text().replace("liquid", "crystal"))
    assert train(experiment, tmp_path / "two", LABEL).metrics[0]["loss"] != one.metrics[0]["loss"]


@pytest.mark.slow
def test_a_resumed_run_says_where_each_part_comes_from(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    experiment, out = override(small(corpus), {"method": "none"}), tmp_path / "run"
    first = provenance()
    with pytest.raises(KeyboardInterrupt):
        train(experiment, out, LABEL, progress=stop_at(15))
    other = dataclasses.replace(first, commit="abc", date="2030-01-01T00:00:00+00:00", threads=7)
    monkeypatch.setattr(run, "provenance", lambda: other)
    result = train(experiment, out, LABEL, resume=True)
    assert [part.step for part in result.parts] == [0, 12]
    assert (result.parts[0].commit, result.parts[0].versions) == (first.commit, first.versions)
    assert (result.parts[1].commit, result.parts[1].threads) == ("abc", 7)
    assert read_run(out).result_as(TrainingResult).parts == result.parts


@pytest.mark.parametrize("log_every", slow_but([1, 4], 4))
@pytest.mark.slow
def test_a_run_that_is_terminated_saves_the_step_and_says_so(corpus: Path, tmp_path: Path, log_every: int):
    """At a step where nothing is due, in the middle of a row; with the rows and the weights of the run that is not."""
    experiment = override(small(corpus), {"log_every": log_every, "save_every": 20, "evaluate_every": 10})
    whole, out = train(experiment, tmp_path / "whole", LABEL), tmp_path / "run"
    step = PhysicsTrainer.end_step

    def terminate(self: PhysicsTrainer) -> None:
        step(self)
        if self.state.global_step == 14:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PhysicsTrainer, "end_step", terminate)
        with pytest.raises(
            TerminationError, match=r"at step 14 of 30, which is saved in .*: `resume` goes on"
        ):
            train(experiment, out, LABEL)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    seen = []
    resumed = train(experiment, out, LABEL, resume=True, progress=lambda *at: seen.append(at[0]))
    assert seen[0] == 14
    assert history(resumed) == history(whole)
    ours, theirs = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("run", "whole"))
    assert all(ours[name].equal(theirs[name]) for name in theirs)
