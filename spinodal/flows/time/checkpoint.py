"""A checkpoint is one file, whole or not there: arrays under a SHA-256 of what they are and of whose they are.

It is written beside its place and moved over it, so that at any moment the place holds the old one or the new one.
"""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from spinodal.errors import InputError

LENGTH = 64


def write(path: Path, label: str, arrays: dict[str, Any]) -> None:
    """Replaces the checkpoint at `path`. The label says what run it belongs to."""
    stream = io.BytesIO()
    np.savez(stream, label=np.array(label), **arrays)
    content = stream.getvalue()
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(hashlib.sha256(content).hexdigest().encode())
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read(path: Path, label: str) -> dict[str, Any] | None:
    """What was written, None if nothing was; InputError if it is damaged or of another run."""
    if not path.exists():
        return None
    raw = path.read_bytes()
    digest, content = raw[:LENGTH], raw[LENGTH:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise InputError(f"{path} is not what was written: delete it, and the run starts again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    if (whose := str(arrays.pop("label"))) != label:
        raise InputError(f"{path} is of another run: {difference(whose, label)}; choose another folder")
    return arrays


def difference(there: str, asked: str) -> str:
    """What sets two labels apart: of two JSON objects the entries that are not the same."""
    try:
        one, two = json.loads(there), json.loads(asked)
        pairs = {key: (one.get(key), two.get(key)) for key in one | two}
        told = [f"{key} is {a} there, {b} was asked" for key, (a, b) in pairs.items() if a != b]
        return ", ".join(told)
    except (ValueError, AttributeError, TypeError):
        return f"{there} there, {asked} was asked"
