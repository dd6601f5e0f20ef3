r"""Two-sided retention as one recurrence a head and side, float32: no weights between tokens, no copies of the maps.

With R_i the rotation of token i and m its divisor, y_i = sum_j g^|i-j| <R_i q_i, R_j k_j> v_j / m. Sums of this form,
(a; b, c)_i = sum_j g^|i-j| <a_i, b_j> c_j, are read by a_i from a state S <- g S + b_j c_j^T that comes from either end
of the text; since g^|i-j| is symmetric the gradients have that form too  [derived]:

    y = (q; k, v)     dq = (dy; v, k)     dk = (v; dy, q)     dv = (k; q, dy)

    symbol        meaning                                                               shape
    maps          queries, keys and values of all heads, not rotated                    b n 3h c
    rows          slots of one head, each BLOCK tokens in the order of a sweep, behind  slots x (1 + BLOCK) w
                  the last token of the block before; whole vectors wide
    states        of one head, one for each sum                                         sums x c w
    every, there  whether a query, and whether a key is there: padding is not read      b n

The first side holds j <= i, the second j > i, whose state is a token late and weighs g more.
"""

from typing import no_type_check

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from spinodal.loops import compiled, use_widest_vectors

PLAIN = {"contract"}  # a nan stays one
LANES, TOKENS, BLOCK = (
    16,
    4,
    32,
)  # numbers of the widest vector; tokens that pass a row of S at once, and a block
ZERO, ONE = np.float32(0.0), np.float32(1.0)

REAL, INDEX, INT = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(REAL, LANES)
CONTRACT = ("contract",)


def panel(width: int):
    """An operation S <- g S + b_t c_t^T, y_t += a_t S of TOKENS tokens on columns j to j + LANES width.

    Its arguments y, a, b and c are the indices of their first rows in `rows`, S that of the first of `size`
    rows in `states`; y and c stay in registers while S is read row by row.
    """

    @intrinsic
    @no_type_check
    def pass_rows(context, rows, y, a, b, c, states, S, size, g, j):
        def generate(context, builder, signature, arguments):
            return emit_rows(context, builder, signature, arguments, width)

        return types.void(rows, y, a, b, c, states, S, size, g, j), generate

    return pass_rows


@no_type_check
def emit_rows(context, builder, signature, arguments, width):
    """Emits the machine code of `panel` for `width` vectors of columns."""
    rows, states = (context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 5))
    across = cgutils.unpack_tuple(builder, rows.shape)[1]  # both are in one piece, and as wide
    number = lambda value: ir.Constant(INDEX, value)
    y_row, a_row, b_row, c_row = arguments[1:5]
    S_row, size, g, column = arguments[6:]

    def at(array, row, column, kind=VECTOR):
        offset = builder.add(builder.mul(row, across), column)
        return builder.bitcast(builder.gep(array.data, [offset]), kind.as_pointer())

    def spread(scalar):
        nothing = ir.Constant(VECTOR, ir.Undefined)
        one = builder.insert_element(nothing, scalar, ir.Constant(INT, 0))
        return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(INT, LANES), [0] * LANES))

    def plus_product(x, u, v):
        return builder.fadd(x, builder.fmul(u, v, flags=CONTRACT), flags=CONTRACT)

    following = lambda row: [builder.add(row, number(t)) for t in range(TOKENS)]
    columns = [builder.add(column, number(LANES * w)) for w in range(width)]
    load = lambda array, row: [builder.load(at(array, row, column), align=4) for column in columns]
    before, c = ([load(rows, row) for row in following(start)] for start in (y_row, c_row))
    decay = spread(g)

    entry, loop, done = builder.block, *map(builder.append_basic_block, ("rows", "done"))
    builder.branch(loop)
    builder.position_at_end(loop)
    r = builder.phi(INDEX)
    r.add_incoming(number(0), entry)
    y = [[builder.phi(VECTOR) for _ in columns] for _ in range(TOKENS)]
    after = [[None] * width for _ in range(TOKENS)]
    own = builder.add(S_row, r)
    S = load(states, own)
    for t, (a_at, b_at) in enumerate(zip(following(a_row), following(b_row), strict=True)):
        a, b = (spread(builder.load(at(rows, row, r, REAL))) for row in (a_at, b_at))
        for w in range(width):
            S[w] = plus_product(builder.fmul(decay, S[w], flags=CONTRACT), b, c[t][w])
            after[t][w] = plus_product(y[t][w], a, S[w])
            y[t][w].add_incoming(before[t][w], entry)
            y[t][w].add_incoming(after[t][w], loop)
    for w in range(width):
        builder.store(S[w], at(states, own, columns[w]), align=4)
    further = builder.add(r, number(1))
    r.add_incoming(further, loop)
    builder.cbranch(builder.icmp_signed("<", further, size), loop, done)
    builder.position_at_end(done)
    for row, sums in zip(following(y_row), after, strict=True):
        for w in range(width):
            builder.store(sums[w], at(rows, row, columns[w]), align=4)
    return context.get_dummy_value()


one, two = map(panel, (1, 2))


@compiled(fastmath=PLAIN)
@no_type_check
def sweep(rows, y, a, b, c, states, S, size, g, late):
    """y_i += a_i S_i of a block, S_i = g S_{i-1} + b_j c_j^T with j = i - late, and the state after it.

    y, a, b and c are slots of `rows`, S the first of `size` rows of `states`.
    """
    use_widest_vectors()
    width, stride = states.shape[1], BLOCK + 1
    for t in range(1, stride, TOKENS):
        i, j = stride * y + t, stride * a + t
        k, m = stride * b + t - late, stride * c + t - late
        for f in range(0, width - LANES, 2 * LANES):
            two(rows, i, j, k, m, states, S, size, g, f)
        if width // LANES % 2:
            one(rows, i, j, k, m, states, S, size, g, width - LANES)


@compiled(fastmath=PLAIN)
@no_type_check
def begin_slot(rows, slot):
    """The index of a slot's first row; copies the last row of the block before in front of it."""
    start = slot * (BLOCK + 1)
    for f in range(rows.shape[1]):
        rows[start, f] = rows[start + BLOCK, f]
    return start + 1


@compiled(fastmath=PLAIN)
@no_type_check
def load(x, text, head, first, step, rows, slot):
    """Copies tokens first, first + step, ... of a head into a slot, zeros beyond the text."""
    row = begin_slot(rows, slot)
    for t in range(BLOCK):
        i = first + step * t
        if 0 <= i < x.shape[1]:
            for f in range(x.shape[3]):
                rows[row + t, f] = x[text, i, head, f]
        else:
            for f in range(rows.shape[1]):
                rows[row + t, f] = ZERO


@compiled(fastmath=PLAIN)
@no_type_check
def load_turned(x, text, head, first, step, there, cos, sin, rows, slot):
    """As `load`, with tokens rotated by their positions, and zeros for padding."""
    row, half = (
        begin_slot(rows, slot),
        np.uint64(cos.shape[1]),
    )  # unsigned: an index is not counted from the end
    for t in range(BLOCK):
        i = first + step * t
        if 0 <= i < x.shape[1] and there[text, i]:
            for k in range(half):
                u, v = x[text, i, head, k], x[text, i, head, k + half]
                rows[row + t, k] = u * cos[i, k] - v * sin[i, k]
                rows[row + t, k + half] = u * sin[i, k] + v * cos[i, k]
        else:
            for f in range(rows.shape[1]):
                rows[row + t, f] = ZERO


@compiled(fastmath=PLAIN)
@no_type_check
def store(rows, slot, weight, side, text, head, first, step, y):
    """y = weight times the rows of a block, and on the second side y += that."""
    row = slot * (BLOCK + 1) + 1
    for t in range(BLOCK):
        i = first + step * t
        if 0 <= i < y.shape[1]:
            for f in range(y.shape[3]):
                y[text, i, head, f] = weight * rows[row + t, f] + (y[text, i, head, f] if side else ZERO)


@compiled(fastmath=PLAIN)
@no_type_check
def store_turned(rows, slot, weight, side, text, head, first, step, there, cos, sin, y):
    """As `store`, with rows rotated back, and zeros for padding."""
    row, half = slot * (BLOCK + 1) + 1, np.uint64(cos.shape[1])
    for t in range(BLOCK):
        i = first + step * t
        if 0 <= i < y.shape[1]:
            w = weight if there[text, i] else ZERO
            for k in range(half):
                u, v = w * rows[row + t, k], w * rows[row + t, k + half]
                p, q = y[text, i, head, k], y[text, i, head, k + half]
                y[text, i, head, k] = u * cos[i, k] + v * sin[i, k] + (p if side else ZERO)
                y[text, i, head, k + half] = v * cos[i, k] - u * sin[i, k] + (q if side else ZERO)


@compiled(fastmath=PLAIN)
@no_type_check
def workspace(slots, sums, c):
    """Rows of `slots` blocks and `sums` states, as wide as whole vectors."""
    width = -(-c // LANES) * LANES
    return np.zeros((slots * (BLOCK + 1), width), np.float32), np.zeros((sums * c, width), np.float32)


@compiled(fastmath=PLAIN)
@no_type_check
def forward(maps, every, there, cos, sin, decays, divisors, y, start, stop):
    """Writes y for the heads [start, stop), numbered through all texts."""
    n, heads, c = y.shape[1:]
    q, k, v, out = 0, 1, 2, 3
    for item in range(start, stop):
        text, head = item // heads, item % heads
        g = decays[head]
        for side in range(2):
            rows, S = workspace(4, 1, c)
            step, weight = 1 - 2 * side, (g if side else ONE) / divisors[head]
            for block in range(0, n, BLOCK):
                first = n - 1 - block if side else block
                load_turned(maps, text, head, first, step, every, cos, sin, rows, q)
                load_turned(maps, text, head + heads, first, step, there, cos, sin, rows, k)
                load(maps, text, head + 2 * heads, first, step, rows, v)
                rows[out * (BLOCK + 1) :] = ZERO
                sweep(rows, out, q, k, v, S, 0, c, g, side)
                store(rows, out, weight, side, text, head, first, step, y)


@compiled(fastmath=PLAIN)
@no_type_check
def backward(maps, every, there, cos, sin, decays, divisors, dy, dmaps, start, stop):
    """Writes the gradient in the maps for the heads [start, stop), numbered through all texts."""
    n, heads, c = dy.shape[1:]
    q, k, v, d, dq, dk, dv = 0, 1, 2, 3, 4, 5, 6
    for item in range(start, stop):
        text, head = item // heads, item % heads
        g = decays[head]
        for side in range(2):
            rows, S = workspace(7, 3, c)
            step, weight = 1 - 2 * side, (g if side else ONE) / divisors[head]
            for block in range(0, n, BLOCK):
                first = n - 1 - block if side else block
                load_turned(maps, text, head, first, step, every, cos, sin, rows, q)
                load_turned(maps, text, head + heads, first, step, there, cos, sin, rows, k)
                load(maps, text, head + 2 * heads, first, step, rows, v)
                load(dy, text, head, first, step, rows, d)
                rows[dq * (BLOCK + 1) :] = ZERO
                sweep(rows, dq, d, v, k, S, 0, c, g, side)
                sweep(rows, dk, v, d, q, S, c, c, g, side)
                sweep(rows, dv, k, q, d, S, 2 * c, c, g, side)
                store_turned(rows, dq, weight, side, text, head, first, step, every, cos, sin, dmaps)
                store_turned(rows, dk, weight, side, text, head + heads, first, step, there, cos, sin, dmaps)
                store(rows, dv, weight, side, text, head + 2 * heads, first, step, dmaps)
