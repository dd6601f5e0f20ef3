r"""Both flashes as compiled loops, one mixture at a time: for float64 on CPU, where no gradient is asked for.

Newton's method from equal fractions, free; where its root leaves the simplex, the positive flash goes on with an
active set: a phase leaves where its fraction reaches zero, and enters where its growth would lower Q. What `certainty`
in `newton` asks for is asked for here too. A mixture of which that cannot be shown (a singular H, no root, K near 1,
traces, entries that are not finite or negative) is left to the definition in torch, `solvers`.

    row of `a` [., m]   along the components, padded to a whole number of vectors
    Z                   feed, then zeros
    R                   1 / u, u_i = sum_j L_j A_ij
    V                   room for sums over phases
    A + j               K_ij, the reference phase last; 1 where z_i = 0
    A + p + j           w_ij = (A_ij - A_ib) / u_i, b the base: a phase present
    row of `s` [., p]   along the phases
    L, D                fractions, the step of Newton
    F, CUBE, TOP        sum_i z_i w_ij, sum_i z_i w_ij^3, max_i |w_ij|
    INVERSE, ERROR      1 / pivots of H; what rounding may have added to F
    CHANGE, UNIT        |H^-1| times that, room for columns of H^-1
    H + x               sum_i z_i w_ij w_il, upper triangle, of the free phases j = free[x]: all present but the base

NaN must stay NaN, so that every comparison with it is False and means doubt: hence the flags of the compiler.
"""

from functools import partial
from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from spinodal.loops import compiled, plus, use_widest_vectors
from spinodal.thermodynamics.newton import DIGITS, DILUTION, PIVOT, ROUNDING

Z, R, V, A = 0, 1, 2, 3
L, D, F, CUBE, TOP, INVERSE, ERROR, CHANGE, UNIT, H = range(10)
LANES = 8
INFINITY = np.uint64(0x7FF0000000000000)  # as bits; those of NaN and of negative numbers are above
LOWEST, HIGHEST = 1e-100, 1e100  # of sum z: beyond, sums of squares may leave the range of doubles
NEAR = 1e-3  # relative change of a dilution in a step, from which on absent phases are looked at
ENTRY = 1e-13  # F of an absent phase, relative to the size of its terms, above which it would grow
SMALL = 1e-3  # a reference phase whose own fraction 1 - sum L does not hold
LAST = 1e-6  # relative change of a dilution, whose cube is no longer seen
FAR = 1e3  # fractions from which the active set does not begin

exact = partial(
    compiled, fastmath={"contract", "nsz"}, _nrt=False
)  # owns no arrays: without counts of references


@exact()
@no_type_check
def read(z, K, b, a):
    """Writes z and A, and returns sum z: 0 where an entry is negative or not finite, or the sum out of range."""
    use_widest_vectors()
    total, greatest, least = 0.0, np.uint64(0), INFINITY
    for i in range(z.shape[1]):
        value = z[b, i]
        a[Z, i] = value
        total = plus(total, value)
        greatest = max(greatest, np.float64(value).view(np.uint64))
        least = min(least, np.float64(value).view(np.uint64))
    q = K.shape[1] // z.shape[1]
    for i in range(K.shape[1]):
        if q == 1:
            a[A, i] = K[b, i]
        greatest = max(greatest, np.float64(K[b, i]).view(np.uint64))
    for j in range(q):
        for i in range(z.shape[1] if q > 1 else 0):
            a[A + j, i] = K[b, i * q + j]
        if least == 0:
            for i in range(z.shape[1]):
                if z[b, i] == 0:
                    a[A + j, i] = 1.0
    return total if greatest < INFINITY and LOWEST < total < HIGHEST else 0.0


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
    j = free[0] if count > 0 else 0
    step = s[D, j] if count > 0 else 0.0
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
    """Writes 1 / u, and w, F, CUBE, TOP and the upper triangle of H of the free phases.

    A division in single precision and two terms of a series are faster than one in double. Beyond its range 1 / u is
    0 or NaN, and `rounding` says so.
    """
    use_widest_vectors()
    m, p = a.shape[1], s.shape[1]
    mixed(a, s, L)
    for i in range(m):
        first = np.float64(np.float32(1.0) / np.float32(a[V, i]))
        e = 1.0 - a[V, i] * first
        a[R, i] = first + first * (e + e * e)
    for x in range(count):
        j = free[x]
        f, h, c, t = 0.0, 0.0, 0.0, np.int64(0)
        for i in range(m):
            v = (a[A + j, i] - a[A + base, i]) * a[R, i]
            a[A + p + j, i] = v
            f = plus(f, a[Z, i] * v)
            h = plus(h, a[Z, i] * v * v)
            c = plus(c, a[Z, i] * v * v * v)
            t = max(t, np.float64(abs(v)).view(np.int64))
        s[F, j], s[H + x, x], s[CUBE, j], s[TOP, j] = f, h, c, np.int64(t).view(np.float64)
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
def rounding(a, s, free, count):
    """Writes what rounding may have added to F, as in `certainty`, and returns whether every 1 / u is above 0.

    The row CHANGE of s has the sizes of the fractions.
    """
    use_widest_vectors()
    mixed(a, s, CHANGE)
    m, p, t = a.shape[1], s.shape[1], np.int64(2**62)
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
    """Adds to d the next step by the same H, F = sum_i z_i w_ij v_i^2 / (1 + v_i), v_i = sum_j d_j w_ij; then the
    relative change of 1 / u in V. Cubes of v_i are no longer seen."""
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


@exact()
@no_type_check
def step(s, free, count, base):
    """H = M D M^T and the step of Newton; returns the smallest D relative to H_jj, and at most how u changes."""
    worst, bound = 1.0, 0.0
    for k in range(count):
        s[INVERSE, k] = s[H + k, k]
    for k in range(count):
        own, pivot = s[INVERSE, k], s[H + k, k]
        if not pivot > worst * own:
            worst = pivot / own
        s[INVERSE, k] = 1.0 / pivot
        for i in range(k + 1, count):
            column = s[H + k, i] * s[INVERSE, k]
            for j in range(i, count):
                s[H + i, j] -= column * s[H + k, j]
    for j in range(s.shape[1]):
        s[D, j] = 0.0
    for x in range(count):
        s[D, free[x]] = s[F, free[x]]
    solve(s, free, count, np.int64(D))
    for x in range(count):
        j = free[x]
        bound += abs(s[D, j]) * s[TOP, j]
        s[D, base] -= s[D, j]
    return worst, bound


@exact()
@no_type_check
def certain(a, s, free, count, base, bound, simplex, held):
    """The second half of `certainty`, and on the simplex that each phase is there, or would not grow."""
    p, moved, sure = s.shape[1], 0.0, not simplex or s[L, base] + s[D, base] > SMALL
    for j in range(p):
        s[CHANGE, j] = 0.0
    for y in range(count):
        for j in range(p):
            s[UNIT, j] = 0.0
        s[UNIT, free[y]] = 1.0
        solve(s, free, count, np.int64(UNIT))
        for x in range(count):
            s[CHANGE, free[x]] += abs(s[UNIT, free[x]]) * s[ERROR, free[y]]
    for x in range(count):
        j = free[x]
        moved += s[CHANGE, j] * s[TOP, j]
        sure &= s[CHANGE, j] <= DIGITS * max(1.0, abs(s[L, j]))
        sure &= not simplex or s[L, j] + s[D, j] > s[CHANGE, j]
    if held:
        for j in range(p):
            if s[L, j] == 0:
                f, _, size = absent_phase(a, j, base)
                sure &= f + (8 * ROUNDING + bound) * size < 0
    return sure and moved <= DILUTION


@exact()
@no_type_check
def largest(s):
    best = 0
    for j in range(s.shape[1]):
        if s[L, j] > s[L, best]:
            best = j
    return best


@exact()
@no_type_check
def start(s, present, anew):
    """Where the active set begins: the free fractions cut to the simplex, or its centre."""
    total = 0.0
    for j in range(s.shape[1]):
        anew |= not abs(s[L, j]) < FAR
    for j in range(s.shape[1]):
        s[L, j] = 1.0 if anew else max(s[L, j], 0.0)
        total += s[L, j]
    for j in range(s.shape[1]):
        s[L, j] /= total
        present[j] = s[L, j] > 0


@exact()
@no_type_check
def entering_phase(a, s, present, free, count, base):
    """The absent phase that lowers Q most, where it lowers it by more than the step of the others; or -1."""
    gain, enters = 0.0, -1
    for x in range(count):
        gain += 4 * s[D, free[x]] * s[F, free[x]]
    for j in range(s.shape[1]):
        if not present[j]:
            f, h, size = absent_phase(a, j, base)
            if f > ENTRY * size and f * f > gain * h:
                gain, enters = f * f / h, j
    return enters


@exact()
@no_type_check
def move(s, present, length, held):
    """L + length d, on the simplex at most to the first phase that leaves; whether some L is clearly outside."""
    p, rest, outside, leaves = s.shape[1], 1.0, False, -1
    if held:
        for j in range(p):
            if s[L, j] + length * s[D, j] < 0:
                length, leaves = -s[L, j] / s[D, j], j
    for j in range(p):
        s[L, j] += length * s[D, j]
        outside |= s[L, j] < -abs(s[D, j])
    if leaves >= 0:
        s[L, leaves], present[leaves] = 0.0, False
    for j in range(p):
        rest -= s[L, j]
    s[L, largest(s) if held else p - 1] += rest
    return outside


@exact()
@no_type_check
def free_phases(present, base, free):
    """Lists the phases present but the base, and returns how many there are."""
    count = 0
    for j in range(present.size):
        if present[j] and j != base:
            free[count] = j
            count += 1
    return count


@exact()
@no_type_check
def root(a, s, present, free, simplex, steps):
    """Newton's method to L and a last step d: the steps, the number of free phases, the base, whether it is certain."""
    p, base, count, spent, held, done, sure = s.shape[1], 0, 0, 0, np.bool_(False), False, False
    for j in range(p):
        s[L, j], present[j] = 1.0 / p, True
    while not done and spent < steps:
        spent += 1
        base, length, enters, restart = largest(s) if held else p - 1, 1.0, -1, False
        count = free_phases(present, base, free)
        derivatives(a, s, free, count, base)
        worst, bound = step(s, free, count, base)
        fall = bound
        if not bound <= 4 / 9:
            fall = steepest_fall(a, s, free, count)
            length = 1 / (max(fall, 4 / 9) + 5 / 9) if fall > 0 else np.inf
        if count == 1 and length <= 1:
            skew = s[D, free[0]] * s[CUBE, free[0]] * s[INVERSE, 0]
            length = min(1 / (1 - min(skew, 0.5)), 0.9 / fall)
        if held and bound <= NEAR:
            enters = entering_phase(a, s, present, free, count, base)
        lost = not (worst > 0 and (held or length < np.inf))  # singular, or without a root
        if lost:
            done, restart = held or not simplex, True
        elif bound <= LAST and enters < 0:
            for j in range(p):
                s[CHANGE, j] = abs(s[L, j])
            for x in range(0 if held else count):  # the base has the rounding of 1 - sum L
                s[CHANGE, base] += (1 if x == 0 else 0) + abs(s[L, free[x]])
            if worst > PIVOT and rounding(a, s, free, count):
                sure = certain(a, s, free, count, base, bound, simplex, held)
            done, restart = sure or held or not simplex, True
        else:
            restart = move(s, present, length, held) and bound <= 4 / 9 and simplex and not held
            if enters >= 0:
                present[enters] = True
        if restart and not done:
            held = True
            start(s, present, lost)
    return spent, count, base, sure


@exact()
@no_type_check
def finish(s, base, simplex):
    """L + d; a small reference phase has its own fraction, and the others are rounded to leave it that much."""
    p, rest = s.shape[1], 1.0
    for j in range(p):
        if j != base:
            s[L, j] += s[D, j]
            rest -= s[L, j]
    s[L, base], rest = rest, 1.0
    for j in range(p - 1):
        rest -= s[L, j]
    if simplex and rest < s[L, p - 1] < SMALL:
        s[L, base] -= ROUNDING


@exact()
@no_type_check
def flashes(
    z,
    K,
    fractions,
    iterations,
    residual,
    sure,
    reference,
    x,
    simplex,
    steps,
    a,
    s,
    free,
    present,
    first,
    last,
):
    """Writes the fields of `Flash` for the mixtures from `first` to `last`, and for which of them they are `sure`."""
    a[:] = 0.0
    a[A : A + s.shape[1]] = 1.0
    for b in range(first, last):
        total = read(z, K, b, a)
        sure[b] = False
        if total > 0:
            iterations[b], count, base, sure[b] = root(a, s, present, free, simplex, steps)
        if sure[b]:
            last_step(a, s, free, count, base)
            residual[b] = compositions(a, s, free, count, base, b, x) / total
            finish(s, base, simplex)
            for j in range(s.shape[1] - 1):
                fractions[b, j] = s[L, j]
            reference[b] = s[L, s.shape[1] - 1]


def spaces(n: int, p: int) -> tuple[Tensor, ...]:
    """Room for one mixture: `a`, `s`, the list of free phases and which are present. Tensors begin at whole vectors."""
    return (
        torch.empty(A + 2 * p, n + -n % LANES, dtype=torch.float64),
        torch.empty(H + p, p, dtype=torch.float64),
        torch.empty(p, dtype=torch.long),
        torch.empty(p, dtype=torch.bool),
    )
