"""Checkpoints that are whole or not there, from which a run goes on.

A folder's checkpoint is closed by a manifest with the checksum of every file, written last and atomically; one
without, or with a file that disagrees, is passed over with a warning for the one before it. A checkpoint of arrays is
one file under a SHA-256 of what it holds and of whose it is.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spinodal.errors import InputError
from spinodal.runs.files import checksum, write_bytes, write_json

MANIFEST = "manifest.json"
DIGEST = 64  # characters of a SHA-256


def close_checkpoint(folder: Path, *, experiment: Mapping[str, Any]) -> None:
    """Writes the manifest of a finished checkpoint and the experiment that it belongs to."""
    files = {p.name: checksum(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name != MANIFEST}
    write_json(folder / MANIFEST, {"experiment": dict(experiment), "files": files})


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint's folder, or None."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
    except FileNotFoundError:
        return "it was never finished"
    except (ValueError, KeyError, TypeError):
        return f"{MANIFEST} cannot be read"
    for name, digest in files.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if checksum(folder / name) != digest:
            return f"{name} is not what was written"
    return None


def step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def newest_checkpoint(run: Path, *, experiment: Mapping[str, Any]) -> Path | None:
    """The newest whole checkpoint-STEP in the checkpoints/ of a run's folder, None if none was begun.

    Damaged ones are named in a warning and passed over; InputError if all are damaged, or if the
    newest whole one belongs to another experiment, naming what differs.
    """
    folders = sorted((run / "checkpoints").glob("checkpoint-*"), key=step_of, reverse=True)
    for folder in folders:
        if reason := damage(folder):
            warnings.warn(f"checkpoint {folder} is passed over: {reason}", stacklevel=2)
            continue
        saved = json.loads((folder / MANIFEST).read_text())["experiment"]
        if told := difference(saved, experiment):
            raise InputError(f"{folder} is of another experiment ({told}); choose another `out`", field="out")
        return folder
    if folders:
        raise InputError(
            f"no whole checkpoint is left in {run / 'checkpoints'}; start again with `overwrite`",
            field="overwrite",
        )
    return None


def write_checkpoint(path: Path, label: str, arrays: Mapping[str, Any]) -> None:
    """Replaces the checkpoint of arrays at `path`. The label says what run it belongs to."""
    stream = io.BytesIO()
    np.savez(stream, label=np.array(label), **arrays)
    content = stream.getvalue()
    write_bytes(path, hashlib.sha256(content).hexdigest().encode() + content, durable=True)


def read_checkpoint(path: Path, label: str) -> dict[str, Any] | None:
    """The arrays that were written, None if none were; InputError if they are damaged or of another run."""
    if not path.exists():
        return None
    raw = path.read_bytes()
    digest, content = raw[:DIGEST], raw[DIGEST:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise InputError(f"{path} is not what was written: delete it, and the run starts again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    whose = str(arrays.pop("label"))
    if whose != label:
        told = difference(parsed(whose), parsed(label)) or f"{whose} there, {label} asked"
        raise InputError(f"{path} is of another run: {told}; choose another folder")
    return arrays


def parsed(label: str) -> object:
    """A label that is JSON as its value; any other as it is."""
    try:
        return json.loads(label)
    except ValueError:
        return label


def difference(there: object, asked: object, *, ignored: Collection[str] = ()) -> str:
    """In words where two configurations differ: "lr=0.004 there, 0.1 asked"; empty where they do not.

    Nested entries are named by their path, with dots; those in `ignored`, and all below them, are not compared.
    """
    pairs = []
    one, two = entries(there), entries(asked)
    for name in sorted(one.keys() | two.keys()):
        a, b = one.get(name, "nothing"), two.get(name, "nothing")
        if a != b and not any(name == other or name.startswith(f"{other}.") for other in ignored):
            pairs.append(f"{name}={a} there, {b} asked" if name else f"{a} there, {b} asked")
    return ", ".join(pairs)


def entries(value: object, path: str = "") -> dict[str, object]:
    """The leaves of nested objects by their path, with dots."""
    if not isinstance(value, Mapping):
        return {path: list(value) if isinstance(value, tuple) else value}
    leaves: dict[str, object] = {}
    for key, part in value.items():
        leaves |= entries(part, f"{path}.{key}" if path else str(key))
    return leaves
