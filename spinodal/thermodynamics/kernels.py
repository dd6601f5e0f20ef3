r"""Loops along the components of one mixture, compiled: what `compiled` is made of.

    row of `a` [., m]   along the components, padded to a whole number of vectors
    Z                   feed, then zeros
    R                   1 / u, u_i = sum_j L_j A_ij
    V                   room for sums over phases
    A + j               K_ij, the reference phase last; 1 where z_i = 0
    A + p + j           w_ij = (A_ij - A_ib) / u_i, b the base: a phase present
    row of `s` [., p]   along the phases
    L, D                fractions, the step of Newton
    F, CUBE, FOURTH     sum_i z_i w_ij, the same of w_ij^3 and of w_ij^4
    TOP                 max_i |w_ij|
    INVERSE, ERROR      1 / pivots of H; what rounding may have added to F
    CHANGE, UNIT        |H^-1| times that, room for columns of H^-1
    H + x               sum_i z_i w_ij w_il, upper triangle, of the free phases j = free[x]: all present but the base

NaN must stay NaN, so that every comparison with it is False and means doubt: hence the flags of the compiler. Maxima
are taken of the bits of numbers that are not negative, since only those of integers become vectors then.
"""

from functools import partial
from typing import no_type_check

import numpy as np

from spinodal.loops import compiled, plus, use_widest_vectors
from spinodal.thermodynamics.newton import ROUNDING

Z, R, V, A = 0, 1, 2, 3
L, D, F, CUBE, FOURTH, TOP, INVERSE, ERROR, CHANGE, UNIT, H = range(11)
INFINITY = np.int64(0x7FF0000000000000)  # as bits; those of NaN are above, and of negative numbers negative
LOWEST, HIGHEST = 1e-100, 1e100  # of sum z: beyond, sums of squares may leave the range of doubles

# Loops that own no arrays: without counts of references
exact = partial(compiled, fastmath={"contract", "nsz"}, _nrt=False)


@exact()
@no_type_check
def read(z, K, b, a):
    """Writes z and A, and returns sum z: 0 where an entry is negative or not finite, or the sum out of range."""
    use_widest_vectors()
    n = z.shape[1]
    q = K.shape[1] // n
    total, greatest, least, signs = 0.0, np.int64(0), INFINITY, np.int64(0)
    for i in range(n):
        value = z[b, i]
        a[Z, i] = value
        total = plus(total, value)
        bits = np.float64(value).view(np.int64)
        greatest, least = max(greatest, bits), min(least, bits)
    for i in range(K.shape[1]):
        bits = np.float64(K[b, i]).view(np.int64)
        greatest, signs = max(greatest, bits), signs | bits
    if q == 1:
        for i in range(n):
            a[A, i] = K[b, i]
    elif q == 2:  # a constant stride, which becomes vectors
        for i in range(n):
            a[A, i], a[A + 1, i] = K[b, 2 * i], K[b, 2 * i + 1]
    else:
        for j in range(q):
            for i in range(n):
                a[A + j, i] = K[b, i * q + j]
    for j in range(q if least == 0 else 0):
        for i in range(n):
            if z[b, i] == 0:
                a[A + j, i] = 1.0
    good = greatest < INFINITY and least >= 0 and signs >= 0
    return total if good and LOWEST < total < HIGHEST else 0.0


@exact(inline="always")
@no_type_check
def mixed(a, s, row):
    """V = sum_j s_j A_ij with the row `row` of s."""
    one, two = s[row, 0], s[row, 1]
    for i in range(a.shape[1]):
        a[V, i] = one * a[A, i] + two * a[A + 1, i]
    for j in range(2, s.shape[1]):
        more = s[row, j]
        for i in range(a.shape[1]):
            a[V, i] += more * a[A + j, i]


@exact(inline="always")
@no_type_check
def change(a, s, free, count):
    """V = sum_j d_j w_ij, the relative change of u."""
    if count == 0:  # rows w are then of an earlier step, and may hold NaN
        for i in range(a.shape[1]):
            a[V, i] = 0.0
        return
    j = free[0]
    step = s[D, j]
    for i in range(a.shape[1]):
        a[V, i] = step * a[A + s.shape[1] + j, i]
    for x in range(1, count):
        j = free[x]
        step = s[D, j]
        for i in range(a.shape[1]):
            a[V, i] += step * a[A + s.shape[1] + j, i]


@exact()
@no_type_check
def derivatives(a, s, free, count, base):
    """Writes 1 / u, and w, F, CUBE, FOURTH, TOP and the upper triangle of H of the free phases.

    1 / u is a division in single precision, corrected by two terms of a series, which is faster than one in
    double. Beyond the range of single precision it is 0 or NaN, and `rounding` returns False.
    """
    use_widest_vectors()
    m, p = a.shape[1], s.shape[1]
    one, two = s[L, 0], s[L, 1]
    if p > 2:
        mixed(a, s, L)
    for i in range(m):
        u = a[V, i] if p > 2 else one * a[A, i] + two * a[A + 1, i]
        first = np.float64(np.float32(1.0) / np.float32(u))
        e = 1.0 - u * first
        a[R, i] = first + first * (e + e * e)
    if count == 1:  # with sums for `stretch`, which would cost more phases a quarter of their time
        j = free[0]
        f, h, c, e, t = 0.0, 0.0, 0.0, 0.0, np.int64(0)
        for i in range(m):
            v = (a[A + j, i] - a[A + base, i]) * a[R, i]
            a[A + p + j, i] = v
            f = plus(f, a[Z, i] * v)
            h = plus(h, a[Z, i] * v * v)
            c = plus(c, a[Z, i] * v * v * v)
            e = plus(e, a[Z, i] * v * v * v * v)
            t = max(t, np.float64(abs(v)).view(np.int64))
        s[F, j], s[H, 0], s[CUBE, j], s[FOURTH, j], s[TOP, j] = f, h, c, e, np.int64(t).view(np.float64)
        return
    for x in range(count):
        j = free[x]
        f, h, t = 0.0, 0.0, np.int64(0)
        for i in range(m):
            v = (a[A + j, i] - a[A + base, i]) * a[R, i]
            a[A + p + j, i] = v
            f = plus(f, a[Z, i] * v)
            h = plus(h, a[Z, i] * v * v)
            t = max(t, np.float64(abs(v)).view(np.int64))
        s[F, j], s[H + x, x], s[TOP, j] = f, h, np.int64(t).view(np.float64)
        for y in range(x):
            k, h = free[y], 0.0
            for i in range(m):
                h = plus(h, a[Z, i] * a[A + p + j, i] * a[A + p + k, i])
            s[H + y, x] = h


@exact()
@no_type_check
def steepest_fall(a, s, free, count):
    """max_i -sum_j d_j w_ij, or 0."""
    use_widest_vectors()
    t = np.int64(0)
    change(a, s, free, count)
    for i in range(a.shape[1]):
        t = max(t, np.float64(max(-a[V, i], 0.0)).view(np.int64))
    return np.int64(t).view(np.float64)


@exact()
@no_type_check
def rounding(a, s, free, count, base, held):
    """Writes what rounding may have added to F, as in `certainty`, and returns whether every 1 / u is above 0."""
    use_widest_vectors()
    m, p, t, lost = a.shape[1], s.shape[1], np.int64(2**62), 1.0
    for j in range(p):
        s[CHANGE, j] = abs(s[L, j])
    for x in range(count):
        lost += abs(s[L, free[x]])
    if not held:
        s[CHANGE, base] += lost  # the rounding of 1 - sum L
    mixed(a, s, CHANGE)
    for i in range(m):
        a[V, i] = a[Z, i] * (4 + a[V, i] * abs(a[R, i]))
        t = min(t, np.float64(a[R, i]).view(np.int64))
    for x in range(count):
        j, e = free[x], 0.0
        for i in range(m):
            e = plus(e, abs(a[A + p + j, i]) * a[V, i])
        s[ERROR, j] = ROUNDING * e
    return t > 0


@exact()
@no_type_check
def absent_phase(a, j, base):
    """F_j, H_jj and sum_i z_i |w_ij| of a phase that is not free."""
    use_widest_vectors()
    f, h, size = 0.0, 0.0, 0.0
    for i in range(a.shape[1]):
        v = (a[A + j, i] - a[A + base, i]) * a[R, i]
        f = plus(f, a[Z, i] * v)
        h = plus(h, a[Z, i] * v * v)
        size = plus(size, a[Z, i] * abs(v))
    return f, h, size


@exact()
@no_type_check
def last_step(a, s, free, count, base):
    """Adds to d the next step by the same H, where F = sum_i z_i w_ij v_i^2 / (1 + v_i) with v_i = sum_j d_j w_ij.

    Writes to V the factor 1 - v_i + v_i^2 by which 1 / u_i changes; cubes of v_i are below rounding.
    """
    use_widest_vectors()
    m, p = a.shape[1], s.shape[1]
    change(a, s, free, count)
    for x in range(count):
        j, f = free[x], 0.0
        for i in range(m):
            f = plus(f, a[Z, i] * a[A + p + j, i] * (a[V, i] * a[V, i]))
        s[UNIT, j] = f
    solve(s, free, count, np.int64(UNIT))
    for x in range(count):
        j = free[x]
        step = s[UNIT, j]
        s[D, j] += step
        s[D, base] -= step
        for i in range(m):
            a[V, i] += step * a[A + p + j, i]
    for i in range(m):
        a[V, i] = 1.0 - a[V, i] + a[V, i] * a[V, i]


@exact()
@no_type_check
def compositions(a, s, free, count, base, b, x):
    """Writes x after the step d, and returns max_j |F_j| there."""
    use_widest_vectors()
    m, p, residual = a.shape[1], s.shape[1], 0.0
    for i in range(m):
        a[V, i] *= a[Z, i] * a[R, i]
    for y in range(count):
        j, f = free[y], 0.0
        for i in range(m):
            f = plus(f, (a[A + j, i] - a[A + base, i]) * a[V, i])
        residual = max(residual, abs(f))
    for j in range(p):
        for i in range(x.shape[2]):
            x[b, j, i] = a[A + j, i] * a[V, i]
    return residual


@exact()
@no_type_check
def solve(s, free, count, row):
    """Solves H v = v for the row `row` of s, over the free phases."""
    for k in range(count):
        for i in range(k + 1, count):
            s[row, free[i]] -= s[H + k, i] * s[INVERSE, k] * s[row, free[k]]
    for back in range(count):
        k = count - 1 - back
        t = s[row, free[k]]
        for i in range(k + 1, count):
            t -= s[H + k, i] * s[row, free[i]]
        s[row, free[k]] = t * s[INVERSE, k]
