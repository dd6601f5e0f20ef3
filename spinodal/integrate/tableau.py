r"""Explicit Runge--Kutta methods as data.

k_s = f(x + h sum_{j<s} A_sj k_j),   x(t + h) = x + h sum_j A_{Sj} k_j,   error = h sum_j E_j k_j,
x(t + theta h) = x + h sum_j p_j(theta) k_j,   p_j(theta) = sum_m P_jm theta^{m+1}.

The last row of A makes the end of the step, so that its rate is stage 0 of the next (first same as last).

    symbol  meaning                                           shape
    A       coefficients of the stages, the last row the end  s s
    E       weights of order five less those of order four    s
    P       polynomials of the interpolant                    s 4
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float
from numba.extending import register_jitable


class Tableau(NamedTuple):
    """x(t+h) = x + h sum_j A_Sj k_j, error = h sum_j E_j k_j, x(t + theta h) = x + h sum_jm P_jm theta^{m+1} k_j.

    The coefficients of an explicit Runge-Kutta method of this order: A of its stages [s s], whose last row makes the
    end of the step, E of its error estimate [s] and P of its interpolant [s 4]. `source` is their key in
    references.bib.
    """

    A: Float[np.ndarray, "s s"]
    E: Float[np.ndarray, " s"]
    P: Float[np.ndarray, "s p"]
    order: int
    source: str


DORMAND_PRINCE = Tableau(
    A=np.array([
        [0, 0, 0, 0, 0, 0, 0],
        [1 / 5, 0, 0, 0, 0, 0, 0],
        [3 / 40, 9 / 40, 0, 0, 0, 0, 0],
        [44 / 45, -56 / 15, 32 / 9, 0, 0, 0, 0],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0, 0],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0, 0],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    ]),
    E=np.array([-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40]),
    P=np.array([
        [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
        [0, 0, 0, 0],
        [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
        [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
        [0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632],
        [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
        [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
    ]),
    order=5,
    source="dormand1980",  # the interpolant: shampine1986, with the best c_6
)  # fmt: skip
P = DORMAND_PRINCE.P


@register_jitable
@no_type_check
def interpolant(theta):
    """p_j(theta) with x(t + theta h) = x + h sum_j p_j k_j to fourth order  [shampine1986].

    The weights of the stages of `DORMAND_PRINCE` for the state at a fraction theta of a step.
    """
    return P @ theta ** np.arange(1, 5)
