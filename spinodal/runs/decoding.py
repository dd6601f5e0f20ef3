"""JSON and arrays as the frozen dataclasses that they were made of (runs/codec.py).

The types of the fields say how JSON is read. In a union, or where the field's type is abstract, the "type" of a
registered dataclass decides. A text that reads "inf", "-inf" or "nan" is a number where a float may stand.
"""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from spinodal.errors import InputError
from spinodal.runs.codec import CLASSES, NAMES, NOT_FINITE, digest, is_array

T = TypeVar("T")


def decode(cls: type[T], value: Any, arrays: Mapping[str, np.ndarray] | None = None) -> T:
    """The value of type `cls` that `encode` made `value` and `arrays` from.

    InputError names the place of an unknown or missing field, of a value of the wrong type and of an array that is
    missing or not what was written. Fields that are missing take their defaults.
    """
    return _decode(cls, value, "", arrays or {})


def _fail(path: str, wanted: str, value: object) -> InputError:
    return InputError(f"{path or 'value'}: {wanted}, not {str(value)[:80]!r}", field=path.split(".")[0] or ())


def _decode(hint: Any, value: Any, path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _decode(arguments[0], value, path, arrays)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(arguments, value, path, arrays)
    if origin is typing.Literal:
        if value not in arguments:
            raise _fail(path, f"one of {', '.join(map(str, arguments))} is needed", value)
        return value
    if hint in (Any, object):
        return _decode_untyped(value, path, arrays)
    kind = origin or hint
    if kind in PLAIN:
        return PLAIN[kind](value, path)
    if not isinstance(kind, type):
        raise TypeError(f"{path or 'value'}: {hint} says no type that JSON could be read as")
    if kind is np.ndarray or hasattr(kind, "array_type"):
        return _decode_array(value, path, arrays)
    if issubclass(kind, enum.Enum):
        if value not in kind.__members__:
            raise _fail(path, f"one of {', '.join(kind.__members__)} is needed", value)
        return kind[value]
    if issubclass(kind, Path):
        return Path(_text(value, path))
    if issubclass(kind, np.generic):
        return kind(PLAIN[type(kind(0).item())](value, path))
    if issubclass(kind, tuple) or kind in (list, Sequence):
        return _decode_sequence(kind, arguments, value, path, arrays)
    if issubclass(kind, Mapping):
        return _decode_mapping(arguments, value, path, arrays)
    return _decode_object(kind, value, path, arrays)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _fail(path, "text is needed", value)
    return value


def _whole(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _fail(path, "a whole number is needed", value)
    return value


def _number(value: Any, path: str) -> float:
    if isinstance(value, str) and value in NOT_FINITE:
        return NOT_FINITE[value]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _fail(path, "a number is needed", value)
    return float(value)


def _truth(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _fail(path, "true or false is needed", value)
    return value


def _nothing(value: Any, path: str) -> None:
    if value is not None:
        raise _fail(path, "null is needed", value)


PLAIN: dict[Any, Callable[[Any, str], Any]] = {
    str: _text, int: _whole, float: _number, bool: _truth, type(None): _nothing, None: _nothing,
}  # fmt: skip


def _decode_untyped(value: Any, path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    """JSON as it is, but for arrays and registered dataclasses."""
    if isinstance(value, list):
        return [_decode_untyped(part, f"{path}.{i}", arrays) for i, part in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if is_array(value):
        return _decode_array(value, path, arrays)
    if value.get("type") in CLASSES:
        return _decode_object(object, value, path, arrays)
    return {key: _decode_untyped(part, f"{path}.{key}", arrays) for key, part in value.items()}


def _decode_union(options: Sequence[Any], value: Any, path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    """The value by the first type of the union that reads it; the type of the JSON itself is tried first."""
    if isinstance(value, dict) and "type" in value:
        options = [o for o in options if NAMES.get(typing.get_origin(o) or o) == value["type"]] or options
    elif isinstance(value, str) and value in NOT_FINITE and float in options:
        return NOT_FINITE[value]
    exact = [o for o in options if o is type(value)]
    told = []
    for option in [*exact, *(o for o in options if o not in exact)]:
        try:
            return _decode(option, value, path, arrays)
        except InputError as error:
            told.append(str(error))
    reasons = list(dict.fromkeys(told if len(told) == 1 else [t for t in told if "null is needed" not in t]))
    raise InputError("; or ".join(reasons), field=path.split(".")[0] or ())


def _decode_array(value: Any, path: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if not is_array(value):
        raise _fail(path, "an array is needed", value)
    name = value["array"]
    if name not in arrays:
        raise InputError(f"{path or 'value'}: the array {name!r} is missing")
    found = np.asarray(arrays[name])
    if (list(found.shape), found.dtype.str, digest(found)) != tuple(
        value[k] for k in ("shape", "dtype", "sha256")
    ):
        raise InputError(f"{path or 'value'}: the array {name!r} is not what was written")
    return found


def _decode_sequence(
    kind: type, arguments: tuple, value: Any, path: str, arrays: Mapping[str, np.ndarray]
) -> Any:
    if hasattr(kind, "_fields"):
        return _decode_object(kind, value, path, arrays)
    if not isinstance(value, list):
        raise _fail(path, "a list is needed", value)
    if kind is not tuple or (len(arguments) == 2 and arguments[1] is Ellipsis):
        hints = [arguments[0] if arguments else Any] * len(value)
    else:
        hints = list(arguments) if arguments else [Any] * len(value)
        if len(hints) != len(value) and arguments != ((),):
            raise _fail(path, f"{len(hints)} entries are needed", value)
    parts = [
        _decode(h, v, f"{path}.{i}" if path else str(i), arrays)
        for i, (h, v) in enumerate(zip(hints, value, strict=True))
    ]
    return parts if kind is list else tuple(parts)


def _decode_mapping(arguments: tuple, value: Any, path: str, arrays: Mapping[str, np.ndarray]) -> dict:
    if not isinstance(value, dict):
        raise _fail(path, "an object is needed", value)
    key_hint, hint = arguments or (str, Any)
    read = int if key_hint is int else str
    return {
        read(key): _decode(hint, part, f"{path}.{key}" if path else key, arrays)
        for key, part in value.items()
    }


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise TypeError(f"{cls.__qualname__}: the type of a field cannot be found ({error})") from None


def _decode_object(kind: type, value: Any, path: str, arrays: Mapping[str, np.ndarray]) -> Any:
    """A dataclass or a named tuple from its fields; the registered one that "type" names, where it is a `kind`."""
    if not isinstance(value, dict):
        raise _fail(path, f"the fields of {kind.__name__} are needed", value)
    parts = dict(value)
    if NAMES.get(kind) is not None or not (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
        name = parts.pop("type", NAMES.get(kind))
        if name not in CLASSES:
            raise _fail(path, f"the type of a {kind.__name__} is needed: {', '.join(_of(kind))}", name)
        if not _is_a(CLASSES[name], kind):
            raise _fail(path, f"a {kind.__name__} is needed: {', '.join(_of(kind))}", name)
        kind = CLASSES[name]
    if dataclasses.is_dataclass(kind):
        fields = {
            f.name: f.default is f.default_factory is dataclasses.MISSING
            for f in dataclasses.fields(kind)
            if f.init and f.metadata.get("saved") != "never"
        }
    else:
        defaults = getattr(kind, "_field_defaults", {})
        fields = {name: name not in defaults for name in getattr(kind, "_fields", ())}
    where = f"{path}: " if path else ""
    if unknown := parts.keys() - fields.keys():
        raise InputError(
            f"{where}{', '.join(sorted(unknown))}: no field of {kind.__name__}, which has {', '.join(fields)}",
            field=path.split(".")[0] or min(unknown),
        )
    if missing := [name for name, needed in fields.items() if needed and name not in parts]:
        raise InputError(f"{where}{', '.join(missing)} of {kind.__name__} is missing", field=missing[0])
    hints = _hints(kind)
    return kind(**{n: _decode(hints[n], v, f"{path}.{n}" if path else n, arrays) for n, v in parts.items()})


def _is_a(cls: type, kind: type) -> bool:
    """Whether a registered class may stand for another; True for a protocol that Python cannot test."""
    try:
        return issubclass(cls, kind)
    except TypeError:
        return True


def _of(kind: type) -> list[str]:
    return sorted(name for name, cls in CLASSES.items() if _is_a(cls, kind))
