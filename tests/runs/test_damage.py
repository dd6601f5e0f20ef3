"""Damaged records and checkpoints: each is told, passed over or refused, and there is a way on."""

import contextlib
import json
import multiprocessing
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from spinodal.errors import InputError
from spinodal.runs import close_checkpoint, files, newest_checkpoint, open_run, read_run
from spinodal.runs.checkpoints import (
    MANIFEST,
    checkpoint_folders,
    clear_later,
    kept_checkpoint,
    rotate_checkpoints,
)
from spinodal.runs.sealed import write_sealed

EXPERIMENT = {"lr": 0.5, "corpus": "text"}
OWNED = ("checkpoints", "model")


def checkpoint(run: Path, step: int) -> Path:
    folder = run / "checkpoints" / f"checkpoint-{step}"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights").write_bytes(b"w" * 99)
    (folder / "deep" / "state").write_bytes(bytes([step % 256]))
    close_checkpoint(folder, experiment=EXPERIMENT)
    return folder


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A training that stopped with the checkpoints 8 and 16."""
    with contextlib.suppress(RuntimeError), opened(tmp_path / "run") as folder:
        folder.begin()
        checkpoint(tmp_path / "run", 8)
        checkpoint(tmp_path / "run", 16)
        raise RuntimeError
    return tmp_path / "run"


def opened(out: Path, **changes):
    return open_run(out, **{"kind": "train", "config": EXPERIMENT, "owned": OWNED} | changes)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def manifests(path: Path) -> dict[str, object]:
    """Contents of a manifest that are not what was written, by what was done to it."""
    whole = json.loads(path.read_text())
    return {
        "list": [], "null": None, "number": 3, "text": "manifest", "empty": {},
        "no files": whole | {"files": {}}, "null files": whole | {"files": None}, "format 2": whole | {"format": 2},
        "format 99": whole | {"format": 99}, "another experiment": whole | {"experiment": {"lr": 0.6}},
        "outside": whole | {"files": {"../../run.json": "0"}},
        **{f"without {name}": {k: v for k, v in whole.items() if k != name} for name in whole},
    }  # fmt: skip


DAMAGES = (
    "list", "null", "number", "text", "empty", "no files", "null files", "format 2", "format 99",
    "another experiment", "outside", "without format", "without experiment", "without files", "without checksum",
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_manifest_that_is_not_what_was_written_is_told_and_passed_over(stopped: Path, damage: str):
    manifest = stopped / "checkpoints" / "checkpoint-16" / MANIFEST
    manifest.write_text(json.dumps(manifests(manifest)[damage]))
    with pytest.warns(UserWarning, match=rf"checkpoint-16 is passed over: {MANIFEST} (is|has|does)"):
        found = newest_checkpoint(stopped, experiment=EXPERIMENT)
    assert found == stopped / "checkpoints" / "checkpoint-8"


@pytest.mark.parametrize("damage", ["format 99", "without checksum", "cut file"])
def test_a_run_that_goes_on_leaves_beside_it_what_it_cannot_use(stopped: Path, damage: str):
    newest = stopped / "checkpoints" / "checkpoint-16"
    if damage == "cut file":
        (newest / "weights").write_bytes(b"w" * 9)
    else:
        (newest / MANIFEST).write_text(json.dumps(manifests(newest / MANIFEST)[damage]))
    before = files.checksums(newest, ["."])
    clear_later(stopped, 8)
    assert {path.name for path in newest.parent.iterdir()} == {"checkpoint-8", "checkpoint-16.damaged"}
    aside = newest.with_name("checkpoint-16.damaged")
    assert files.checksums(aside, ["."]) == before
    shutil.copytree(aside, newest)
    clear_later(stopped, 8)
    assert files.checksums(aside, ["."]) == before


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_goes_on_removes_what_was_superseded_or_never_finished(stopped: Path, whole: bool):
    if not whole:
        (stopped / "checkpoints" / "checkpoint-16" / MANIFEST).unlink()
    clear_later(stopped, 8)
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == ["checkpoint-8"]


def test_no_flipped_byte_of_a_manifest_makes_it_another_one(stopped: Path):
    """The manifest is passed over, or says the same, as where a space became another; every second byte is tried."""
    manifest = stopped / "checkpoints" / "checkpoint-16" / MANIFEST
    whole = manifest.read_bytes()
    for place in range(0, len(whole), 2):
        flip(manifest, place)
        found = kept_checkpoint(stopped)
        assert found is not None
        if found.name == "checkpoint-16":
            assert json.loads(manifest.read_bytes()) == json.loads(whole)
        manifest.write_bytes(whole)


def test_no_flipped_byte_of_a_record_makes_it_another_one(tmp_path: Path):
    with opened(tmp_path) as folder:
        folder.finish({"clusters": 3, "rates": [0.25, 1.5], "name of": "a"})
    record, said = tmp_path / "run.json", read_run(tmp_path).record
    whole = record.read_bytes()
    for place in range(1, len(whole), 3):
        flip(record, place)
        with contextlib.suppress(InputError):
            assert read_run(tmp_path).record == said
        record.write_bytes(whole)


def test_manifests_of_before_there_were_checksums_are_read(stopped: Path):
    newest = stopped / "checkpoints" / "checkpoint-16"
    manifest = json.loads((newest / MANIFEST).read_text())
    (newest / MANIFEST).write_text(json.dumps({k: manifest[k] for k in ("experiment", "files")}))
    assert newest_checkpoint(stopped, experiment=EXPERIMENT) == newest


def test_names_beside_checkpoints_are_no_checkpoints_and_stay(stopped: Path):
    at = stopped / "checkpoints"
    for name in (
        "checkpoint-16.bak",
        "checkpoint-",
        "checkpoint-x",
        "checkpoint-1e3",
        "checkpoint-²",
        "mine",
    ):
        (at / name).mkdir()
        (at / name / "mine").touch()
    (at / "checkpoint-99").write_text("mine")
    assert [folder.name for folder in checkpoint_folders(stopped)] == ["checkpoint-16", "checkpoint-8"]
    assert newest_checkpoint(stopped, experiment=EXPERIMENT) == at / "checkpoint-16"
    rotate_checkpoints(checkpoint(stopped, 24), keep=1)
    assert [folder.name for folder in checkpoint_folders(stopped)] == ["checkpoint-24"]
    assert len(list(at.iterdir())) == 8


def test_rotation_goes_by_steps_and_not_by_the_clock(stopped: Path):
    """Also where the newest one looks oldest, and one that was never finished counts for none."""
    newest = checkpoint(stopped, 24)
    os.utime(newest, (0, 0))
    (newest.parent / "checkpoint-23").mkdir()
    rotate_checkpoints(newest, keep=2)
    assert [folder.name for folder in checkpoint_folders(stopped)] == ["checkpoint-24", "checkpoint-16"]
    (
        newest.parent / "checkpoint-90"
    ).mkdir()  # of a run that had gone further, and is written again when it gets there
    rotate_checkpoints(newest, keep=1)
    assert [folder.name for folder in checkpoint_folders(stopped)] == ["checkpoint-90", "checkpoint-24"]


def test_all_of_a_checkpoint_is_on_the_disk_before_its_manifest(stopped: Path, monkeypatch):
    folder, done = stopped / "checkpoints" / "checkpoint-16", []
    (folder / MANIFEST).unlink()
    fsync = os.fsync

    def note(handle: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        done.append((place.name, (folder / MANIFEST).exists()))
        fsync(handle)

    monkeypatch.setattr(files.os, "fsync", note)
    close_checkpoint(folder, experiment=EXPERIMENT)
    before = {name for name, closed in done if not closed}
    assert {"weights", "state", "deep", "checkpoint-16", "checkpoints"} <= before
    assert any(MANIFEST in name for name in before)  # its content, before it takes its name
    assert done[-1] == ("checkpoint-16", True)


@pytest.mark.parametrize("text", [None, "", "[]", "null", '{"format": 3, "kind": "train"', '{"format": 3}'])
def test_a_record_that_is_lost_or_damaged_is_known_by_whole_checkpoints(stopped: Path, text: str | None):
    record = stopped / "run.json"
    record.unlink() if text is None else record.write_text(text)
    told = pytest.warns(UserWarning, match="known by what it saved")
    with told, pytest.raises(InputError, match="`resume` goes on with it, `overwrite`"), opened(stopped):
        pass
    with told, pytest.raises(InputError, match=r"lr=0\.5 there, 1 asked"):
        opened(stopped, config=EXPERIMENT | {"lr": 1}, resume=True).__enter__()
    with told, opened(stopped, resume=True) as folder:
        assert folder.previous is not None
        assert not folder.previous.finished
        assert (stopped / "checkpoints" / "checkpoint-16" / "weights").exists()
        folder.finish({"loss": 1.0})
    assert read_run(stopped).result == {"loss": 1.0}
    record.unlink()
    with told, opened(stopped, overwrite=True) as folder:
        folder.finish({"loss": 2.0})
    assert not (stopped / "checkpoints").exists()


def test_a_damaged_record_without_a_whole_checkpoint_is_refused_and_all_is_kept(stopped: Path):
    for folder in checkpoint_folders(stopped):
        flip(folder / MANIFEST, 0)
    (stopped / "run.json").write_text("[]")
    before = sorted(stopped.rglob("*"))
    for flag in ("resume", "overwrite"):
        with pytest.raises(
            InputError, match=r"run\.json is damaged, it is no JSON object: delete it, or choose"
        ):
            opened(stopped, **{flag: True}).__enter__()
    assert sorted(stopped.rglob("*")) == before


def test_an_unfinished_run_with_a_damaged_record_goes_on_from_its_file(tmp_path: Path):
    (tmp_path / "checkpoint").touch()
    (tmp_path / "run.json").write_text("null")
    changes = {"owned": ("checkpoint",), "partial": ("checkpoint",)}
    with pytest.raises(InputError, match="delete it"):
        opened(tmp_path, **changes).__enter__()
    told = pytest.warns(UserWarning, match="known by what it saved")
    with told, opened(tmp_path, resume=True, **changes) as run:
        assert run.previous is None
        run.finish()
    assert read_run(tmp_path).finished


def test_a_folder_in_the_place_of_a_record_is_left_alone(stopped: Path):
    (stopped / "run.json").unlink()
    (stopped / "run.json" / "mine").mkdir(parents=True)
    with (
        pytest.warns(UserWarning, match="known by"),
        pytest.raises(OSError, match=r"run\.json could not be written"),
        opened(stopped, resume=True) as folder,
    ):
        folder.begin()
    assert (stopped / "run.json" / "mine").exists()


def clear_and_die(out: Path, left: str):
    """Dies in the middle of removing the run of before."""
    discard = files.discard

    def remove(path):
        if Path(path).name == left:
            os.kill(os.getpid(), signal.SIGKILL)
        discard(path)

    files.discard = remove
    with opened(out, overwrite=True) as folder:
        folder.begin()


@pytest.mark.parametrize("way", ["resume", "overwrite"])
@pytest.mark.parametrize("left", ["checkpoints", "model"])
def test_a_kill_inside_overwrite_leaves_a_folder_that_goes_on(stopped: Path, left: str, way: str):
    """And the run that is started again takes nothing from the one before."""
    (stopped / "model").mkdir()
    process = multiprocessing.get_context("fork").Process(target=clear_and_die, args=(stopped, left))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (stopped / left).exists()
    with pytest.raises(InputError, match="`resume` goes on with it, `overwrite`"), opened(stopped):
        pass
    with opened(stopped, **{way: True}) as folder:
        folder.begin()
        assert newest_checkpoint(stopped, experiment=EXPERIMENT) is None
        assert not (stopped / "model").exists()
        folder.finish()
    assert read_run(stopped).record.get("clearing") is None


def test_a_run_killed_as_it_wrote_its_first_checkpoint_starts_again(tmp_path: Path):
    (tmp_path / "checkpoints" / "checkpoint-8").mkdir(parents=True)
    with pytest.warns(UserWarning, match="checkpoint-8 is passed over: it was never finished"):
        assert newest_checkpoint(tmp_path, experiment=EXPERIMENT) is None
    write_sealed(tmp_path / "checkpoints" / "checkpoint-8" / MANIFEST, {})
    with (
        pytest.warns(UserWarning, match="passed over"),
        pytest.raises(InputError, match=re.escape("start again with `overwrite`")),
    ):
        newest_checkpoint(tmp_path, experiment=EXPERIMENT)


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"overwrite": True}])
def test_a_training_that_ended_before_it_had_a_record_is_in_no_way(tmp_path: Path, flags: dict):
    """It may have made its folder for checkpoints, and no room for more."""
    (tmp_path / "checkpoints").mkdir()
    with opened(tmp_path, **flags) as folder:
        assert folder.previous is None
        folder.finish()
    assert read_run(tmp_path).finished
