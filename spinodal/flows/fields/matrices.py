r"""Matrices of a head from a text, on the command line and in Python alike.

text           matrix
diag:2,1,-0.5  the diagonal one of these entries
scaled:-1      -1 times the identity, of any d
random:7       independent normal entries of variance 1 / d, from the seed and the role of the matrix
random:7:0.5   half of that
q.npy          that of the file, [k d], or [h k d] for h heads
"""

import math
from collections.abc import Callable

import numpy as np

from spinodal.arrays import read_array
from spinodal.errors import InputError
from spinodal.flows.engines.kernel import Matrix

ROLES = ("queries", "keys", "values")


def named_matrix(text: str, d: int | None = None, *, role: str = "values", draw: int | None = None) -> Matrix:
    """diag(a_1, ..., a_d) of "diag:A,B,...", a I of "scaled:A", G / sqrt(d) of "random:SEED", or that of a file.

    G has independent standard normal entries, which differ between the roles "queries", "keys" and "values"
    of one seed, and between `draw` None, 0, 1, ... `d` is needed for "random:SEED" alone. InputError names
    the value that is wrong, and `role` as its field.

    >>> from spinodal import flows
    >>> flows.named_matrix("diag:2,-0.5").tolist()
    [[2.0, 0.0], [0.0, -0.5]]
    """
    name, colon, rest = text.partition(":")
    if not colon or name not in (*FORMS, "random"):
        if text.endswith(".npy"):
            return read_array(text, option=role)
        raise InputError(
            f"`{role}` {text}: a matrix is a .npy file, diag:A,B,..., scaled:A or random:SEED", field=role
        )
    if name == "random":
        return random(rest, d, text, role, draw)
    return FORMS[name](rest, text, role)


def is_random(text: str) -> bool:
    """Whether a text is of a random matrix."""
    return text.startswith("random:")


def diagonal(rest: str, text: str, role: str) -> Matrix:
    entries = [finite_number(part, text, role) for part in rest.split(",")]
    return np.diag(entries)


def scaled(rest: str, text: str, role: str) -> Matrix:
    return finite_number(rest, text, role)


def random(rest: str, d: int | None, text: str, role: str, draw: int | None) -> Matrix:
    rest, colon, size = rest.partition(":")
    scale = finite_number(size, text, role) if colon else 1.0
    if not (rest.isascii() and rest.isdecimal()):
        raise InputError(f"`{role}` {text}: a seed is a whole number >= 0, and {rest!r} is none", field=role)
    if d is None:
        raise InputError(f"`{role}` {text}: `d` says how large a random matrix is", field=(role, "d"))
    key = [int(rest), 1 + ROLES.index(role)] if draw is None else [int(rest), 1 + ROLES.index(role), 1 + draw]
    return np.random.default_rng(key).standard_normal((d, d)) * (scale / math.sqrt(d))


def finite_number(part: str, text: str, role: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"`{role}` {text}: takes finite numbers, and {part!r} is none", field=role)
    return value


FORMS: dict[str, Callable[[str, str, str], Matrix]] = {
    "diag": diagonal,
    "scaled": scaled,
}


def shape_of(matrix: Matrix | str) -> tuple[int, ...]:
    """The shape of a matrix; () of a text, and of rows of different lengths, which `Head` refuses by name."""
    try:
        return () if isinstance(matrix, str) else np.shape(matrix)
    except ValueError:
        return ()


def matrices_of(given: tuple[Matrix | str, ...], d: int | None) -> tuple[Matrix, ...]:
    """Queries, keys and values with their texts as matrices; a random one has the d of the others, or `d`."""
    made = list(given)
    for late in (False, True):
        width = next((shape[-1] for m in made if len(shape := shape_of(m)) > 1), d)
        for i, matrix in enumerate(made):
            if isinstance(matrix, str) and is_random(matrix) == late:
                made[i] = named_matrix(matrix, width, role=ROLES[i])
    return tuple(m for m in made if not isinstance(m, str))
