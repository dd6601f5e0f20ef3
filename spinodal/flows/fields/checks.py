"""What a field checks of the tokens that it is called with."""

import math

import numpy as np
from jaxtyping import Float

from spinodal.arrays import fast_array
from spinodal.errors import InputError
from spinodal.flows.state import Rate, State


def checked_tokens(
    x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None, d: int | None, least: int = 2
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    """Tokens and weights, equal ones if not given, in double precision and C order; InputError for a wrong d."""
    x = fast_array(x, "x")
    weights = np.full(len(x), 1 / len(x)) if weights is None else fast_array(weights, "weights")
    check_dimensions(State(x, np.ones(len(x))), weights, d, least)
    return x, weights


def state_arrays(state: State) -> State:
    """The state in double precision and C order, as engines read it."""
    return State(fast_array(state.directions, "directions"), fast_array(state.lengths, "lengths"))


def check_dimensions(state: State, weights: Float[np.ndarray, " n"], d: int | None, least: int = 2) -> None:
    """InputError where the numbers of tokens differ, or the matrices are for another d."""
    x, r = state
    n = len(x)
    if n == 0 or x.ndim != 2 or x.shape[1] < least:
        raise InputError(f"directions have shape {x.shape}: at least one token, on spheres of R^2 and above")
    if r.shape != (n,) or weights.shape != (n,):
        raise InputError(
            f"{n} directions with {len(r)} lengths and {len(weights)} weights: one of each a token"
        )
    if d is not None and d != x.shape[1]:
        raise InputError(f"tokens have d = {x.shape[1]}, the matrices of the field have d = {d}")


def finite(state: State) -> bool:
    """Whether every entry is finite, tested on their sum, which is faster."""
    with np.errstate(invalid="ignore", over="ignore"):
        return math.isfinite(state.directions.sum() + state.lengths.sum())


def nan_rate(state: State) -> Rate:
    """The rate of a state that is not finite: NaN throughout, without a call of an engine."""
    unknown = np.full(len(state.lengths), np.nan)
    return Rate(np.full_like(state.directions, np.nan), unknown, unknown, unknown)
