"""What a closed form accepts: numbers, or arrays of them, refused outside the formula's domain."""

import numpy as np
from jaxtyping import Float, Int

from spinodal.errors import InputError

Number = float | int | np.number
Numbers = Number | Float[np.ndarray, "..."] | Int[np.ndarray, "..."]
Counts = int | np.integer | Int[np.ndarray, "..."]

TERMS = 1_000_000  # of a series or a recursion: seconds
LARGEST_EXPONENT = 700.0  # e^709 is the last power of e in double precision


def real(name: str, value: Numbers, low: float, high: float, *, ends: bool = True) -> np.ndarray:
    """The value as float64, where low <= value <= high (low < value < high without `ends`); else InputError."""
    array = np.asarray(value, dtype=float)
    good = (array >= low) & (array <= high) if ends else (array > low) & (array < high)
    if not np.all(good):
        sign = "<=" if ends else "<"
        raise InputError(
            f"{name} = {array[~good].flat[0]:.17g}: must satisfy {low:g} {sign} {name} {sign} {high:g}"
        )
    return array


def count(name: str, value: Counts, low: int) -> np.ndarray:
    """The value as integers, where value >= low; else InputError."""
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} = {value}: must be an integer")
    if not np.all(array >= low):
        raise InputError(f"{name} = {array[array < low].flat[0]}: must be at least {low}")
    return array


def temperature(beta: Numbers) -> np.ndarray:
    """beta as float64, where 0 <= beta < inf; else InputError."""
    return real("beta", beta, 0.0, np.finfo(float).max)
