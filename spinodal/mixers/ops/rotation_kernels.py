"""Rotation of pairs of features as one loop, float32: `rotate` of attention.py, with its roundings."""

from typing import no_type_check

from spinodal.loops import compiled


@compiled(fastmath=False)
@no_type_check
def turn(x, cos, sin, y, start, stop):
    """y = (x_a cos - x_b sin, x_a sin + x_b cos) of the tokens [start, stop) of all texts, [b h n c] each."""
    heads, n, half = x.shape[1], x.shape[2], cos.shape[1]
    for token in range(start, stop):
        b, i = token // n, token % n
        for h in range(heads):
            for k in range(half):
                u, v = x[b, h, i, k], x[b, h, i, k + half]
                y[b, h, i, k] = u * cos[i, k] - v * sin[i, k]
                y[b, h, i, k + half] = u * sin[i, k] + v * cos[i, k]
