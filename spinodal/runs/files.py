"""Atomic writes: each file is written under a temporary name beside its place and moved over it.

If the process dies, the disk is full or power fails, a reader finds the previous file or none, never a part.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Place = str | os.PathLike[str]
LEFT = re.compile(r"\.\d+\.(?P<what>part|old)\.(?P<name>.+)")  # what a killed writer leaves beside `name`


class SaveError(OSError):
    """Something could not be written; the message says what is still on the disk."""


@contextlib.contextmanager
def replacing(path: Place) -> Iterator[Path]:
    """A temporary path beside `path`, for a file or a folder that replaces `path` at the end of the block.

    What was written is on the disk before it is moved. If the block raises, `path` stays as it was. SaveError if the
    disk fails.
    """
    path = Path(path)
    part = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        yield part
        sync(part)
        move_into_place(part, path)
        sync_names(path.parent)
    except OSError as error:
        raise SaveError(f"{path} could not be written ({error})") from error
    finally:
        discard(part)


def move_into_place(part: Path, path: Path) -> None:
    """Moves a finished file or folder to `path`; an old folder there is set aside first, and removed last.

    The old folder is restored if the move fails, and by `recover` if the process was killed in between.
    """
    if part.is_file() or not path.is_dir():
        os.replace(part, path)
        return
    old = path.with_name(f".{os.getpid()}.old.{path.name}")
    os.replace(path, old)
    try:
        os.replace(part, path)
    except BaseException:
        os.replace(old, path)
        raise
    discard(old)


def recover(folder: Path) -> None:
    """Removes what killed processes left in a folder, and restores what they had moved aside without replacing it.

    Only for the process that holds the folder's lock.
    """
    for left in list(folder.iterdir()):
        if (match := LEFT.fullmatch(left.name)) is None:
            continue
        place = folder / match["name"]
        if match["what"] == "old" and not place.exists():
            os.replace(left, place)
        else:
            discard(left)


def discard(path: Place) -> None:
    """Removes a file or a folder, if it is there."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Returns once a file, or a folder with all files in it, is on the disk and survives a loss of power."""
    below = path.rglob("*") if path.is_dir() else ()
    for part in (*below, path):
        sync_names(part) if part.is_dir() else sync_content(part)


def sync_content(file: Path) -> None:
    with file.open("rb+" if os.name == "nt" else "rb") as stream:
        os.fsync(stream.fileno())


def sync_names(folder: Path) -> None:
    """Returns once the entries of a folder are on the disk; does nothing where folders have no fsync."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def write_bytes(path: Place, content: bytes) -> None:
    """Writes a file that is complete or absent."""
    with replacing(path) as part:
        part.write_bytes(content)


def write_text(path: Place, text: str) -> None:
    """Writes a text file that is complete or absent, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Place, value: object) -> None:
    """Writes JSON that every reader takes; ValueError for nan and inf, which `encode` turns into strings."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False))


def write_arrays(path: Place, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name to a compressed .npz file that is complete or absent."""
    write_bytes(path, npz(arrays))


def npz(arrays: Mapping[str, Any], *, compressed: bool = True) -> bytes:
    """The content of an .npz file, as of `numpy.savez`, whose arguments exclude the name `file`."""
    stream = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", method, allowZip64=True) as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)
    return stream.getvalue()


def checksum(path: Place) -> str:
    """sha256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of these files of a folder, and of all files below these folders of it, by their paths in it."""
    found = {}
    for name in names:
        place = folder / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = checksum(path)
    return found


def damaged_file(folder: Path, files: Mapping[str, str]) -> str | None:
    """A text on the first file of a folder that is missing or differs from its sha256; None without one."""
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        try:
            if checksum(path) != digest:
                return f"{name} is not what was written"
        except OSError as error:
            return f"{name} cannot be read ({error})"
    return None
