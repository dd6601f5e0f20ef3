r"""One adaptive step of Dormand and Prince for densities, whose flow is autonomous.

Time is only ever added to: a wait of 1e20 is followed by a merger that lasts one, which an integrator
that steps from t to t + h in doubles cannot resolve.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import ConvergenceError
from spinodal.integrate import DORMAND_PRINCE, Controller, next_step, repeated_step

Rate = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]
A, E = DORMAND_PRINCE.A, DORMAND_PRINCE.E
CONTROLLER = Controller(safety=0.9, shrink=0.2, grow=10.0)
LEAST = 1e-300


class Step(NamedTuple):
    """State and rate after a step of length `taken`, and the length to try next."""

    y: Float[np.ndarray, " n"]
    rate: Float[np.ndarray, " n"]
    taken: float
    following: float


def step(
    rate: Rate,
    y: Float[np.ndarray, " n"],
    f: Float[np.ndarray, " n"],
    h: float,
    size: Callable[[Float[np.ndarray, " n"]], float],
) -> Step:
    """y(t + h) for the largest h at most the given one whose estimated error has size(e) <= 1; f = rate(y)."""
    stages = np.empty((len(A), len(y)))
    stages[0] = f
    while h > LEAST:
        new = y
        for i in range(1, len(A)):
            new = y + h * (A[i, :i] @ stages[:i])
            stages[i] = rate(new)
        error = h * size(E @ stages)
        if error <= 1:
            return Step(new, stages[-1].copy(), h, next_step(CONTROLLER, h, error))
        h = repeated_step(CONTROLLER, h, error)
    raise ConvergenceError("no step is short enough for the tolerance: raise it, or lower beta")
