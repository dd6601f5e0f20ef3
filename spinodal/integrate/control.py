r"""Step sizes of a method of order five from the estimates of its error.

h_next = h clip(safety min(e^{-1/5}, trend), shrink, grow),   trend = (h / h') (e' / e^2)^{1/5},

e the error over the tolerance (a step is taken where e <= 1), h' and e' the step before and its error. The
trend is what e^{-1/5} would be if e^{1/5} / h goes on changing as it did: where two tokens fall together steps
shrink all the way, and a controller that knows only the present error rejects every other one.

Scalar functions, for Python and for compiled loops alike.
"""

import math
from typing import NamedTuple, no_type_check

from numba.extending import register_jitable


class Controller(NamedTuple):
    """h_next = h clip(safety e^{-1/5}, shrink, grow) for an error e, in units of the tolerance.

    The constants of the step size control: `next_step` follows an accepted step, and also depends on the step
    before it; `repeated_step` follows a rejected one.
    """

    safety: float
    shrink: float
    grow: float


@register_jitable
@no_type_check
def next_step(limits, h, error, before=(0.0, 1.0)):
    """h_next = h clip(safety min(e^{-1/5}, (h / h') (e' / e^2)^{1/5}), shrink, grow)  [derived].

    The step size after a step h that was accepted with error e; `before` is (h', e') of the step before it, h' = 0
    where there was none.
    """
    if error == 0:
        return h * limits.grow
    steady = error**-0.2
    trend = h / before[0] * (before[1] / (error * error)) ** 0.2 if before[0] > 0 else steady
    return h * min(limits.grow, max(limits.shrink, limits.safety * min(steady, trend)))


@register_jitable
@no_type_check
def repeated_step(limits, h, error):
    """h_next = h clip(safety e^{-1/5}, shrink, safety), with e > 1.

    The step size with which a rejected step is repeated; h shrink where the error is not finite.
    """
    factor = limits.safety * error**-0.2 if math.isfinite(error) else limits.shrink
    return h * min(limits.safety, max(limits.shrink, factor))
