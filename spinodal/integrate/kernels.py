"""Sums of stages, compiled: arrays are flat, stages k are rows, and a loop works on the entries [start, stop).

`stage_sum` is the one combination that every loop is made of; `unit_sum` and `largest` are for tokens of d
numbers each, on the sphere. Sums of small stages come first and the state is added last, which rounds once.
"""

from typing import no_type_check

import numpy as np

from spinodal.loops import compiled

BLOCK = 2048  # numbers at a time: they stay in the nearest cache


@compiled(fastmath={"contract"})
@no_type_check
def stage_sum(total, k, a, start, stop):
    """total = sum_j a_j k_j of the entries from `start` to `stop`.

    Writes into `total` [stop - start] the sum of the stages k [s m] with the coefficients a [s].
    """
    total[:] = 0.0
    for j in range(a.size):
        if a[j] != 0:
            part, factor = k[j, start:stop], a[j]
            for i in range(total.size):
                total[i] += factor * part[i]


@compiled(fastmath={"contract"})
@no_type_check
def unit_sum(x, k, a, y, d, start, stop):
    """y_i = normalise(x_i + sum_j a_j k_ji) of the tokens from `start` to `stop`.

    The stage of a Runge-Kutta step, projected to the sphere: writes into y [n d] from the state x [n d], the stages k
    [s, n d] and the coefficients a [s], all arrays flat over tokens and their d numbers.
    """
    room = np.empty(max(1, BLOCK // d) * d)
    for b in range(start * d, stop * d, room.size):
        e = min(stop * d, b + room.size)
        total = room[: e - b]
        stage_sum(total, k, a, b, e)
        for i in range(0, e - b, d):
            square = 0.0
            for c in range(i, i + d):
                total[c] += x[b + c]
                square += total[c] * total[c]
            length = np.sqrt(square)
            for c in range(i, i + d):
                y[b + c] = total[c] / length


@compiled(fastmath={"contract"})
@no_type_check
def largest(k, a, d, start, stop):
    """max_i |sum_j a_j k_ji| of the tokens from `start` to `stop`; nan where one is nan.

    The largest error of a token in a step, from the stages k [s, n d] and the coefficients a [s] of its error estimate.
    """
    room = np.empty(max(1, BLOCK // d) * d)
    top = 0.0
    for b in range(start * d, stop * d, room.size):
        e = min(stop * d, b + room.size)
        total = room[: e - b]
        stage_sum(total, k, a, b, e)
        for i in range(0, e - b, d):
            square = 0.0
            for c in range(i, i + d):
                square += total[c] * total[c]
            if not square <= top:
                top = square
    return np.sqrt(top)
