"""Values that options give as text: lists and ranges of numbers."""

import contextlib
import math
from typing import Any

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


def end_time(text: str) -> float:
    """A time, infinite for "consensus"."""
    try:
        time = math.inf if text == "consensus" else float(text)
    except ValueError:
        time = math.nan
    if not time > 0 or (time == math.inf) != (text == "consensus"):
        raise InputError(f"`until` {text}: a positive time, or consensus", field="until")
    return time


def token_start(text: str, n: int | None, d: int | None, width: int, seed: int, normalise: bool) -> Any:
    """The start that --start names, or of the tokens in its file."""
    from spinodal.cli._arrays import read_array
    from spinodal.flows import NAMED_STARTS, TokenStart, named_start

    if text in NAMED_STARTS:
        return named_start(text, 64 if n is None else n, width if d is None else d, seed)
    given = read_array(text)
    for name, asked, found in zip("nd", (n, d), given.shape, strict=False):
        if asked not in (None, found):
            raise InputError(
                f"`{name}` {asked}, but `start` {text} has {name} = {found}", field=(name, "start")
            )
    try:
        return TokenStart(given, normalise)
    except InputError as error:
        raise InputError(str(error).replace("`start`", f"`start` {text}", 1), field=error.fields) from None


def flow_method(clock: str, step: float | None, tol: float, seed: int, *, noisy: bool) -> Any:
    """The clock of a simulation: its own steps for ode, layers, or steps for a field with noise."""
    from spinodal.flows import Adaptive, Layers, Noisy

    if clock not in ("ode", "layer"):
        raise InputError(f"`clock` {clock!r} is none of ode, layer", field="clock")
    if clock == "layer":
        return Layers(0.1 if step is None else step, seed)
    if noisy:
        return Noisy(0.01 if step is None else step, seed)
    if step is not None:
        raise InputError(
            f"`step` {step:g}: the ode clock chooses its steps by `tol`; steps are for layers and noise",
            field=("step", "tol"),
        )
    return Adaptive(tol)


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
