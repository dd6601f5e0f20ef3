"""Checkpoints that are whole or not there, from which a run goes on.

A folder's checkpoint is closed by a manifest with the checksum of every file, written last and atomically; one
without, or with a file that disagrees, is passed over with a warning for the one before it. A checkpoint of arrays is
one file under a SHA-256 of what it holds and of whose it is.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spinodal.errors import InputError
from spinodal.runs.codec import is_array
from spinodal.runs.files import Place, checksum, npz, write_bytes, write_json

MANIFEST = "manifest.json"
DIGEST = 64  # characters of a SHA-256
LONGEST = 80  # characters of a value in a message


class Absent:
    """The value of an entry that only the other configuration has."""

    def __str__(self) -> str:
        return "nothing"


ABSENT = Absent()


def close_checkpoint(folder: Place, *, experiment: Mapping[str, Any]) -> None:
    """Writes the manifest of a finished checkpoint and the experiment that it belongs to."""
    folder = Path(folder)
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


def kept_checkpoint(run: Place) -> Path | None:
    """The newest complete checkpoint in the folder of a run, of whatever experiment; None if there is none."""
    folders = sorted((Path(run) / "checkpoints").glob("checkpoint-*"), key=step_of, reverse=True)
    return next((folder for folder in folders if not damage(folder)), None)


def newest_checkpoint(run: Place, *, experiment: Mapping[str, Any]) -> Path | None:
    """The newest complete checkpoint-STEP in the folder checkpoints/ of a run; None if there is none.

    Damaged ones are skipped, with a warning that names them. InputError if all are damaged, and if the newest belongs
    to another experiment.
    """
    checkpoints = Path(run) / "checkpoints"
    folders = sorted(checkpoints.glob("checkpoint-*"), key=step_of, reverse=True)
    for folder in folders:
        if reason := damage(folder):
            warnings.warn(f"checkpoint {folder} is passed over: {reason}", stacklevel=2)
            continue
        saved = json.loads((folder / MANIFEST).read_text())["experiment"]
        if told := difference(saved, experiment):
            raise InputError(
                f"{folder} is of another experiment ({told}): `overwrite` starts it again, or choose another `out`",
                field=("overwrite", "out"),
            )
        return folder
    if folders:
        raise InputError(
            f"no whole checkpoint is left in {checkpoints}; start again with `overwrite`",
            field="overwrite",
        )
    return None


def write_checkpoint(path: Place, label: str, arrays: Mapping[str, Any]) -> None:
    """Replaces the checkpoint of arrays at `path`; the old one stays until the new one is complete.

    `label`, JSON or any text, identifies the run it belongs to.
    """
    content = npz({"label": np.array(label), **arrays}, compressed=False)
    write_bytes(path, hashlib.sha256(content).hexdigest().encode() + content, durable=True)


def read_checkpoint(
    path: Place, label: str, *, current: Callable[[object], object] = lambda label: label
) -> dict[str, Any] | None:
    """The arrays that were written, None if none were; InputError if they are damaged or of another run.

    Labels that are JSON are compared by their values: 2 is 2.0; `current` makes one of today of one that an earlier
    version wrote.
    """
    path = Path(path)
    if not path.exists():
        return None
    raw = path.read_bytes()
    digest, content = raw[:DIGEST], raw[DIGEST:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise InputError(f"{path} is not what was written: delete it, and the run starts again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    whose = str(arrays.pop("label"))
    if told := difference(current(parse_label(whose)), parse_label(label)):
        raise InputError(f"{path} is of another run: {told}; choose another folder")
    return arrays


def parse_label(label: str) -> object:
    """The value of a label that is JSON; any other label as it is."""
    try:
        return json.loads(label)
    except ValueError:
        return label


def difference(there: object, asked: object, *, ignored: Collection[str] = ()) -> str:
    """Where two configurations differ, as text: "lr=0.004 there, 0.1 asked"; empty where they do not.

    Nested entries are named by their path, with dots. Names in `ignored` are not compared.
    """
    told = []
    for name, a, b in differing_entries(there, asked):
        if any(name == other or name.startswith(f"{other}.") for other in ignored):
            continue
        asked_for = "another array" if is_array(a) and is_array(b) else shorten(b)
        told.append(f"{name}={shorten(a)} there, {asked_for} asked".removeprefix("="))
    return ", ".join(told)


def differing_entries(there: Any, asked: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, value there, value asked) of every entry that differs; lists of one length are compared entry by entry."""
    below = f"{path}." if path else ""
    mappings = [isinstance(value, Mapping) and not is_array(value) for value in (there, asked)]
    if all(mappings) or (any(mappings) and (there is ABSENT or asked is ABSENT)):
        one, two = ({} if value is ABSENT else value for value in (there, asked))
        for name in sorted(one.keys() | two.keys(), key=str):
            yield from differing_entries(one.get(name, ABSENT), two.get(name, ABSENT), f"{below}{name}")
    elif isinstance(there, list | tuple) and isinstance(asked, list | tuple) and len(there) == len(asked):
        for i, (a, b) in enumerate(zip(there, asked, strict=True)):
            yield from differing_entries(a, b, f"{below}{i}")
    elif there != asked:
        yield path, there, asked


def shorten(value: object) -> str:
    """The text of a value, cut to a length that a message can hold."""
    text = "an array" if is_array(value) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
