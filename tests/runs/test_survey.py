"""What is said of the runs in a folder, and that nothing is written to say it."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from command import spinodal

from spinodal.errors import InputError
from spinodal.runs import close_checkpoint, open_run, survey, sweep, write_json

EXPERIMENT = {"lr": 0.5}


def square(configuration: dict) -> int:
    return configuration["x"] ** 2


def checkpoint(run: Path, step: int) -> None:
    folder = run / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    rows = [{"step": k, "loss": 1 / k} for k in range(1, step + 1)]
    write_json(
        folder / "trainer_state.json", {"log_history": [*rows, {"step": step, "held_out_loss": 2 / step}]}
    )
    close_checkpoint(folder, experiment=EXPERIMENT)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished training, one that stopped, and the map of a sweep."""
    owned = ("model", "checkpoints")
    with open_run(tmp_path / "done", kind="train", config=EXPERIMENT, owned=owned) as folder:
        with folder.replacing("model") as place:
            place.mkdir()
            (place / "weights").write_bytes(b"w" * 9)
        folder.finish({"metrics": [{"step": 30, "loss": 0.5}, {"step": 30, "held_out_loss": 0.25}]})
    with (
        contextlib.suppress(RuntimeError),
        open_run(tmp_path / "deep" / "stopped", kind="train", config=EXPERIMENT, owned=owned) as folder,
    ):
        folder.begin()
        checkpoint(folder.path, 8)
        checkpoint(folder.path, 16)
        raise RuntimeError
    with open_run(tmp_path / "map", kind="phase-diagram", config={}) as folder:
        sweep.run(square, [{"x": 1}, {"x": 2}], folder.path, workers=1)
        folder.finish({"seconds": 1.0})
    (tmp_path / "mine").mkdir()
    return tmp_path


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verify", [False, True])
def test_runs_say_how_far_they_are_and_how_to_go_on(runs: Path, verify: bool):
    before = content(runs)
    found = {run.path.name: run for run in survey(runs, verify=verify)}
    assert list(found) == ["stopped", "done", "map"]
    assert [(run.kind, run.state, run.step, run.loss) for run in found.values()] == [
        ("train", "unfinished", 16, 0.125), ("train", "finished", 30, 0.25), ("phase-diagram", "finished", None, None),
    ]  # fmt: skip
    assert found["stopped"].notes == ("--resume goes on from checkpoint-16",)
    assert found["done"].notes == found["map"].notes == ()
    assert survey(runs / "done", verify=verify) == [found["done"]]
    assert content(runs) == before


def test_a_run_that_is_being_written_says_by_whom(runs: Path):
    with open_run(runs / "done", kind="train", config=EXPERIMENT, resume=True):
        (found,) = survey(runs / "done")
    assert found.state == "being written"
    assert f"by process {os.getpid()} on " in found.notes[0]
    assert survey(runs / "done")[0].state == "finished"


def test_damage_is_named_and_the_way_on_with_it(runs: Path):
    weights, stopped = runs / "done" / "model" / "weights", runs / "deep" / "stopped"
    weights.write_bytes(b"v" * 9)
    assert survey(runs / "done")[0].state == "finished"
    (found,) = survey(runs / "done", verify=True)
    assert (found.state, found.notes) == (
        "damaged", ("model/weights is not what was written", "--overwrite starts it again"),
    )  # fmt: skip
    weights.unlink()
    assert survey(runs / "done")[0].notes[0] == "model/weights is missing"
    (stopped / "checkpoints" / "checkpoint-16" / "trainer_state.json").write_text("")
    (found,) = survey(stopped, verify=True)
    assert (found.step, found.loss) == (8, 0.25)
    assert found.notes[0] == "--resume goes on from checkpoint-8"
    assert found.notes[1].startswith(
        "checkpoint-16 is passed over: trainer_state.json is not what was written"
    )
    for text in ("null", "[]", ""):
        (stopped / "run.json").write_text(text)
        (found,) = survey(stopped)
        assert found.state == "damaged"
        assert "is damaged" in found.notes[0]
        assert found.notes[1].startswith("--resume goes on from checkpoint-")
    (stopped / "run.json").unlink()
    assert survey(stopped)[0].notes[0] == "run.json is lost"
    cell = next((runs / "map" / "cells").iterdir())
    cell.write_text(cell.read_text().replace('"result": ', '"result": 1'))
    assert "1 damaged cells" in survey(runs / "map", verify=True)[0].notes[0]


def test_records_of_others_and_of_newer_versions_are_told(tmp_path: Path):
    (tmp_path / "run.json").write_text(json.dumps({"mine": 1}))
    assert (survey(tmp_path)[0].state, survey(tmp_path)[0].kind) == ("unknown", "")
    (tmp_path / "run.json").write_text(json.dumps({"format": 99}))
    assert "use a newer spinodal" in survey(tmp_path)[0].notes[0]
    (tmp_path / "run.json").unlink()
    with pytest.raises(InputError, match="holds no run, nor does a folder below it"):
        survey(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        survey(tmp_path / "nowhere")


def test_the_command_ends_with_one_where_a_run_is_damaged(monkeypatch, capsys, runs: Path):
    assert spinodal(monkeypatch, "runs", runs, "--verify") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "finished, verified" in said
    assert "0.125" in said
    (runs / "done" / "model" / "weights").write_bytes(b"")
    assert spinodal(monkeypatch, "runs", runs, "--verify") == 1
    assert "damaged" in capsys.readouterr().out
    assert spinodal(monkeypatch, "runs", runs / "mine") == 2
