"""States to start from, by name: the consensus at 0, twisted ones, and one drawn by chance."""

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError

State = Float[np.ndarray, " n"]  # x, one number a vertex


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
    if kind == "twisted" and turns.removeprefix("-").isdigit():
        return twisted_state(n, int(turns))
    raise InputError(
        f"`start` {name}: zero, random, twisted:Q with a whole number Q, or a state", field="start"
    )


def state_vector(x: np.ndarray, n: int, *, field: str) -> State:
    """x [n] as float64; InputError unless it holds one finite number for each of n vertices."""
    if x.dtype.kind not in "biuf" or x.shape != (n,) or not np.isfinite(x).all():
        raise InputError(
            f"`{field}` has shape {x.shape}: {n} finite numbers, one a vertex, are needed", field=field
        )
    return x.astype(float)
