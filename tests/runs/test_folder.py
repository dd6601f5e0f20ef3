"""A run's folder: one writer, nothing lost by a mistake, a record that is last."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spinodal import cli
from spinodal.errors import InputError
from spinodal.runs import SaveError, difference, equal, files, open_run, read_run


@dataclass(frozen=True)
class Setting:
    beta: float = 1.0
    start: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    clusters: int
    rates: np.ndarray
    worst: float = float("inf")


SETTING, RESULT = Setting(2.0, np.arange(3.0)), Result(3, np.linspace(0, 1, 5))
OWNED = ("record.npz", "model")


def opened(out: Path | str, **changes):
    return open_run(out, **{"kind": "toy", "config": SETTING, "owned": OWNED, "seed": 4} | changes)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    with opened(tmp_path / "run") as folder:
        folder.save_arrays("record.npz", {"x": np.ones(2)})
        folder.finish(RESULT)
    return tmp_path / "run"


def content(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_a_run_is_read_as_it_was_written(finished: Path):
    run = read_run(finished)
    assert (run.format, run.kind, run.finished) == (3, "toy", True)
    assert equal(run.config_as(Setting), SETTING)
    assert equal(run.result_as(Result), RESULT)
    assert run.record["seed"] == 4
    assert {"python", "numpy"} <= run.record["versions"].keys()
    assert {"commit", "date", "machine", "threads"} <= run.record.keys()
    assert sorted(content(finished)) == ["inputs.npz", "record.npz", "results.npz", "run.json"]


def test_the_record_says_when_a_run_did_not_finish(tmp_path: Path):
    with contextlib.suppress(RuntimeError), opened(tmp_path) as folder:
        folder.begin()
        raise RuntimeError
    assert not read_run(tmp_path).finished
    with pytest.raises(InputError, match="not finished"):
        read_run(tmp_path).result_as(Result)
    with opened(tmp_path, resume=True) as folder:
        assert folder.previous is not None
        assert not folder.previous.finished


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "holds a run already: `resume` goes on with it, `overwrite` starts it again"),
        ({"resume": True, "overwrite": True}, "give one of them"),
        ({"kind": "other", "overwrite": True}, "another kind (toy, not other)"),
        ({"config": Setting(3.0, SETTING.start), "resume": True}, "beta=2.0 there, 3.0 asked"),
        ({"config": Setting(2.0, np.ones(3)), "resume": True}, "start=an array there, another array asked"),
    ],
)
def test_what_is_in_the_way_is_refused_and_kept(finished: Path, changes: dict, said: str):
    before = content(finished)
    with pytest.raises(InputError, match=re.escape(said)), opened(finished, **changes):
        pytest.fail("it was opened")
    assert content(finished) == before


def test_names_that_may_differ(finished: Path):
    with opened(finished, config=Setting(3.0, SETTING.start), resume=True, ignored=("beta",)) as folder:
        assert folder.previous is not None
        assert folder.previous.finished


def test_a_mistake_with_overwrite_loses_nothing(finished: Path):
    before = content(finished)
    with pytest.raises(InputError, match="a wrong number"), opened(finished, overwrite=True):
        raise InputError("a wrong number")
    assert content(finished) == before


def test_overwrite_replaces_what_the_run_owns_and_nothing_else(finished: Path):
    (finished / "mine.txt").write_text("mine")
    with opened(finished, config={"beta": 1}, overwrite=True) as folder:
        folder.finish({"measured": 2})
    assert sorted(content(finished)) == ["mine.txt", "run.json"]
    assert read_run(finished).result == {"measured": 2}


def test_a_mistake_leaves_no_empty_folder(tmp_path: Path):
    with pytest.raises(InputError), opened(tmp_path / "a" / "b"):
        raise InputError("wrong")
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_one(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; `out` takes a folder"), opened(tmp_path / "file"):
        pass
    with pytest.raises(InputError, match="cannot be made"), opened(tmp_path / "file" / "below"):
        pass
    with pytest.raises(InputError, match=r"cannot be (made|written to)"), opened(Path("/proc/self")):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model").mkdir()
    for overwrite in (False, True):
        with (
            pytest.raises(InputError, match="holds model, but no run"),
            opened(tmp_path / "other", overwrite=overwrite),
        ):
            pass


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mine": 1}', "not a run that spinodal wrote"),
        ("[]", "is damaged, it is no JSON object: delete it, or choose another folder"),
        ("null", "is damaged, it is no JSON object: delete it"),
        ('{"format": 2, "kind": "toy"}', "not a run that spinodal wrote"),
        ('{"format": 2, "ki', "is damaged, it is no JSON"),
        ('{"format": 3, "kind": "toy"}', "is damaged, it has no checksum"),
        ('{"format": 4, "kind": "toy"}', "is of format 4, and this version reads 1 to 3"),
        ('{"format": "2", "kind": "toy"}', "is of the format '2', which is none"),
        (
            '{"format": 2, "kind": "toy", "finished": 1, "config": [], "commit": ""}',
            "not a run that spinodal wrote",
        ),
    ],
)
def test_a_foreign_or_damaged_record_is_left_alone(tmp_path: Path, text: str, said: str, overwrite: bool):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=said), opened(tmp_path, overwrite=overwrite, resume=not overwrite):
        pass
    assert content(tmp_path) == {"run.json": text.encode()}


@pytest.mark.parametrize("text", ["{}", '{"mine": 1}', "[]", '{"format": 9}'])
def test_who_reads_is_not_told_to_write_elsewhere(tmp_path: Path, text: str):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError) as refused:
        read_run(tmp_path)
    assert str(tmp_path / "run.json") in str(refused.value)
    assert refused.value.fields == ()


def test_a_second_writer_is_refused_in_a_line_that_names_the_first(tmp_path: Path):
    with (
        opened(tmp_path) as first,
        pytest.raises(InputError, match=rf"written by process {os.getpid()} on \S+ since \d{{4}}-"),
        opened(tmp_path),
    ):
        pass
    first.finish()
    assert sorted(content(tmp_path)) == ["inputs.npz", "run.json"]


def write_and_die(out: Path):
    with opened(out) as folder:
        folder.begin()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_lock_dies_with_its_process(tmp_path: Path):
    process = multiprocessing.get_context("fork").Process(target=write_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / ".lock").exists()
    with opened(tmp_path, overwrite=True) as folder:
        folder.finish()
    assert read_run(tmp_path).finished


def test_files_are_whole_or_as_they_were(finished: Path):
    before = content(finished)
    with (
        contextlib.suppress(RuntimeError),
        opened(finished, resume=True) as folder,
        folder.replacing("record.npz") as place,
    ):
        place.write_text("half of")
        raise RuntimeError
    assert {k: v for k, v in content(finished).items() if k != "run.json"} == {
        k: v for k, v in before.items() if k != "run.json"
    }
    with opened(finished, resume=True) as folder:
        for text in ("one", "two"):
            with folder.replacing("model") as place:
                place.mkdir()
                (place / "weights").write_text(text)
        assert (finished / "model" / "weights").read_text() == "two"
        with pytest.raises(SaveError, match="model could not be written"), folder.replacing("model"):
            raise OSError("disk full")
        with pytest.raises(ValueError, match="none of the names"):
            folder.place("else.txt")
        with pytest.raises(ValueError, match="none of its fields"):
            folder.finish({"commit": 1})


@pytest.mark.parametrize(
    ("name", "record", "kind", "done"),
    [
        ("run.json", dict.fromkeys(("metrics", "final", "probe", "config", "finished")), "train", False),
        ("run.json", {"engine": "circle", "merges": [], "final": {}, "config": {}}, "simulate", True),
        ("run.json", {"mass_error": 0, "growth_rates": [], "config": {}}, "meanfield", True),
        ("run.json", {"measured": {}, "config": {"starts": None}, "seed": 0}, "graph-equilibria", True),
        ("run.json", {"measured": {}, "config": {"time": 20.0}, "seed": 0}, "graph-flow", True),
        ("run.json", {"measured": {}, "config": {}, "recipe": "f4", "expected": ""}, "draw", True),
        ("run.json", {"contour_over_theory": {}, "config": {}}, "phase-diagram", True),
        ("observe.json", dict.fromkeys(("model", "layers", "nulls", "summary", "clock")), "observe", True),
        ("compare.json", {"format": 1, "arms": {}}, "compare", True),
    ],
)  # fmt: skip
def test_records_of_format_1_are_read(tmp_path: Path, name: str, record: dict, kind: str, done: bool):
    (tmp_path / name).write_text(json.dumps(record))
    run = read_run(tmp_path)
    assert (run.format, run.kind, run.finished) == (1, kind, done)


def test_an_unfinished_run_of_format_1_is_known_by_its_files(tmp_path: Path):
    (tmp_path / "model").touch()
    with pytest.raises(InputError, match="holds a run already"), opened(tmp_path, partial=("model",)):
        pass
    with opened(tmp_path, partial=("model",), resume=True) as folder:
        assert folder.previous is None


def test_the_command_line_names_options(monkeypatch, capsys):
    def fail():
        raise InputError("`resume` goes on, `over_write` starts; `x` stays", field=("resume", "over_write"))

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(sys, "argv", ["spinodal"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "--resume goes on, --over-write starts; `x` stays" in " ".join(capsys.readouterr().err.split())


def replace_and_die(out: Path, when: str):
    """Dies as it writes a folder: before the old one is moved aside, or before the new one takes its place."""
    moved, replace = [], os.replace

    def move(source, target):
        moved.append(target)
        if Path(target).name == "model" and when == "between":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    with opened(out, resume=True) as folder:
        folder.begin()
        files.os.replace = move
        with folder.replacing("model") as place:
            place.mkdir()
            (place / "weights").write_text("new")
            if when == "before":
                os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("when", ["before", "between"])
def test_what_a_killed_writer_leaves_is_removed_and_what_it_moved_is_put_back(finished: Path, when: str):
    (finished / "model").mkdir()
    (finished / "model" / "weights").write_text("old")
    before = content(finished)
    process = multiprocessing.get_context("fork").Process(target=replace_and_die, args=(finished, when))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (finished / "model").exists() == (when == "before")
    (finished / ".12.old.record.npz").mkdir()
    (finished / ".hidden.part.txt").write_text("mine")
    with opened(finished, resume=True):
        pass
    after = content(finished)
    assert after.pop(".hidden.part.txt") == b"mine"
    assert {k: v for k, v in after.items() if k != "run.json"} == {
        k: v for k, v in before.items() if k != "run.json"
    }
    assert not list(finished.glob(".*.old.*"))


def test_a_folder_is_put_back_where_its_successor_cannot_be_moved(tmp_path: Path, monkeypatch):
    place, replace = tmp_path / "model", os.replace
    place.mkdir()
    (place / "weights").write_text("old")

    def move(source, target):
        if ".part." in Path(source).name:
            raise PermissionError("no")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", move)
    with pytest.raises(SaveError, match="model could not be written"), files.replacing(place) as part:
        part.mkdir()
    assert content(tmp_path) == {"model/weights": b"old"}


def test_arrays_that_are_missing_or_damaged_are_named(finished: Path):
    run, results = read_run(finished), finished / "results.npz"
    whole = results.read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 255
    for damaged in (whole[: len(whole) // 2], whole[:-9], b"", b"no archive", bytes(middle)):
        results.write_bytes(damaged)
        with pytest.raises(InputError, match=r"results\.npz is damaged"):
            run.result_as(Result)
    np.save(finished / "one.npy", np.ones(1))
    (finished / "one.npy").replace(results)
    with pytest.raises(InputError, match=r"results\.npz is damaged"):
        run.result_as(Result)
    results.unlink()
    with pytest.raises(InputError, match=r"results\.npz is missing: the arrays of .*run\.json"):
        run.result_as(Result)
    (finished / "inputs.npz").unlink()
    with pytest.raises(InputError, match=r"inputs\.npz is missing"):
        run.config_as(Setting)


def test_arrays_of_any_name_and_those_that_were_solved_for(tmp_path: Path):
    arrays = {"file": np.arange(2), "allow_pickle": np.ones(3), "a.npy": np.zeros(1)}
    with opened(tmp_path, config={"file": np.ones(2)}) as folder:
        folder.begin(angles=np.arange(4.0))
        folder.save_arrays("record.npz", arrays)
        run = folder.finish(arrays)
    with np.load(tmp_path / "record.npz") as found:
        assert {name: value.tolist() for name, value in found.items()} == {
            name: value.tolist() for name, value in arrays.items()
        }
    assert equal(run.result_as(dict), run.result | arrays)
    assert run.config_as(dict)["angles"].tolist() == [0, 1, 2, 3]


@dataclass(frozen=True)
class Flat:
    beta: float

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> "Flat":
        return cls(values["deep"] / 2)


def test_a_class_may_read_its_own_record(tmp_path: Path):
    with opened(str(tmp_path), config={"deep": 4.0}) as folder:
        folder.finish()
    assert read_run(str(tmp_path)).config_as(Flat) == Flat(2.0)


@pytest.mark.parametrize(("ended", "state"), [(True, "a finished run"), (False, "a run")])
def test_a_run_of_an_earlier_version_is_refused_in_a_sentence(tmp_path: Path, ended: bool, state: str):
    record = {"engine": "circle", "merges": [], "final": {}, "config": {"n": 3}, "finished": ended}
    (tmp_path / "run.json").write_text(json.dumps(record))
    said = (
        f"holds {state}, written by an earlier version, which cannot be resumed: `overwrite` starts it again"
    )
    with pytest.raises(InputError, match=said), opened(tmp_path, kind="simulate", resume=True):
        pass
    with opened(tmp_path, kind="simulate", overwrite=True) as folder:
        folder.finish()


def test_ways_out_are_those_that_the_command_has(finished: Path):
    with pytest.raises(InputError, match=r"asked\): `overwrite` starts it again, or choose another `out`"):
        opened(finished, config=Setting(3.0), resume=True).__enter__()
    with pytest.raises(InputError, match=r"asked\): choose another `out`"):
        opened(finished, config=Setting(3.0), resume=True, overwrite=None).__enter__()


def test_threads_are_those_at_the_end(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    with opened(tmp_path) as folder:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
        run = folder.finish()
    assert run.record["threads"] == 5
    assert run.record["machine"].endswith("5 thread(s) a run")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with opened(tmp_path, resume=True) as folder:
        folder.adopt()
        assert folder.finish().record["threads"] == 5


def test_differences_are_named_by_their_path():
    there = {"heads": [{"beta": 1}, {"beta": 2.0}], "times": [1, 2], "place": "a" * 200, "only": {"deep": 1}}
    asked = {"heads": [{"beta": 1.0}, {"beta": 3}], "times": (1, 2, 3), "place": "b", "other": None}
    assert difference(there, asked) == (
        "heads.1.beta=2.0 there, 3 asked, only.deep=1 there, nothing asked, other=nothing there, None asked, "
        f"place={'a' * 77}... there, b asked, times=[1, 2] there, (1, 2, 3) asked"
    )
    assert difference(there, asked, ignored=("heads.1", "only", "other", "place", "times")) == ""


@pytest.mark.parametrize(
    ("command", "left"),
    [
        (("meanfield", "--until", "0.5"), "record.npz"),
        (("graph", "flow", "--graph", "cycle:4"), "state.npy"),
        (("observe", "x.npz"), "trajectory.safetensors"),
    ],
)
def test_what_a_killed_command_of_an_earlier_version_left_is_refused_in_one_line(
    monkeypatch, capsys, tmp_path: Path, command: tuple[str, ...], left: str
):
    """Those versions wrote the record last: what lies there alone can be no more resumed than then."""
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", np.ones((3, 4, 5)))
    Path("run").mkdir()
    Path("run", left).write_bytes(b"0")
    monkeypatch.setattr(sys, "argv", ["spinodal", *command, "--out", "run"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said == f"error: run holds {left}, but no run: choose another --out"
    assert content(Path("run")) == {left: b"0"}


def test_a_record_has_the_checksums_of_what_was_written_before_it(tmp_path: Path):
    with opened(tmp_path, owned=(*OWNED, "page")) as folder:
        with folder.replacing("model") as place:
            (place / "deep").mkdir(parents=True)
            (place / "deep" / "weights").write_text("w")
        folder.finish(RESULT)
        folder.write_text("page", "drawn later")
    run = read_run(tmp_path)
    assert run.record["files"].keys() == {"inputs.npz", "results.npz", "model/deep/weights"}
    assert run.damage() is None
    (tmp_path / "model" / "deep" / "weights").write_text("v")
    assert run.damage() == "model/deep/weights is not what was written"
    with opened(tmp_path, owned=(*OWNED, "page"), resume=True) as folder:
        folder.adopt()
        assert folder.finish(RESULT).record["files"] == run.record["files"]
    (tmp_path / "model" / "deep" / "weights").unlink()
    assert run.damage() == "model/deep/weights is missing"
