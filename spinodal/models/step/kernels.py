r"""One token through a whole decoder in one compiled call: a list of operations on one array of numbers.

    symbol  meaning                                                              shape
    m       memory: constants, the states of all mixers, and what is computed    float32
    p       program: one operation a row, its code first, then its arguments     int64 o 10

An argument is a size, the index of the first of some numbers in m, or the address of a weight, which is read where
it lies. The definition of every operation is the mixer of `spinodal.mixers` that `program` made it of. Sums of
products are in float32, exponentials in double precision, which `loops.exp2` has vectors for.
"""

import math
from enum import IntEnum
from typing import no_type_check

import numpy as np
from numba import carray
from numba.core import types
from numba.extending import intrinsic

from spinodal.loops import compiled, exp2, plus, use_widest_vectors
from spinodal.mixers.channel.gates import STEEPNESS
from spinodal.mixers.channel.partition import LEAST as LEAST_FRACTION
from spinodal.mixers.token.phase_memory import LEAST as LEAST_SHARE

ZERO, ONE = np.float32(0.0), np.float32(1.0)
LOG2E = 1 / math.log(2)
PLAIN = {"contract"}  # a nan stays one: weights that diverged must not give tokens


class Operation(IntEnum):
    """What a row of a program does; its arguments are those of the function of this name in lower case."""

    LOOK_UP = 0
    NORM = 1
    PRODUCT = 2
    ADD = 3
    CONVOLVE = 4
    ANGLES = 5
    ROTATE = 6
    DIVIDE = 7
    GATE = 8
    REMEMBER = 9
    SHARE = 10
    AVERAGE = 11
    SWIGLU = 12
    DRIVE = 13
    COMPETE = 14
    SILU = 15
    SPLIT = 16


LOOK_UP, NORM, PRODUCT, ADD, CONVOLVE, ANGLES, ROTATE, DIVIDE, GATE = map(int, list(Operation)[:9])
REMEMBER, SHARE, AVERAGE, SWIGLU, DRIVE, COMPETE, SILU, SPLIT = map(int, list(Operation)[9:])


@intrinsic
@no_type_check
def pointer(context, address):
    """The pointer to float32 numbers at an address."""
    result = types.CPointer(types.float32)

    @no_type_check
    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(result))

    return result(address), generate


@compiled(fastmath=PLAIN)
@no_type_check
def exp(x):
    """e^x for x <= 0, in double precision."""
    return exp2(x * LOG2E)


@compiled(fastmath=PLAIN)
@no_type_check
def sigmoid(x):
    """1 / (1 + e^-x), in double precision."""
    e = exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


@compiled(fastmath=PLAIN)
@no_type_check
def look_up(m, y, n, weight, token):
    """y = row `token` of the embedding."""
    row = carray(pointer(weight + 4 * n * token), (n,))
    for i in range(n):
        m[y + i] = row[i]


@compiled(fastmath=PLAIN)
@no_type_check
def norm(m, x, y, n, weight, eps):
    """y = w (x - mean x) / sqrt(var x + eps); address 0 for w = 1."""
    a, b = m[x : x + n], m[y : y + n]
    mean = square = ZERO
    for i in range(n):
        mean = plus(mean, a[i])
    mean /= np.float32(n)
    for i in range(n):
        square = plus(square, (a[i] - mean) * (a[i] - mean))
    factor = ONE / np.sqrt(square / np.float32(n) + m[eps])
    if weight == 0:
        for i in range(n):
            b[i] = (a[i] - mean) * factor
    else:
        w = carray(pointer(weight), (n,))
        for i in range(n):
            b[i] = (a[i] - mean) * factor * w[i]


@compiled(fastmath=PLAIN)
@no_type_check
def product(m, x, y, inputs, outputs, weight, bias):
    """y = W x + b; address 0 for b = 0. Four rows at a time, so that each number of x is read once for them."""
    use_widest_vectors()
    W = carray(pointer(weight), (outputs, inputs))
    a, b = m[x : x + inputs], m[y : y + outputs]
    fours = outputs // 4 * 4
    for o in range(0, fours, 4):
        r, s, t, u = W[o], W[o + 1], W[o + 2], W[o + 3]
        f = g = h = k = ZERO
        for i in range(inputs):
            z = a[i]
            f = plus(f, r[i] * z)
            g = plus(g, s[i] * z)
            h = plus(h, t[i] * z)
            k = plus(k, u[i] * z)
        b[o], b[o + 1], b[o + 2], b[o + 3] = f, g, h, k
    for o in range(fours, outputs):
        r = W[o]
        f = ZERO
        for i in range(inputs):
            f = plus(f, r[i] * a[i])
        b[o] = f
    if bias != 0:
        c = carray(pointer(bias), (outputs,))
        for o in range(outputs):
            b[o] += c[o]


@compiled(fastmath=PLAIN)
@no_type_check
def convolve(m, x, y, past, n, kernel, weight):
    """y = sum_a w_a x_{i - kernel + 1 + a}; the rows of `past` are the last kernel - 1 tokens."""
    w = carray(pointer(weight), (n, kernel))
    for i in range(n):
        total = w[i, kernel - 1] * m[x + i]
        for a in range(kernel - 1):
            total += w[i, a] * m[past + a * n + i]
        m[y + i] = total
    if kernel > 1:
        for i in range((kernel - 2) * n):
            m[past + i] = m[past + n + i]
        for i in range(n):
            m[past + (kernel - 2) * n + i] = m[x + i]


@compiled(fastmath=PLAIN)
@no_type_check
def angles(m, y, n, frequencies, place):
    """cos and sin of place times n frequencies, one behind the other; angles are rounded as `rotate` rounds them."""
    for k in range(n):
        angle = np.float64(np.float32(place) * m[frequencies + k])
        m[y + k], m[y + n + k] = np.float32(math.cos(angle)), np.float32(math.sin(angle))


@compiled(fastmath=PLAIN)
@no_type_check
def rotate(m, x, rows, c, turn):
    """(a, b) -> (a cos - b sin, a sin + b cos) of the halves of each row of c features."""
    half = c // 2
    for row in range(rows):
        a = x + row * c
        for k in range(half):
            cos, sin, f, g = m[turn + k], m[turn + half + k], m[a + k], m[a + half + k]
            m[a + k], m[a + half + k] = f * cos - g * sin, f * sin + g * cos


@compiled(fastmath=PLAIN)
@no_type_check
def gate(m, q, log_a, n, bias, factors):
    """a = e^{log a}, log a = -fastest sigmoid(gate + bias), and in place q <- -q / sqrt(c), k <- k (a - 1).

    The n numbers of k follow those of q in m; `log_a` holds the gate before and a after.
    """
    b = carray(pointer(bias), (n,))
    fastest, root = np.float64(m[factors]), m[factors + 1]
    for i in range(n):
        a = exp(-fastest * sigmoid(np.float64(m[log_a + i] + b[i])))
        m[log_a + i] = np.float32(a)
        m[q + i] *= -root
        m[q + n + i] *= np.float32(a - 1.0)


@compiled(fastmath=PLAIN)
@no_type_check
def remember(m, q, k, v, a, S, y, sizes):
    """S = diag(a) S + k v^T, y = q S of each head; sizes: heads, c of q, k and a, f of v and y."""
    heads, c, f = sizes
    for h in range(heads):
        values, out = m[v + h * f : v + h * f + f], m[y + h * f : y + h * f + f]
        for j in range(f):
            out[j] = ZERO
        for i in range(h * c, h * c + c):
            row, decay, key, query = m[S + i * f : S + i * f + f], m[a + i], m[k + i], m[q + i]
            for j in range(f):
                t = decay * row[j] + key * values[j]
                row[j] = t
                out[j] += query * t


@compiled(fastmath=PLAIN)
@no_type_check
def softmax(x):
    """e^x / sum e^x in place."""
    top = x[0]
    for i in range(x.size):
        top = max(top, x[i])
    total = 0.0
    for i in range(x.size):
        e = exp(np.float64(x[i] - top))
        x[i] = np.float32(e)
        total += e
    for i in range(x.size):
        x[i] = np.float32(x[i] / total)


@compiled(fastmath=PLAIN)
@no_type_check
def share(m, q, w, decay, heads, phases):
    """q, r <- softmax over phases, r kept off 0; w <- g w + r, q <- q / w; r stands behind q in m."""
    n = heads * phases
    for h in range(2 * heads):
        softmax(m[q + h * phases : q + h * phases + phases])
    least = np.float32(LEAST_SHARE)
    equal = ONE / np.float32(phases)
    for i in range(n):
        r = m[q + n + i]
        r += least * (equal - r)
        m[q + n + i] = r
        m[w + i] = m[decay + i] * m[w + i] + r
        m[q + i] /= m[w + i]


@compiled(fastmath=PLAIN)
@no_type_check
def average(m, u, h, n, bias, least):
    """h = a h + (1 - a) u, a = least + (1 - least) sigmoid(gate + bias), for u and gate behind each other."""
    b = carray(pointer(bias), (n,))
    low = np.float64(m[least])
    for i in range(n):
        a = low + (1.0 - low) * sigmoid(np.float64(m[u + n + i] + b[i]))
        m[h + i] = np.float32(a * m[h + i] + (1.0 - a) * m[u + i])


@compiled(fastmath=PLAIN)
@no_type_check
def swiglu(m, a, y, n):
    """y = v SiLU(2 a), for a and v behind each other."""
    for i in range(n):
        t = STEEPNESS * np.float64(m[a + i])
        m[y + i] = np.float32(t * sigmoid(t) * m[a + n + i])


@compiled(fastmath=PLAIN)
@no_type_check
def drive(m, z, y, n):
    """y = z tanh(a), for z and a behind each other."""
    for i in range(n):
        a = np.float64(m[z + n + i])
        e = exp(-STEEPNESS * abs(a))
        tanh = (1.0 - e) / (1.0 + e)
        m[y + i] = np.float32(m[z + i] * (tanh if a >= 0.0 else -tanh))


@compiled(fastmath=PLAIN)
@no_type_check
def compete(m, z, y, phases, n):
    """y_j = z (P r_j - 1), r = softmax_j(2 a_j), a_P = 0, for z and the a_j behind each other, n features each."""
    use_widest_vectors()
    last = (phases - 1) * n
    feed, a = m[z : z + n], m[z + n : z + n + last]
    top, total, e = np.zeros(n), np.zeros(n), np.empty(phases * n)
    for j in range(0, last, n):
        for i in range(n):
            top[i] = max(top[i], np.float64(a[j + i]))
    for j in range(0, last, n):
        for i in range(n):
            e[j + i] = np.float64(a[j + i]) - top[i]
    for i in range(n):
        e[last + i] = -top[i]
    for k in range(e.size):
        e[k] = exp(STEEPNESS * e[k])
    for j in range(0, e.size, n):
        for i in range(n):
            total[i] += e[j + i]
    for i in range(n):
        total[i] = phases / total[i]
    for j in range(0, e.size, n):
        for i in range(n):
            m[y + j + i] = np.float32(feed[i] * (total[i] * e[j + i] - 1.0))


@compiled(fastmath=PLAIN)
@no_type_check
def silu(m, x, n):
    """x sigmoid(x) in place."""
    for i in range(n):
        t = np.float64(m[x + i])
        m[x + i] = np.float32(t * sigmoid(t))


@compiled(fastmath=PLAIN)
@no_type_check
def split(m, z, k, l, y, sizes):
    """x_ij = z_i K_ij / u_i from log K and logits of L, softmax kept off zero; sizes: heads, c, phases."""
    heads, c, phases = sizes
    e = np.empty(phases)
    for h in range(heads):
        L = m[l + h * phases : l + h * phases + phases]
        softmax(L)
        for j in range(phases):
            L[j] = np.float32((1.0 - LEAST_FRACTION) * L[j] + LEAST_FRACTION / phases)
        for i in range(h * c, h * c + c):
            at = k + i * (phases - 1)
            top = ZERO
            for j in range(phases - 1):
                top = max(top, m[at + j])
            for j in range(phases - 1):
                e[j] = 0.0 if m[at + j] == top else np.float64(m[at + j]) - np.float64(top)
            e[phases - 1] = -np.float64(top)
            u = 0.0
            for j in range(phases):
                e[j] = exp(e[j])
                u += e[j] * L[j]
            for j in range(phases):
                m[y + i * phases + j] = np.float32(m[z + i] * e[j] / u)


@compiled(fastmath=PLAIN)
@no_type_check
def run(p, m, token, place):
    """Carries out all rows of program p on memory m for one token, after `place` earlier tokens."""
    for o in range(len(p)):
        code, a, b, c, d, e, f = p[o, 0], p[o, 1], p[o, 2], p[o, 3], p[o, 4], p[o, 5], p[o, 6]
        if code == PRODUCT:
            product(m, a, b, c, d, e, f)
        elif code == NORM:
            norm(m, a, b, c, d, e)
        elif code == ADD:
            for k in range(c):
                m[a + k] += m[b + k]
        elif code == DIVIDE:
            for k in range(c):
                m[a + k] /= m[b + k]
        elif code == CONVOLVE:
            convolve(m, a, b, c, d, e, f)
        elif code == REMEMBER:
            remember(m, a, b, c, d, e, f, (p[o, 7], p[o, 8], p[o, 9]))
        elif code == ANGLES:
            angles(m, a, b, c, place)
        elif code == ROTATE:
            rotate(m, a, b, c, d)
        elif code == GATE:
            gate(m, a, b, c, d, e)
        elif code == SHARE:
            share(m, a, b, c, d, e)
        elif code == AVERAGE:
            average(m, a, b, c, d, e)
        elif code == SWIGLU:
            swiglu(m, a, b, c)
        elif code == DRIVE:
            drive(m, a, b, c)
        elif code == COMPETE:
            compete(m, a, b, c, d)
        elif code == SILU:
            silu(m, a, b)
        elif code == SPLIT:
            split(m, a, b, c, d, (e, f, p[o, 7]))
        elif code == LOOK_UP:
            look_up(m, a, b, c, token)
