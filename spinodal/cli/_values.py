"""Values that options give as text: lists and ranges of numbers."""

import contextlib
import math
from typing import Any

from spinodal.errors import InputError
from spinodal.limits import ROWS, require_at_most


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """(2, 32) from "2,32"."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"`{name}` {text}: whole numbers with commas between them, such as 2,32,1024", field=name
        ) from None


def spaced_numbers(name: str, text: str, number: int) -> tuple[float, ...]:
    """So many values from LOW to HIGH of "LOW:HIGH", evenly spaced; the one value where LOW alone is given."""
    try:
        ends = [float(part) for part in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2) or not all(map(math.isfinite, ends)) or ends != sorted(set(ends)):
        raise InputError(f"`{name}` {text}: takes LOW:HIGH, such as 0.1:9, or one number", field=name)
    if number < 1:
        raise InputError(f"`{name}s` {number}: must be at least 1", field=f"{name}s")
    if len(ends) == 1:
        return (ends[0],)
    require_at_most(ROWS, number, "values", f"{name}s")
    import numpy as np

    return tuple(np.linspace(ends[0], ends[1], number).tolist())


def end_time(text: str) -> float:
    """A time, infinite for "consensus"."""
    try:
        time = math.inf if text == "consensus" else float(text)
    except ValueError:
        time = math.nan
    if not time > 0 or (time == math.inf) != (text == "consensus"):
        raise InputError(f"`until` {text}: a positive time, or consensus", field="until")
    return time


def number(option: str, text: str) -> float:
    """A number; InputError where the text is none."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"`{option}` takes numbers, {text!r} is none", field=option) from None


def number_or_text(text: str | None) -> float | str | None:
    """A number where the text is one."""
    with contextlib.suppress(ValueError):
        return None if text is None else float(text)
    return text


def number_or_array(key: str, text: str) -> Any:
    """A whole number, a number, or an array of either."""
    try:
        values = [
            int(part) if part.strip().lstrip("+-").isdigit() else float(part) for part in text.split(",")
        ]
    except ValueError:
        raise InputError(f"{key}={text}: {key} takes a number, or several with commas between them") from None
    if len(values) == 1:
        return values[0]
    import numpy as np

    return np.array(values)
