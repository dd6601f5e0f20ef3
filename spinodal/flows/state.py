r"""The state of weighted tokens, its rate of change, and the field that maps the one to the other.

Directions and lengths are kept apart: a token is r_i theta_i with theta_i a unit vector, and most fields
leave r_i = 1 alone. Weights are masses: merged tokens are one heavier token. A field that has `euclidean` set is one
of tokens anywhere in R^d, which take the place of the directions.

    symbol  meaning                                        shape
    theta   directions (tokens, where all r = 1)           n d
    r       lengths                                        n
    w       weights, >= 0, summing to one                  n
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


class State(NamedTuple):
    """r_i theta_i: directions theta [n d], unit vectors, and lengths r [n]."""

    directions: Float[np.ndarray, "n d"]
    lengths: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Rate:
    """d theta / dt (tangent), dr / dt, the scaled Z of `engines.law`, and a bound on |drift_i - exact drift_i|.

    It unpacks into these four; `engine` names the engines that ran.
    """

    drift: Float[np.ndarray, "n d"]
    growth: Float[np.ndarray, " n"]
    Z: Float[np.ndarray, " n"]
    error_bound: Float[np.ndarray, " n"]
    engine: str = ""

    def __iter__(self) -> Iterator[Float[np.ndarray, "..."]]:
        return iter((self.drift, self.growth, self.Z, self.error_bound))


def is_euclidean(field: object) -> bool:
    """Whether the tokens of a field lie anywhere in R^d: they are the directions of a state, and lengths are 1."""
    return getattr(field, "euclidean", False)


@runtime_checkable
class Field(Protocol):
    """theta' and r' of weighted tokens as a function of time and state, with what an integrator needs."""

    @property
    def merges(self) -> bool:
        """Whether tokens that coincide stay together, so that they may become one heavier token."""
        ...

    @property
    def noise(self) -> float:
        """1 / kappa of Brownian motion sqrt(2 / kappa) dW on the sphere; 0 where there is none."""
        ...

    @property
    def in_span(self) -> bool:
        """Whether tokens stay in the span of the start and only their inner products matter.

        Then n < d tokens may be integrated in n coordinates.
        """
        ...

    def __call__(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate: ...
