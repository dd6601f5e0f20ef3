"""States to start from, by name: the consensus at 0, twisted ones, and one drawn by chance."""

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError

State = Float[np.ndarray, " n"]  # x, one number a vertex


def twisted_state(n: int, q: int) -> State:
    """x_k = 2 pi q k / n on the cycle: an equilibrium of every coupling of period 2 pi."""
    return 2 * np.pi * q * np.arange(n) / n


def initial_state(name: str, n: int, *, seed: int = 0) -> State:
    """The state of a name: zero, random (standard normal, from the seed), or twisted:Q (x_k = 2 pi Q k / n).

    >>> initial_state("twisted:1", 4).round(2).tolist()
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
    """x as numbers; InputError unless it is n finite ones, one a vertex."""
    if x.dtype.kind not in "biuf" or x.shape != (n,) or not np.isfinite(x).all():
        raise InputError(
            f"`{field}` has shape {x.shape}: {n} finite numbers, one a vertex, are needed", field=field
        )
    return x.astype(float)
