"""Frozen dataclasses as JSON and arrays, which `decode` of runs/decoding.py reads back, equal.

    value                                   JSON
    None, bool, int, str, finite float      itself
    inf, -inf, nan                          "inf", "-inf", "nan"
    tuple, list                             list
    mapping with keys of text or int        object
    Path, Enum                              its text, its name
    dataclass, named tuple                  object of its fields; with "type" where its class has a registered name
    NumPy number, NumPy array               a number; {"array": name, "shape", "dtype", "sha256"}

Of the fields of a dataclass, field(metadata=UNSAVED) is never saved, and field(metadata=SAVED_IF_SET) where it is not
its default, so that records of before the field was there stay equal to those of after.
"""

import dataclasses
import enum
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Arrays = dict[str, np.ndarray]

CLASSES: dict[str, type] = {}
NAMES: dict[type, str] = {}
UNSAVED = {"saved": "never"}
SAVED_IF_SET = {"saved": "if set"}
NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def register(name: str) -> Callable[[type[T]], type[T]]:
    """A decorator that gives a dataclass the short name by which it is saved and found again in a union."""

    def add(cls: type[T]) -> type[T]:
        known = CLASSES.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"{name!r} is registered for {known.__qualname__} already")
        CLASSES[name], NAMES[cls] = cls, name
        return cls

    return add


def encode(value: object) -> tuple[Any, Arrays]:
    """The JSON of a value, and its arrays by name; TypeError for what has no JSON, which names the place."""
    arrays: Arrays = {}
    return _encode(value, "", arrays), arrays


def equal(a: object, b: object) -> bool:
    """Whether two values have the same JSON and the same arrays, with nan equal to nan."""
    return type(a) is type(b) and encode(a)[0] == encode(b)[0]


def _encode(value: Any, path: str, arrays: Arrays) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray):
        return _encode_array(value, path, arrays)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if _is_saved(f, value)}
        head = {"type": NAMES[type(value)]} if type(value) in NAMES else {}
        return head | _encode_object(parts, path, arrays)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _encode_object(value._asdict(), path, arrays)  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, Mapping):
        return _encode_object(value, path, arrays)
    if isinstance(value, list | tuple):
        return [_encode(part, f"{path}.{i}" if path else str(i), arrays) for i, part in enumerate(value)]
    raise TypeError(f"{path or 'value'}: a {type(value).__name__} cannot be saved as JSON")


def _is_saved(field: dataclasses.Field, value: object) -> bool:
    rule = field.metadata.get("saved", "always")
    if rule == "if set":
        default = field.default_factory() if callable(field.default_factory) else field.default
        found = getattr(value, field.name)
        return found is not None if default is None else found != default  # an array has no one truth
    return field.init and rule == "always"


def _encode_object(parts: Mapping[Any, Any], path: str, arrays: Arrays) -> dict[str, Any]:
    for key in parts:
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise TypeError(f"{path or 'value'}: the key {key!r} is neither text nor a whole number")
        if not isinstance(key, str) and str(key) in parts:
            raise TypeError(f"{path or 'value'}: the keys {key!r} and {str(key)!r} are one key in JSON")
    return {
        str(key): _encode(part, f"{path}.{key}" if path else str(key), arrays) for key, part in parts.items()
    }


def _encode_array(value: np.ndarray, path: str, arrays: Arrays) -> dict[str, Any]:
    if value.dtype.hasobject:
        raise TypeError(f"{path or 'value'}: an array of objects cannot be saved")
    name = path or "value"
    if name in arrays:
        raise TypeError(f"{name}: two arrays have this name; keys of mappings with dots make it: rename one")
    arrays[name] = value
    return {"array": name, "shape": list(value.shape), "dtype": value.dtype.str, "sha256": digest(value)}


def is_array(value: object) -> bool:
    """Whether JSON stands for an array that is kept elsewhere."""
    return isinstance(value, Mapping) and value.keys() == {"array", "shape", "dtype", "sha256"}


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
