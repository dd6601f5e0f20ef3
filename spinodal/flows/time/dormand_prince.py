r"""Dormand--Prince 5(4) on the sphere: stages and steps are projected, lengths are carried along.

Off the sphere the field is F(x / |x|), smooth and the same on it, so that projecting neither costs an order nor
the last stage: the rate at the end of a step is the first of the next (FSAL).

    symbol  meaning                                         shape
    k       tangent rates of the seven stages               7 n d
    g       rates of the lengths                            7 n
    h       step
    e       estimate of the step's error over the tolerance, to be below 1
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float
from scipy.integrate import RK45

from spinodal.flows.engines.kernels import compiled, in_parts
from spinodal.flows.state import Field, Rate, State

A = np.zeros((7, 7))
A[:6, :5], A[6, :6] = RK45.A, RK45.B
C = np.append(RK45.C, 1.0)
E, P = RK45.E, RK45.P
LEAST = 20000  # tokens a thread takes at least
SAFETY, SHRINK, GROW = 0.9, 0.1, 10.0


@compiled(fastmath={"contract"})
@no_type_check
def combined(x, k, a, y, start, stop):
    """y_i = normalise(x_i + sum_j a_j k_ji) of the tokens from start to stop."""
    d = x.shape[1]
    for i in range(start, stop):
        square = 0.0
        for c in range(d):
            s = 0.0
            for j in range(a.size):
                s += a[j] * k[j, i, c]
            s += x[i, c]
            y[i, c] = s
            square += s * s
        length = np.sqrt(square)
        for c in range(d):
            y[i, c] /= length


@compiled(fastmath={"contract"})
@no_type_check
def largest(k, a, start, stop):
    """max_i |sum_j a_j k_ji|, nan where one is."""
    d = k.shape[2]
    top = 0.0
    for i in range(start, stop):
        square = 0.0
        for c in range(d):
            s = 0.0
            for j in range(a.size):
                s += a[j] * k[j, i, c]
            square += s * s
        if not square <= top:
            top = square
    return np.sqrt(top)


def moved(
    x: Float[np.ndarray, "n d"], k: Float[np.ndarray, "s n d"], a: Float[np.ndarray, " s"]
) -> Float[np.ndarray, "n d"]:
    """normalise(x + sum_j a_j k_j)."""
    y = np.empty_like(x)
    in_parts(lambda start, stop: combined(x, k, a, y, start, stop), len(x), LEAST)
    return y


class Stages:
    """The seven rates of a step, in memory that is used again as tokens become fewer."""

    def __init__(self, n: int, d: int):
        self.room = np.empty(7 * n * d)
        self.reset(n, d)

    def reset(self, n: int, d: int) -> None:
        self.k, self.g = self.room[: 7 * n * d].reshape(7, n, d), np.zeros((7, n))
        self.grow = False

    def put(self, j: int, rate: Rate) -> None:
        self.k[j] = rate.drift
        self.grow |= bool(rate.growth.any())
        if self.grow:
            self.g[j] = rate.growth

    def along(self, state: State, a: Float[np.ndarray, " s"]) -> State:
        """The state moved by sum_j a_j (k_j, g_j)."""
        x, r = state
        s = len(a)
        return State(moved(x, self.k[:s], a), r + a @ self.g[:s] if self.grow else r)

    def error(self, state: State, h: float, tolerance: float) -> float:
        """e: the largest error of a token's direction, or of a length beside 1 + r."""
        parts = in_parts(lambda start, stop: largest(self.k, E, start, stop), self.k.shape[1], LEAST)
        worst = max(parts) if all(part == part for part in parts) else np.nan
        if self.grow:
            worst = np.maximum(worst, np.max(np.abs(E @ self.g) / (1 + state.lengths)))
        return float(h * worst / tolerance)


def stepped(
    field: Field, time: float, state: State, weights: Float[np.ndarray, " n"], h: float, stages: Stages
) -> tuple[State, Rate]:
    """One step of size h from a state whose rate is in stage 0."""
    for j in range(1, 7):
        last = stages.along(state, h * A[j, :j])
        rate = field(time + C[j] * h, last, weights)
        stages.put(j, rate)
    return last, rate


def between(state: State, h: float, theta: float, stages: Stages) -> State:
    """The state at time t + theta h of the step last taken from `state`, of fourth order."""
    return stages.along(state, h * (P @ theta ** np.arange(1, 5)))


def next_step(h: float, error: float, before: tuple[float, float]) -> float:
    """The step after one with this e, between a tenth and ten times h; `before` is (h, e) of the step before.

    h e^{-1/5}, or what that would be if e^{1/5} / h goes on changing as it did: where two tokens fall together
    steps shrink all the way, and who looks back only rejects every other one.
    """
    if error == 0:
        return h * GROW
    steady = error**-0.2
    trend = h / before[0] * (before[1] / error**2) ** 0.2 if before[0] > 0 else steady
    return h * min(GROW, max(SHRINK, SAFETY * min(steady, trend)))


def repeated_step(h: float, error: float) -> float:
    """The smaller step after one that was rejected."""
    factor = SAFETY * error**-0.2 if np.isfinite(error) else SHRINK
    return h * min(SAFETY, max(SHRINK, factor))
