"""Checkpoints that are whole or not there: a manifest closes each one, and resume reads only closed ones.

A process can die while it writes. So the manifest, with the size and checksum of every file, is
written last and atomically; a folder without one, or with a file that disagrees, is passed over
with a warning for the one before it.
"""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path

from spinodal.errors import InputError

MANIFEST = "manifest.json"


class SaveError(OSError):
    """Something could not be written; the message says what is still there."""


def write_json(path: Path, value: object):
    """JSON written beside `path` and moved over it, so that a reader never sees half a file."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=1))
    os.replace(part, path)


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def close(folder: Path, *, experiment: dict):
    """Writes the manifest of a finished checkpoint and the experiment that it belongs to."""
    files = {p.name: checksum(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name != MANIFEST}
    write_json(folder / MANIFEST, {"experiment": experiment, "files": files})


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
    except FileNotFoundError:
        return "it was never finished"
    except (ValueError, KeyError):
        return f"{MANIFEST} cannot be read"
    for name, digest in files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if checksum(folder / name) != digest:
            return f"{name} is not what was written"
    return None


def step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def newest(run: Path, *, experiment: dict) -> Path | None:
    """The newest whole checkpoint of this experiment in a run's folder, None if none was begun.

    Damaged ones are named in a warning and passed over; InputError if all are damaged, or if the
    newest whole one belongs to another experiment, naming what differs.
    """
    folders = sorted((run / "checkpoints").glob("checkpoint-*"), key=step_of, reverse=True)
    for folder in folders:
        if reason := damage(folder):
            warnings.warn(f"checkpoint {folder} is passed over: {reason}", stacklevel=2)
            continue
        saved = json.loads((folder / MANIFEST).read_text())["experiment"]
        differing = {k for k in saved.keys() | experiment.keys() if saved.get(k) != experiment.get(k)}
        if differing:
            pairs = ", ".join(
                f"{k}: {saved.get(k)} there, {experiment.get(k)} asked" for k in sorted(differing)
            )
            raise InputError(f"{folder} is of another experiment ({pairs}); choose another --out")
        return folder
    if folders:
        raise InputError(
            f"no whole checkpoint is left in {run / 'checkpoints'}; start again with --overwrite"
        )
    return None


def discard(folder: Path):
    shutil.rmtree(folder, ignore_errors=True)
