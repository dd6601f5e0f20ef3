r"""Metastability: how long well separated clusters last, and the energy levels on which they wait.

Tokens in caps around k directions feel other caps only through weights of at most e^{(alpha-1) beta}. Against
that stand weights of at least e^{-8 eps beta} / n within a cap. So caps contract soon and leak late: between
T_1 and T_2 tokens look like k points. This is the theorem of [gkpr2024] with hypotheses under which its proof
goes through [derived]; where one fails nothing is claimed, and `why_not` names it.

    symbol       meaning                                                          [gkpr2024]
    S_q(eps)     cap {<x, w_q> >= 1 - eps} around the direction w_q               S_q(eps)
    alpha        largest <x, y> over x, y in distinct caps S(2 eps)               alpha
    gamma        1 - alpha - 8 eps - log(2 n^2 / eps) / beta, must be positive    gamma, with another sign
    rate         lambda in (0, gamma]: contracted means 1 - <x, y> <= e^{-lambda beta} in a cap
    T_1, T_2     caps are contracted from T_1 on, and are left no sooner than T_2
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.theory.domain import Number, Numbers, count, real, temperature


class Metastability(NamedTuple):
    """The window [T_1, T_2] that the theorem gives, or the hypothesis that fails  [gkpr2024].

    Times are those of SA, or of USA with weights e^{beta (<x,y> - 1)} / n; under USA with e^{beta <x,y>} / n
    they are e^beta times shorter. `log_t1` and `log_t2` are natural logarithms, since T_2 overflows early;
    they and `rate` are nan where the theorem does not apply.
    """

    applies: bool
    why_not: str
    gamma: float
    rate: float
    log_t1: float
    log_t2: float


def cap_overlap(angle: Numbers, epsilon: Numbers) -> Numbers:
    """alpha = cos(angle - 2 arccos(1 - 2 eps))  [derived].

    The largest <x, y> of points in two caps S(2 eps) whose centres are `angle` apart; 1 if the caps meet.
    """
    angle = real("angle", angle, 0.0, np.pi)
    return np.cos(np.maximum(angle - 2 * np.arccos(1 - 2 * real("epsilon", epsilon, 0.0, 1.0)), 0.0))


def metastable_window(
    n: int, beta: Number, epsilon: Number, alpha: Number, *, share: Number = 1.0
) -> Metastability:
    """T_1 = 2n e^{8 eps beta} + e n lambda beta^2/(beta-1), T_2 = (eps/n) e^{(1-alpha) beta}  [gkpr2024].

    How soon n tokens that start in caps S_q(eps) contract to one point a cap, and how long the points last at least.
    lambda = share * gamma, 0 < share <= 1; `cap_overlap` gives alpha. T_1 is an upper bound and T_2 a lower one:
    nothing is said where T_1 >= T_2.
    """
    count("n", n, 2)
    real("epsilon", epsilon, 0.0, 1.0, ends=False)
    real("alpha", alpha, float(cap_overlap(np.pi, epsilon)), 1.0)  # no two caps are further apart
    real("share", share, np.nextafter(0.0, 1.0), 1.0)
    real("beta", temperature(beta), 0.0, np.inf, ends=False)
    gamma = 1 - alpha - 8 * epsilon - np.log(2 * n**2 / epsilon) / beta
    rate = share * gamma
    if beta <= 1:
        return _outside(f"beta = {beta:g} is not above 1", gamma)
    if alpha >= 1:
        return _outside("alpha = 1: two of the caps S(2 eps) meet", gamma)
    if rate <= 0:
        return _outside(f"gamma = 1 - alpha - 8 eps - log(2 n^2/eps)/beta = {gamma:g} is not positive", gamma)
    log_t1 = np.logaddexp(np.log(2 * n) + 8 * epsilon * beta, np.log(np.e * n * rate * beta**2 / (beta - 1)))
    log_t2 = np.log(epsilon / n) + (1 - alpha) * beta
    if log_t1 >= log_t2:
        return _outside(f"log T_1 = {log_t1:g} is not below log T_2 = {log_t2:g}", gamma)
    return Metastability(True, "", float(gamma), float(rate), float(log_t1), float(log_t2))


def metastable_configuration(
    tokens: Float[np.ndarray, "n d"], directions: Float[np.ndarray, "k d"], beta: Number, epsilon: Number
) -> Metastability:
    """T_1 and T_2 of `metastable_window` for given tokens and directions w_q of the caps  [gkpr2024].

    Checks that every token [n d] is in a cap around one of the directions [k d]; all are of unit length.
    """
    for name, x in (("tokens", tokens), ("directions", directions)):
        length = np.linalg.norm(x, axis=-1)
        if not np.all(np.abs(length - 1) < 1e-9):
            raise InputError(f"{name}: row {np.argmax(np.abs(length - 1))} is not a unit vector")
    if len(directions) < 2:
        return _outside("there are fewer than two caps", np.nan)
    overlap = (tokens @ directions.T).max(axis=1)
    if np.any(overlap < 1 - epsilon):
        return _outside(
            f"token {np.argmin(overlap)} is in no cap: its best <x, w_q> is {overlap.min():g}", np.nan
        )
    between = (directions @ directions.T)[~np.eye(len(directions), dtype=bool)]
    angle = np.arccos(np.clip(between.max(), -1.0, 1.0))
    return metastable_window(len(tokens), beta, epsilon, float(cap_overlap(angle, epsilon)))


def staircase_level(sizes: Numbers) -> Numbers:
    """2 beta E e^{-beta} = sum_q (n_q / n)^2  [derived].

    The energy, divided by its maximum, of clusters of n_q = `sizes` tokens that are far apart, beta (1 - <x,y>) >> 1.

    The steps of the staircase of [gkpr2024], 1/k for k equal clusters, 1 at consensus. They are steps of the
    energy divided by its maximum; E itself, with weights e^{beta (<x,y> - 1)}, tends to zero with beta.

    >>> import numpy as np
    >>> from spinodal import theory
    >>> float(theory.staircase_level(np.array([2, 1, 1])))
    0.375
    """
    sizes = real("sizes", sizes, 0.0, np.inf, ends=False)
    return np.sum((sizes / np.sum(sizes)) ** 2)


def _outside(why_not: str, gamma: float) -> Metastability:
    return Metastability(False, why_not, float(gamma), np.nan, np.nan, np.nan)
