r"""One adaptive step of Dormand and Prince, for flows that are autonomous.

Time is only ever added to: a wait of 1e20 is followed by a merger that lasts one, which an integrator
that steps from t to t + h in doubles cannot resolve.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.integrate import RK45

from spinodal.errors import ConvergenceError

Rate = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]
GROWTH, SHRINKAGE, SAFETY = 10.0, 0.2, 0.9
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
    stages = np.empty((RK45.n_stages + 1, len(y)))
    stages[0] = f
    while h > LEAST:
        for i in range(1, RK45.n_stages):
            stages[i] = rate(y + h * (RK45.A[i, :i] @ stages[:i]))
        new = y + h * (RK45.B @ stages[:-1])
        stages[-1] = rate(new)
        error = h * size(RK45.E @ stages)
        factor = SAFETY * error**-0.2 if error > 0 else GROWTH
        if error <= 1:
            return Step(new, stages[-1].copy(), h, h * min(GROWTH, factor))
        h *= max(SHRINKAGE, factor) if np.isfinite(error) else SHRINKAGE
    raise ConvergenceError("no step is short enough for the tolerance: raise it, or lower beta")
