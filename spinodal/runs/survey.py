"""A survey of a folder of runs: the state of each, damage, last step and loss, and how to resume it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spinodal.errors import InputError
from spinodal.runs.checkpoints import checkpoint_folders, damage, read_manifest, step_of
from spinodal.runs.files import Place
from spinodal.runs.lock import writer_of
from spinodal.runs.record import DamagedRecordError, Run, read_run, record_in
from spinodal.runs.sealed import DamageError, read_sealed
from spinodal.runs.sweep import damaged_cells

LOSSES = ("held_out_loss", "loss")  # of a row of metrics, the one that is shown first
INNER = {"model", "checkpoints", "cells"}  # folders of a run that hold no run


@dataclass(frozen=True)
class RunStatus:
    """The status of a run in its folder.

    `state` is "finished", "unfinished", "being written", "damaged" (its record or a file that it needs) or "unknown"
    (a record that no spinodal wrote, or a newer one). `step` and `loss` are the last that were saved, None for a
    command that has none. `notes` say what is wrong and how to go on.
    """

    path: Path
    kind: str = ""
    state: str = "unknown"
    step: int | None = None
    loss: float | None = None
    notes: tuple[str, ...] = ()


def survey(folder: Place, *, verify: bool = False) -> list[RunStatus]:
    """The runs in a folder and below it, in the order of their paths; nothing is written.

    Files that a record names must be there; with `verify` all checksums are compared: of files, checkpoints and cells.
    InputError where there is no run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    found = [status(place, verify=verify) for place in run_folders(folder)]
    if not found:
        raise InputError(f"{folder} holds no run, nor does a folder below it")
    return found


def run_folders(folder: Path) -> Iterator[Path]:
    """The folders that hold a record or checkpoints of a run, this one and those below."""
    for place, names, _ in os.walk(folder):
        path = Path(place)
        if record_in(path) or checkpoint_folders(path):
            yield path
            names[:] = [name for name in names if name not in INNER]
        names[:] = sorted(name for name in names if not name.startswith("."))


def status(folder: Path, *, verify: bool) -> RunStatus:
    """The status of the run in one folder."""
    try:
        run = read_run(folder) if record_in(folder) else None
    except DamagedRecordError as error:
        run, found = None, RunStatus(folder, state="damaged", notes=(str(error),))
    except InputError as error:
        return RunStatus(folder, notes=(str(error),))
    else:
        lost = RunStatus(folder, "train", "damaged", notes=("run.json is lost",))
        found = (
            lost if run is None else RunStatus(folder, run.kind, "finished" if run.finished else "unfinished")
        )
    kept, notes = checkpoint_notes(folder, verify=verify)
    step, loss = progress_of(run, kept)
    wrong = file_damage(run, verify=verify) if run else None
    if verify and (cells := damaged_cells(folder)):
        notes += (f"{len(cells)} damaged cells, which the same command computes again: {cells[0].name}",)
    if wrong:
        found = replace(found, state="damaged", notes=(wrong,))
    if writer := writer_of(folder):
        found = replace(found, state="being written", notes=(f"by {writer}",))
    elif found.state == "unfinished" or (found.state == "damaged" and kept):
        found = replace(
            found, notes=(*found.notes, f"--resume goes on{f' from {kept.name}' if kept else ''}")
        )
    elif found.state == "damaged" and wrong:
        found = replace(found, notes=(*found.notes, "--overwrite starts it again"))
    return replace(found, step=step, loss=loss, notes=found.notes + notes)


def checkpoint_notes(folder: Path, *, verify: bool) -> tuple[Path | None, tuple[str, ...]]:
    """(newest whole checkpoint, notes on damaged ones), by the manifest or, with `verify`, all files."""
    whole, notes = [], []
    for place in checkpoint_folders(folder):
        try:
            reason = damage(place) if verify else read_manifest(place) and None
        except DamageError as error:
            reason = str(error)
        if reason:
            notes.append(f"{place.name} is passed over: {reason}")
        else:
            whole.append(place)
    return next(iter(whole), None), tuple(notes)


def file_damage(run: Run, *, verify: bool) -> str | None:
    """A text on the first file of a record that is missing or, with `verify`, damaged; None without one."""
    files = run.record.get("files")
    if not isinstance(files, Mapping):
        return None
    if verify:
        return run.damage()
    return next((f"{name} is missing" for name in files if not (run.folder / name).is_file()), None)


def progress_of(run: Run | None, checkpoint: Path | None) -> tuple[int | None, float | None]:
    """The last step and the last loss that a run has saved, in its record or in its newest checkpoint."""
    rows: list[Any] = []
    if run is not None and isinstance(found := run.record.get("metrics"), list):
        rows += found
    if checkpoint and not (run and run.finished):
        try:
            rows += read_sealed(checkpoint / "trainer_state.json").get("log_history", [])
        except (FileNotFoundError, DamageError):
            rows += [{"step": step_of(checkpoint)}]
    rows = [row for row in rows if isinstance(row, Mapping) and isinstance(row.get("step"), int)]
    step = max((row["step"] for row in rows), default=step_of(checkpoint) if checkpoint else None)
    for name in LOSSES:
        losses = [row[name] for row in rows if isinstance(row.get(name), int | float)]
        if losses:
            return step, float(losses[-1])
    return step, None
