"""JSON objects that contain their own checksum, by which a reader detects damage.

    {..., "checksum": sha256 of all other entries, as JSON with sorted keys and no spaces}

An object without the entry is read too, as earlier versions wrote it; callers refuse it if its format
requires a checksum.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spinodal.runs.files import Place, write_json

CHECKSUM = "checksum"


class DamageError(ValueError):
    """A file is not what was written; the message is the predicate of a sentence on it, "is no JSON"."""


def object_checksum(value: Mapping[str, Any]) -> str:
    """sha256 of the entries of a JSON object but for its own checksum, whatever their order and spacing."""
    entries = {name: entry for name, entry in value.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_sealed(path: Place, value: Mapping[str, Any]) -> None:
    """Writes a JSON object with its checksum, complete or absent; ValueError for nan and inf."""
    write_json(path, {**value, CHECKSUM: object_checksum(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """The JSON object in a file, its checksum with it where it has one.

    DamageError where the file cannot be read, holds something else, or has a checksum of something else;
    FileNotFoundError where there is none.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamageError(f"cannot be read ({error})") from None
    except (ValueError, RecursionError) as error:
        raise DamageError(f"is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise DamageError("is no JSON object")
    if CHECKSUM in value and value[CHECKSUM] != object_checksum(value):
        raise DamageError("is not what was written, its checksum is of something else")
    return value
