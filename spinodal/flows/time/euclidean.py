r"""Steps of tokens anywhere in R^d: x <- x + sum_j a_j k_j, without a projection.

The error of a step is relative: `tolerance` (1 + max_i |x_i|).
"""

import numpy as np
from jaxtyping import Float

from spinodal.errors import ConvergenceError
from spinodal.flows.engines.field import FARTHEST
from spinodal.flows.state import Rate, State
from spinodal.flows.time import dormand_prince as dp
from spinodal.loops import product


class EuclideanStages(dp.Stages):
    """The seven stages of a step of tokens in R^d."""

    def state_along(self, state: State, a: Float[np.ndarray, " s"]) -> State:
        x = state.directions
        return State(x + product(a, self.k[: len(a)].reshape(len(a), -1)).reshape(x.shape), state.lengths)

    def move_on(self, state: State, rate: Rate, time: float) -> State:
        return State(state.directions + time * rate.drift, state.lengths)

    def scale(self, state: State) -> float:
        return 1 + float(np.abs(state.directions).max())


def require_near(x: Float[np.ndarray, "n d"], time: float, rescaled: bool = False) -> None:
    """ConvergenceError where tokens have grown out of what doubles hold."""
    if np.abs(x).max(initial=0.0) > FARTHEST:
        way = (
            "as e^(-tV) does where V < 0; `normalisation` none follows x = e^(tV) z, which stays bounded"
            if rescaled
            else "as e^(tV) does; `normalisation` rescaled follows z = e^(-tV) x, which stays bounded"
        )
        raise ConvergenceError(
            f"stopped at t = {time:.6g}: tokens have grown to {np.abs(x).max():.3g}, {way}, or give an earlier `until`",
            field=("until", "normalisation"),
        )
