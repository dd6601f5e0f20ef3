"""Numbers that commands read from files."""

import warnings
from pathlib import Path

import numpy as np

from spinodal.arrays import read_array
from spinodal.errors import InputError


def read_table(path: Path, *, columns: int | None = None) -> np.ndarray:
    """Lines of numbers, # for comments, or a .npy file; InputError unless each has so many, where that is said."""
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        if path.suffix.lower() == ".npy":
            return of_columns(path, read_array(path), columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file, which is refused below
            table = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return of_columns(path, table, columns)


def of_columns(path: Path, table: np.ndarray, columns: int | None) -> np.ndarray:
    """A table of rows, one number a row where it has one axis; InputError unless it has so many columns."""
    if table.ndim == 1:
        table = table[:, None]
    if not table.size:
        raise InputError(f"{path}: no number in it")
    if table.ndim != 2 or columns not in (None, table.shape[1]):
        raise InputError(f"{path}: {columns or 'several'} number(s) a line, here are {table.shape[1:]}")
    return table
