"""Limits on the size of a computation, so that a mistyped number raises InputError and does not run for days.

    amount <= limit, or InputError before work starts;   `with unlimited():` lifts every limit, as --unlimited does

Each package defines what it counts and the limit beside the code that is limited.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import SupportsFloat

from spinodal.errors import InputError

NUMBERS = 2**28  # of an array of tokens: 2 GiB; a simulation holds some twenty such
STEPS = 10_000_000  # of a fixed size: minutes to days, by the number of tokens
ROWS = 100_000  # of a table, of frames, of cells

_lifted: ContextVar[bool] = ContextVar("lifted", default=False)


@contextmanager
def unlimited() -> Iterator[None]:
    """Within the block no limit holds."""
    token = _lifted.set(True)
    try:
        yield
    finally:
        _lifted.reset(token)


def exceeds(limit: int, number: float | int) -> bool:
    """Whether a number is above the limit, outside of a block of `unlimited`."""
    return number > limit and not _lifted.get()


def require_at_most(limit: int, amount: SupportsFloat, what: str, field: str | tuple[str, ...] = ()) -> None:
    """InputError where an amount, such as 1e8 "layers", is above its limit, which the message says how to lift."""
    try:
        number = float(amount)
    except OverflowError:
        number = math.inf
    if exceeds(limit, number):
        fields = (field,) if isinstance(field, str) else field
        named = ", ".join(f"`{name}`" for name in fields)
        raise InputError(
            f"{named + ': ' if named else ''}{number:,.6g} {what}, where the limit is {limit:,}; `unlimited` lifts it",
            field=(*fields, "unlimited"),
        )
