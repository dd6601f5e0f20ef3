"""A run that was killed and resumed is the run that was not, bit for bit."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from spinodal.training import (
    Constraint,
    DataConfig,
    Experiment,
    Label,
    Schedule,
    TrainingResult,
    override,
    train,
    trainer,
)

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


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    words = ("phase", "liquid", "vapour", "mixture", "token", "split", "root")
    path.write_text(" ".join(words[(i * i + i // 3) % 7] for i in range(300)))
    return path


def history(run: TrainingResult) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]


@pytest.mark.parametrize("step_size", ["constant", "bounded"])
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
