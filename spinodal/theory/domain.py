"""Checks of the arguments of closed forms, numbers or arrays: InputError outside the domain of a formula."""

import numpy as np
from jaxtyping import Float, Int

from spinodal.errors import InputError

Number = float | int | np.number
Numbers = Number | Float[np.ndarray, "..."] | Int[np.ndarray, "..."]
Counts = int | np.integer | Int[np.ndarray, "..."]

TERMS = 1_000_000  # of a series or a recursion: seconds
LARGEST_EXPONENT = 700.0  # e^709 is the last power of e in double precision
LEAST_BETA = -150.0  # below, squares of e^{-beta (1 - gamma)} overflow


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


def temperature(beta: Numbers, *, least: float = 0.0, most: float = np.finfo(float).max) -> np.ndarray:
    """beta as float64, where least <= beta <= most; else InputError.

    With `least` >= 0 the error for a negative beta says that the formula does not apply to it.
    """
    array = np.asarray(beta, dtype=float)
    if least >= 0 and np.any(array < 0):
        raise InputError(f"beta = {np.min(array):.17g}: the formula does not apply to beta < 0", field="beta")
    return real("beta", array, least, most)


def signed_temperature(beta: Numbers, most: float = np.finfo(float).max) -> np.ndarray:
    """beta as float64, of either sign, where |beta| <= most; else InputError."""
    return temperature(beta, least=-most, most=most)
