"""States of a graph: their checks, and those to start from by name: zero, random and twisted."""

import re

import numpy as np
from jaxtyping import Float, Num, Shaped

from spinodal.errors import InputError

State = Float[np.ndarray, " n"]  # x, one number a vertex
LARGEST = 10**9  # of a whole number in a name


def real_array(values: Shaped[np.ndarray, "..."] | list, what: str) -> Float[np.ndarray, "..."]:
    """Numbers in double precision; InputError for complex ones, texts, masked arrays and anything else."""
    array = np.asarray(values)
    if isinstance(values, np.ma.MaskedArray) or array.dtype.kind not in "biuf":
        kind = "masked" if isinstance(values, np.ma.MaskedArray) else f"of type {array.dtype}"
        raise InputError(f"{what} is {kind}: real numbers are needed")
    return array.astype(np.float64, copy=False)


def real_states(x: Num[np.ndarray, "..."], n: int) -> Float[np.ndarray, "*b n"]:
    """x [*b n] in double precision; InputError unless it holds a real number for each of n vertices."""
    if type(x) is not np.ndarray or x.dtype != np.float64:
        x = real_array(x, "the state")
    if x.ndim == 0 or x.shape[-1] != n:
        raise InputError(f"the state has shape {x.shape}: {n} finite numbers, one a vertex, are needed")
    return x


def whole_number(text: str) -> int | None:
    """The whole number that a text writes in the digits 0 to 9, up to 10^9 in size; None for any other text."""
    if re.fullmatch(r"[+-]?[0-9]{1,10}", text) and abs(int(text)) <= LARGEST:
        return int(text)
    return None


def twisted_state(n: int, q: int) -> State:
    """x_k = 2 pi q k / n, an equilibrium of every coupling of period 2 pi on the cycle.

    The state in which phases turn q times around a cycle of n vertices.
    """
    return 2 * np.pi * q * np.arange(n) / n


def initial_state(name: str, n: int, *, seed: int = 0) -> State:
    """x_k = 0, a standard normal number, or 2 pi Q k / n, for the names zero, random and twisted:Q.

    A state of n vertices from its name; `random` is drawn from the seed. InputError for any other name.

    >>> from spinodal import graphs
    >>> graphs.initial_state("twisted:1", 4).round(2).tolist()
    [0.0, 1.57, 3.14, 4.71]
    """
    kind, _, turns = name.partition(":")
    if name == "zero":
        return np.zeros(n)
    if name == "random":
        return np.random.default_rng(seed).normal(size=n)
    if kind == "twisted" and (q := whole_number(turns)) is not None:
        return twisted_state(n, q)
    raise InputError(
        f"`start` {name}: zero, random, twisted:Q with a whole number Q, or a state", field="start"
    )


def state_vector(x: Shaped[np.ndarray, "..."], n: int, *, field: str) -> State:
    """x [n] as float64; InputError unless it holds one finite real number for each of n vertices."""
    found = None
    if isinstance(x, np.ma.MaskedArray):
        found = "is masked"
    elif x.dtype.kind not in "biuf":
        found = f"is of type {x.dtype}"
    elif x.shape != (n,):
        found = f"has shape {x.shape}"
    elif not np.isfinite(x).all():
        found = f"holds {x[~np.isfinite(x)][0]}"
    if found:
        raise InputError(f"`{field}` {found}: {n} finite numbers, one a vertex, are needed", field=field)
    return x.astype(np.float64)
