r"""The short convolution along tokens as loops over the features of each token, float32.

    y_i = sum_a w_a x_{i+a-before}     dx_j = sum_a w_a g_{j-a+before}     dw_a = sum_i g_i x_{i+a-before}

Padding is not read, and gets no gradient.

    symbol  meaning                          shape
    x y g   tokens, sums, gradient in these  b n d
    w       one filter a feature             kernel d
    there   whether a token is there         b n
"""

from typing import no_type_check

import numpy as np

from spinodal.loops import compiled

PLAIN = {"contract"}  # a nan stays one
BLOCK = 256  # tokens whose sum may round as float32
ZERO = np.float32(0.0)


@compiled(fastmath=PLAIN)
@no_type_check
def forward(x, w, there, before, y, start, stop):
    """Writes y of the tokens [start, stop), numbered through all texts."""
    n = x.shape[1]
    for token in range(start, stop):
        text, i = token // n, token % n
        for e in range(x.shape[2]):
            y[text, i, e] = ZERO
        for a in range(len(w)):
            j = i + a - before
            if 0 <= j < n and there[text, j]:
                for e in range(x.shape[2]):
                    y[text, i, e] += w[a, e] * x[text, j, e]


@compiled(fastmath=PLAIN)
@no_type_check
def backward(x, w, there, before, g, dx, start, stop):
    """The terms of dw from the tokens i in [start, stop), numbered through all texts; writes their dx."""
    n = x.shape[1]
    part, dw = np.zeros(w.shape, np.float32), np.zeros(w.shape)
    for token in range(start, stop):
        text, i = token // n, token % n
        for e in range(x.shape[2]):
            dx[text, i, e] = ZERO
        for a in range(len(w)):
            j = i - a + before
            if there[text, i] and 0 <= j < n:
                for e in range(x.shape[2]):
                    dx[text, i, e] += w[a, e] * g[text, j, e]
            k = i + a - before
            if 0 <= k < n and there[text, k]:
                for e in range(x.shape[2]):
                    part[a, e] += g[text, i, e] * x[text, k, e]
        if token % BLOCK == BLOCK - 1 or token == stop - 1:
            dw += part
            part[:] = ZERO
    return dw
