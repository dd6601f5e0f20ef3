"""Files that are whole or not there: each is written beside its place and moved over it.

A process can die while it writes, and a disk can fill. A reader then finds the file of before, or none, never a half.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class SaveError(OSError):
    """Something could not be written; the message says what is still there."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside `path` where a file or a folder is made; at the end of the block it takes the place of `path`.

    What raises inside the block leaves `path` as it was. SaveError where the file system refuses. The place has the
    suffix of `path`, so that a picture is saved in its format.
    """
    part = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        yield part
        move_into_place(part, path)
    except OSError as error:
        raise SaveError(f"{path} could not be written ({error})") from error
    finally:
        discard(part)


def move_into_place(part: Path, path: Path) -> None:
    """Moves a finished file or folder to `path`, over an old one; a folder that was there goes only afterwards."""
    if not path.is_dir():
        os.replace(part, path)
        return
    old = path.with_name(f".{os.getpid()}.old.{path.name}")
    os.replace(path, old)
    os.replace(part, path)
    discard(old)


def discard(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """`durable` waits until the disk has it, for what must outlive a loss of power."""
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """JSON that every reader takes: ValueError for nan and inf, which `encode` turns into strings."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False))


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """A compressed .npz of arrays by name."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(path, stream.getvalue())


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
