r"""Attention without layer norm, in the frame that moves with its own exponential growth  [glpr2023].

x_i' = sum_j p_ij V x_j grows like e^{tV}. With z = e^{-tV} x only differences are left,
    z_i' = Z_i^-1 sum_j w_j e^{b <Q e^{tV} z_i, K e^{tV} z_j>} V (z_j - z_i),
and a cluster loses no digits. Tokens are r theta = z, anywhere in R^d but at 0.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import expm

from spinodal.arrays import fast_array
from spinodal.errors import InputError, require_types
from spinodal.flows.engines import pairs
from spinodal.flows.engines.kernel import Number, times
from spinodal.flows.engines.law import Attention, law
from spinodal.flows.fields.checks import check_dimensions, finite, nan_rate, state_arrays
from spinodal.flows.fields.heads import IDENTITY, Head
from spinodal.flows.fields.schemes import positive
from spinodal.flows.state import Rate, State


@dataclass(frozen=True, eq=False)
class UnnormalisedField:
    """z_i' = Z_i^-1 sum_j w_j e^{b <Q e^{tV} z_i, K e^{tV} z_j>} V (z_j - z_i)  [glpr2023].

    Attention without normalisation of tokens, in coordinates that remove the growth e^{tV}. The cost is O(n^2). Tokens
    never merge, since two of one direction may differ in length. Z of the rate is scaled by the largest exponent,
    b |Q e^{tV} z_i| max_j |K e^{tV} z_j|. InputError where e^{tV} overflows.
    """

    beta: Number
    head: Head = IDENTITY
    causal: bool = False

    merges = False
    noise = 0.0
    in_span = False

    def __post_init__(self) -> None:
        require_types(self, head=Head, causal=(bool, np.bool_))
        law("sa", self.beta)
        if self.head.biased:
            raise InputError("`head`: without layer norm there are no biases", field="head")

    def __call__(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate:
        """theta' = P z' / r, r' = <theta, z'>; NaN where r is not positive."""
        state, weights = state_arrays(state), fast_array(weights, "weights")
        check_dimensions(state, weights, self.head.d)
        theta, r = state
        if not finite(state):
            return nan_rate(state)
        z = r[:, None] * theta
        mean, largest = self.mean(time, z, weights)
        v, V = times(self.head.value_matrix, mean.shift), self.head.value_norm
        along = np.sum(v * theta, 1)
        Z = np.exp(mean.log_partition - largest)
        r = positive(r)
        return Rate(
            (v - along[:, None] * theta) / r[:, None], along, Z, 2 * V * mean.error_bound / r, "direct"
        )

    def velocity(
        self, time: float, z: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "n d"]:
        """z' [n d] at tokens z in R^d; z_i = 0 is allowed."""
        return times(self.head.value_matrix, self.mean(time, z, weights)[0].shift)

    def mean(
        self, time: float, z: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]
    ) -> tuple[Attention, Float[np.ndarray, " n"]]:
        """sum_j p_ij (z_j - z_i), and the largest exponent of each token."""
        V = self.head.value_matrix
        with np.errstate(over="ignore", invalid="ignore"):
            grown = times(np.exp(time * V), z) if np.ndim(V) == 0 else times(expm(time * np.asarray(V)), z)
            targets, sources = self.beta * times(self.head.queries, grown), times(self.head.keys, grown)
            largest = np.linalg.norm(targets, axis=1) * np.linalg.norm(sources, axis=1).max()
        if not np.isfinite(largest).all():
            raise InputError(f"time {time:g}: b <Q e^(tV) z, K e^(tV) z> leaves the range of doubles")
        return pairs.interaction(targets, sources, z, weights, z, self.causal), largest
