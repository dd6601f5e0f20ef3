r"""Any function of tokens, weights and time as a field: theta_i' = P_{theta_i} f(theta, w, t)_i."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.arrays import fast_array
from spinodal.errors import InputError, require_types
from spinodal.flows.engines.kernel import Number
from spinodal.flows.engines.law import EPS
from spinodal.flows.fields.checks import finite, nan_rate, state_arrays
from spinodal.flows.state import Rate, State


@dataclass(frozen=True, eq=False)
class FunctionField:
    """theta_i' = P_{theta_i} f(theta, w, t)_i, and sqrt(2 / kappa) dW_i where kappa is finite.

    The flow of `function(x, weights, t) -> drift`, for tokens x [n d] on the sphere, their weights [n] and the time; it
    returns [n d], of which the part along a token is left out. Tokens merge where `merges` says that those in one place
    stay together; `in_span` says that they stay in the span of the start, so that n < d tokens may be followed in n
    coordinates; `euclidean` that they lie anywhere in R^d, and nothing of f is left out. `flows.simulate` takes a bare
    function as FunctionField(function). Where all rest it asks again after a tenth of the time, or of 1. The bound on
    its error is that of rounding, 8 eps |f|: what `function` loses beyond it is not known. InputError where it returns
    another shape.

    >>> import numpy as np
    >>> from spinodal import flows
    >>> pull = lambda x, weights, t: np.array([0.0, 1.0]) - 0 * x
    >>> flows.simulate(pull, np.array([[1.0, 0.0], [0.6, 0.8]]), 20.0).tokens[-1].round(6).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """

    function: Callable[..., Any]
    merges: bool = False
    kappa: Number = math.inf
    in_span: bool = False
    euclidean: bool = False

    def __post_init__(self) -> None:
        require_types(self, merges=bool, kappa=Real, in_span=bool, euclidean=bool)
        if not callable(self.function):
            raise InputError(f"`function` {self.function!r}: a function is needed", field="function")
        if not self.kappa > 0:
            raise InputError(f"`kappa` {self.kappa}: must be positive, inf for no noise", field="kappa")
        if self.kappa < math.inf and (self.merges or self.in_span):
            raise InputError(
                f"`kappa` {self.kappa}: tokens with noise neither merge nor stay in a span; leave out "
                "`merges` and `in_span`",
                field=("kappa", "merges", "in_span"),
            )

    @property
    def noise(self) -> float:
        """1 / kappa."""
        return 1 / self.kappa

    @property
    def projections(self) -> int:
        """How often the part along a token is taken out."""
        return 0 if self.euclidean else 2

    def __call__(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate:
        """theta' = P f, with NaN for a state that is not finite."""
        state = state_arrays(state)
        if not finite(state):
            return nan_rate(state)
        x = state.directions
        f = fast_array(self.function(x, weights, time), "function")
        if f.shape != x.shape:
            raise InputError(
                f"`function` returns shape {f.shape} for tokens {x.shape}: a drift a token is needed",
                field="function",
            )
        drift = f
        for _ in range(self.projections):  # a second one removes what rounding left of the first
            drift = drift - np.sum(drift * x, 1, keepdims=True) * x
        bound = 8 * EPS * np.linalg.norm(f, axis=1)
        return Rate(drift, np.zeros(len(x)), np.full(len(x), np.nan), bound)
