"""Values that options give as text: lists and ranges of numbers."""

import math

from spinodal.errors import InputError


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
    import numpy as np

    return tuple(np.linspace(ends[0], ends[1], number).tolist())
