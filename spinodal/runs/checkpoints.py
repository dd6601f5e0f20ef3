"""Checkpoints that are complete or absent, from which a run is resumed.

A folder's checkpoint is closed by a manifest with the checksum of every file and its own, written last, atomically,
once all else is on the disk; one without, or with a file that disagrees, is passed over with a warning for the one
before it. A checkpoint of arrays is one file that begins with the SHA-256 of its arrays and its run's label.
"""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from spinodal.errors import InputError
from spinodal.runs.codec import is_array
from spinodal.runs.files import Place, checksums, damaged_file, discard, npz, sync, sync_names, write_bytes
from spinodal.runs.sealed import CHECKSUM, DamageError, read_sealed, write_sealed

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
STEP = re.compile(r"checkpoint-(?:0|[1-9][0-9]{0,17})")
DIGEST = 64  # characters of a SHA-256
LONGEST = 80  # characters of a value in a message


class Absent:
    """The placeholder for the value of an entry that a configuration lacks and the other one has."""

    def __str__(self) -> str:
        return "nothing"


ABSENT = Absent()


def close_checkpoint(folder: Place, *, experiment: Mapping[str, Any]) -> None:
    """Writes the manifest of a finished checkpoint and its experiment, once all else is on the disk."""
    folder = Path(folder)
    sync(folder)
    sync_names(folder.parent)
    files = checksums(folder, sorted(path.name for path in folder.iterdir() if path.name != MANIFEST))
    write_sealed(
        folder / MANIFEST, {"format": MANIFEST_FORMAT, "experiment": dict(experiment), "files": files}
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint: its experiment and the checksums of its files.

    Manifests of earlier versions, without format and checksum, are read too. DamageError says what is wrong.
    """
    try:
        manifest = read_sealed(folder / MANIFEST)
    except FileNotFoundError:
        raise DamageError("it was never finished") from None
    except DamageError as error:
        raise DamageError(f"{MANIFEST} {error}") from None
    number = manifest.get("format", MANIFEST_FORMAT)
    if number != MANIFEST_FORMAT:
        raise DamageError(f"{MANIFEST} is of format {number}, and this version reads {MANIFEST_FORMAT}")
    if "format" in manifest and CHECKSUM not in manifest:
        raise DamageError(f"{MANIFEST} has no checksum")
    experiment, files = manifest.get("experiment"), manifest.get("files")
    if not (isinstance(experiment, dict) and isinstance(files, dict) and files and all(map(is_below, files))):
        raise DamageError(f"{MANIFEST} does not say of which files and which experiment it is")
    return manifest


def is_below(name: str) -> bool:
    """Whether a relative path stays within its folder: not absolute and without ".."."""
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def damage(folder: Path) -> str | None:
    """A text that says what is wrong with a checkpoint's folder; None if nothing is."""
    try:
        return damaged_file(folder, read_manifest(folder)["files"])
    except DamageError as error:
        return str(error)


def checkpoint_folders(run: Place) -> list[Path]:
    """The folders checkpoint-STEP of a run, the newest first; other names beside them are ignored."""
    found = [path for path in (Path(run) / "checkpoints").glob("checkpoint-*") if STEP.fullmatch(path.name)]
    return sorted((path for path in found if path.is_dir()), key=step_of, reverse=True)


def step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def kept_checkpoint(run: Place) -> Path | None:
    """The newest complete checkpoint in the folder of a run, of whatever experiment; None if there is none."""
    return next((folder for folder in checkpoint_folders(run) if not damage(folder)), None)


def rotate_checkpoints(newest: Path, *, keep: int, spare: int | None = None) -> None:
    """Removes the checkpoints of a run that are older, by their steps, than the newest `keep`.

    `newest` has just been closed and counts as one of these; unfinished folders do not, and are removed.
    The checkpoint of the step `spare` is kept besides.
    """
    older = [
        folder for folder in checkpoint_folders(newest.parent.parent) if step_of(folder) < step_of(newest)
    ]
    finished = [folder for folder in older if (folder / MANIFEST).is_file()]
    for folder in older:
        if folder not in finished[: keep - 1] and step_of(folder) != spare:
            discard(folder)


def clear_later(run: Place, step: int) -> None:
    """Removes the checkpoints of a run after `step`, from which it is resumed.

    Those that are damaged, or of an unknown format, are renamed checkpoint-STEP.damaged instead.
    """
    for folder in checkpoint_folders(run):
        if step_of(folder) <= step:
            continue
        if (folder / MANIFEST).exists() and damage(folder):
            aside = folder.with_name(f"{folder.name}.damaged")
            discard(aside)
            folder.rename(aside)
        else:
            discard(folder)


def newest_checkpoint(
    run: Place,
    *,
    experiment: Mapping[str, Any],
    ignored: Collection[str] = (),
    check: Callable[[Path], str | None] = lambda folder: None,
) -> Path | None:
    """The newest complete checkpoint-STEP in the folder checkpoints/ of a run; None if there is none.

    Checkpoints that are damaged, or of which `check` returns what is wrong, are skipped with a warning; a run
    that was killed as it wrote its first one has none. InputError if all are damaged, and if the newest
    belongs to an experiment that differs in more than what `ignored` names.
    """
    folders = checkpoint_folders(run)
    for folder in folders:
        if reason := damage(folder) or check(folder):
            warnings.warn(f"checkpoint {folder} is passed over: {reason}", stacklevel=2)
            continue
        if told := difference(read_manifest(folder)["experiment"], experiment, ignored=ignored):
            raise InputError(
                f"{folder} is of another experiment ({told}): `overwrite` starts it again, or choose another `out`",
                field=("overwrite", "out"),
            )
        return folder
    if folders and (len(folders) > 1 or (folders[0] / MANIFEST).exists()):
        raise InputError(
            f"no whole checkpoint is left in {folders[0].parent}; start again with `overwrite`",
            field="overwrite",
        )
    return None


def write_checkpoint(path: Place, label: str, arrays: Mapping[str, Any]) -> None:
    """Replaces the checkpoint of arrays at `path`; the old one stays until the new one is complete.

    `label`, JSON or any text, identifies the run it belongs to.
    """
    content = npz({"label": np.array(label), **arrays}, compressed=False)
    write_bytes(path, hashlib.sha256(content).hexdigest().encode() + content)


def read_checkpoint(
    path: Place, label: str, *, current: Callable[[object], object] = lambda label: label
) -> dict[str, Any] | None:
    """The arrays of the checkpoint at `path`, None if there is none; InputError if damaged or of another run.

    Labels that are JSON are compared by their values, so that 2 equals 2.0; `current` converts a label that
    an earlier version wrote.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error}): delete it, and the run starts again") from None
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
    """The differences of two configurations as text, "lr=0.004 there, 0.1 asked"; empty if there are none.

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
