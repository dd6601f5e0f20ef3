r"""Dormand--Prince 5(4) on the sphere, along the length of the path instead of time.

Off the sphere the field is F(x / |x|), smooth and the same on it, so that projecting neither costs an order nor
the last stage: the rate at the end of a step is the first of the next (FSAL).

Two clusters take a time of order e^beta to meet, most of it at a tiny speed, but their path is a short line.
So steps are of path length s, and time is one more unknown (Sundman's transformation) [derived]:

    dx/ds = sigma F,  dr/ds = sigma G,  dt/ds = sigma = 1 / |(F, G)|.

Where the drift is no more than its rounding, sigma is bounded by that and steps are of time again. So they are where
tokens that may not merge have met all the same: there the speed is what rounding of the tokens leaves.

    symbol  meaning                                             shape
    k       sigma F at the seven stages                         7 n d
    g       sigma G at the seven stages                         7 n
    sigma   time per path length at the seven stages            7
    noise   bound on the error of the drift, over the drift     7
    h       step, a path length
    e       estimate of the step's error over the tolerance, to be below 1
"""

import math
from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float
from numba.extending import register_jitable
from scipy.optimize import brentq

from spinodal.flows.state import Rate, State
from spinodal.integrate import DORMAND_PRINCE, Controller, interpolant, largest, unit_sum
from spinodal.loops import compiled, in_parts, one_order, product, use_widest_vectors

RateAt = Callable[[float, State, Float[np.ndarray, " n"]], Rate]
A, E = DORMAND_PRINCE.A, DORMAND_PRINCE.E
CONTROLLER = Controller(safety=0.9, shrink=0.1, grow=10.0)
BLUR = 10.0  # bounds on the error of a drift below which it gives no direction to go
LEAST_SPEED = 1e-300
MET = 1e-12  # what is left of a path to rest, when the rest of it is rounding
LEAST = 20000  # tokens a thread takes at least
NOTHING = np.empty(0)
CLOSING = 0.8  # of the path that is left to a point of rest, the longest next step
PUNCTUAL = 0.3  # of the tolerance: relative error of a late time
ROUNDING = 1e-17  # a step that moves no token by more is none
ELAPSED = interpolant(1.0)  # of a whole step


# in place of a rate that is in a stage already: for a million tokens it is 40 MB
SPENT = Rate(np.empty((0, 2)), np.empty(0), np.empty(0), np.empty(0))


def move_along(
    x: Float[np.ndarray, "n d"], k: Float[np.ndarray, "s n d"], a: Float[np.ndarray, " s"]
) -> Float[np.ndarray, "n d"]:
    """normalise(x + sum_j a_j k_j), the state of a stage on the sphere."""
    n, d = x.shape
    y = np.empty((n, d))
    flat = x.reshape(-1), k.reshape(len(k), -1), a, y.reshape(-1)
    in_parts(lambda start, stop: unit_sum(*flat, d, start, stop), n, LEAST)
    return y


def extent(rate: Rate) -> tuple[float, float]:
    """The largest drift in a coordinate, and the largest bound on its error."""
    return max(float(rate.drift.max()), -float(rate.drift.min())), float(rate.error_bound.max())


class Stages:
    """The seven stages k_j of a step, in memory that is used again as tokens become fewer."""

    def __init__(self, n: int, d: int):
        self.room, self.slowest = np.empty(7 * n * d), LEAST_SPEED
        self.reset(n, d)

    def reset(self, n: int, d: int) -> None:
        if 14 * n * d < self.room.size:
            self.room = np.empty(7 * n * d)
        self.k, self.g = self.room[: 7 * n * d].reshape(7, n, d), np.zeros((7, n))
        self.sigma, self.noise = np.zeros((2, 7))
        self.grow = self.resting = False

    def first_rate(self, field: RateAt, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate:
        """The rate at a state from which steps begin."""
        return field(time, state, weights)

    def take_step(
        self, field: RateAt, time: float, state: State, weights: Float[np.ndarray, " n"], h: float
    ) -> tuple[State, Rate]:
        return take_step(field, time, state, weights, h, self)

    def begin_step(self, rate: Rate, state: State) -> None:
        """Stage 0 of the next step from the rate at its beginning, where the last one ended."""
        self.set_rate(0, rate, state)

    def extent(self, rate: Rate) -> tuple[float, float]:
        return extent(rate)

    def first_drift(self) -> Float[np.ndarray, "n d"]:
        """The drift at the beginning of the step, which overwrites stage 0."""
        drift = self.k[0]
        drift /= self.sigma[0]  # in its place
        return drift

    def set_rate(self, j: int, rate: Rate, state: State) -> None:
        """k_j = sigma F, sigma = 1 / |(F, G)|, or less where the drift is no more than its rounding."""
        self.grow |= bool(rate.growth.any())
        growth = rate.growth / (1 + np.abs(state.lengths)) if self.grow else NOTHING
        with one_order(rate.drift.size):
            parts = np.ascontiguousarray(rate.drift).reshape(-1), rate.error_bound, growth
            self.sigma[j], speed, doubt = time_per_path(*parts, self.slowest)
        self.noise[j] = doubt * self.sigma[j]
        if j == 0:
            self.resting = speed <= doubt
        np.multiply(rate.drift, self.sigma[j], out=self.k[j])
        if self.grow:
            self.g[j] = rate.growth * self.sigma[j]

    def state_along(self, state: State, a: Float[np.ndarray, " s"]) -> State:
        """The state moved by sum_j a_j (k_j, g_j)."""
        x, r = state
        s = len(a)
        return State(move_along(x, self.k[:s], a), r + product(a, self.g[:s]) if self.grow else r)

    def move_on(self, state: State, rate: Rate, time: float) -> State:
        """The state after a short time along a straight line."""
        x = move_along(state.directions, rate.drift[None], np.array([time]))
        return State(x, state.lengths + time * rate.growth)

    def largest_error(self) -> float:
        """max_i |sum_j E_j k_ji|, nan where one is nan."""
        _, n, d = self.k.shape
        parts = in_parts(lambda start, stop: largest(self.k.reshape(7, -1), E, d, start, stop), n, LEAST)
        return max(parts) if all(part == part for part in parts) else np.nan

    def scale(self, state: State) -> float:
        """The size of tokens, to which the error of their directions is relative."""
        return 1.0

    def error(self, state: State, since: float, h: float, tolerance: float) -> float:
        """e = max of the errors of directions, of lengths / (1 + r) and of time / `since`, over `tolerance`.

        An error of time below what the bound on the drift implies does not count.
        """
        worst = self.largest_error() / self.scale(state)
        if self.grow:
            worst = np.maximum(worst, np.max(np.abs(product(E, self.g)) / (1 + np.abs(state.lengths))))
        late = max(abs(E @ self.sigma) - np.abs(E) @ (self.noise * self.sigma), 0.0) / since
        return float(h * np.maximum(worst, late) / tolerance)

    def path_to_rest(self, h: float) -> float:
        """h s_6 / (s_0 - s_6), s the speeds at both ends: the path until all rest, were the speed to fall linearly.

        Where tokens meet the speed does fall linearly to zero, and no step should be longer. inf where the speed rose.
        """
        first, last = 1 / self.sigma[0], 1 / self.sigma[6]
        return h * last / (first - last) if last < first else np.inf

    def freeze_speed(self) -> None:
        """Bounds sigma by the present speed: a slower drift from here on is rounding and gives no direction."""
        self.slowest = 1 / float(self.sigma[6])


@compiled(fastmath={"contract"})
@no_type_check
def norm(values):
    """|values|, without overflow or underflow of their squares."""
    square = np.dot(values, values)
    if 1e-250 < square < 1e250:
        return np.sqrt(square)
    top = total = 0.0
    for value in values:
        top = abs(value) if not abs(value) <= top else top
    if not 0 < top < np.inf:
        return top
    for value in values:
        total += (value / top) ** 2
    return top * np.sqrt(total)


@register_jitable
@no_type_check
def time_along(speed, doubt, slowest):
    """sigma = 1 / |(F, G)|, or less where the drift is no more than its rounding."""
    return 1 / max(math.hypot(speed, BLUR * doubt), slowest)


@compiled(fastmath={"contract"})
@no_type_check
def time_per_path(drift, error_bound, growth, slowest):
    """sigma, |(F, G)|, and the bound on the error of F, from flat arrays."""
    use_widest_vectors()  # on its own, so that loops and Python have the same bits
    speed, doubt = norm(drift), norm(error_bound)
    if growth.size > 0:
        speed = math.hypot(speed, norm(growth))
    return time_along(speed, doubt, slowest), speed, doubt


def take_step(
    field: RateAt, time: float, state: State, weights: Float[np.ndarray, " n"], h: float, stages: Stages
) -> tuple[State, Rate]:
    """One step of path length h from a state whose rate is in stage 0: the new state and its rate  [dormand1980]."""

    def at(j: int) -> tuple[State, Rate]:
        there = stages.state_along(state, h * A[j, :j])
        rate = field(time + h * float(np.sum(A[j, :j] * stages.sigma[:j])), there, weights)
        stages.set_rate(j, rate, there)
        return there, rate

    for j in range(1, 6):
        at(j)  # and forgets it: of a million tokens it takes 48 MB
    return at(6)


def interpolated_state(state: State, h: float, theta: float, stages: Stages) -> State:
    """The state at a fraction theta of the path of the step that began at `state`, to fourth order  [shampine1986]."""
    return stages.state_along(state, h * interpolant(theta))


def elapsed_time(h: float, theta: float, stages: Stages) -> float:
    """int sigma ds from the beginning of a step to a fraction theta of its path, to the order of the interpolant."""
    return h * float(stages.sigma @ interpolant(theta))


def path_fraction(time: float, h: float, stages: Stages) -> float:
    """theta with `elapsed_time` = time; 0 or 1 where rounding leaves no value between."""
    if not 0 < time < elapsed_time(h, 1.0, stages):
        return float(time > 0)
    root: Any = brentq(lambda theta: elapsed_time(h, theta, stages) - time, 0.0, 1.0, xtol=1e-15)
    return float(root)
