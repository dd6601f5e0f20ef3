r"""The negative and the positive flash as compiled loops, for float64 on CPU without gradients.

Newton's method starts from equal fractions, without constraints; where its root is outside the simplex, the
positive flash goes on with an active set: a phase leaves where its fraction reaches zero, and enters where
its growth would lower Q. A result must pass the test of `newton.certainty`. A mixture that does not (a
singular H, no root, K near 1, traces, entries that are not finite or negative) is left to the torch code in
`solvers`. The arrays `a` and `s` are described in `kernels`.
"""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from spinodal.thermodynamics.kernels import (
    CHANGE,
    CUBE,
    ERROR,
    FOURTH,
    INVERSE,
    TOP,
    UNIT,
    A,
    D,
    F,
    H,
    L,
    absent_phase,
    compositions,
    derivatives,
    exact,
    last_step,
    read,
    rounding,
    solve,
    steepest_fall,
)
from spinodal.thermodynamics.newton import DIGITS, DILUTION, PIVOT, ROUNDING

LANES = 8
NEAR = 1e-3  # relative change of a dilution in a step, from which on absent phases are looked at
ENTRY = 1e-13  # F of an absent phase, relative to the size of its terms, above which it would grow
SMALL = 1e-3  # a reference phase whose own fraction 1 - sum L does not hold
LAST = 1e-6  # relative change of a dilution, whose cube is no longer seen
FAR = 1e3  # fractions from which the active set does not begin


@exact()
@no_type_check
def step(s, free, count, base):
    """Writes H = M D M^T and Newton's step; returns the least D_j / H_jj and a bound on |du| / u."""
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
def stretch(s, j):
    """The length, in Newton steps, of one of Householder's method of order four, for the one free phase j.

    It is (1 - r) / ((1 - r)^2 + t - r^2) with r = d sum z w^3 / H and t = d^2 sum z w^4 / H >= r^2, so at most
    Halley's 1 / (1 - r); of r, at most 1/2 is counted.
    """
    r = s[D, j] * s[CUBE, j] * s[INVERSE, 0]
    spread = s[D, j] * s[D, j] * s[FOURTH, j] * s[INVERSE, 0] - r * r
    rest = 1 - min(r, 0.5)
    return rest / (rest * rest + max(spread, 0.0))


@exact()
@no_type_check
def certain(a, s, free, count, base, bound, simplex, held):
    """Whether L and u have their digits, as in `certainty`, and on the simplex the set of phases is sure."""
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
    """The phase of the largest fraction."""
    best = 0
    for j in range(s.shape[1]):
        if s[L, j] > s[L, best]:
            best = j
    return best


@exact()
@no_type_check
def start(s, present, anew):
    """Writes the first L of the active set: the unconstrained L cut to the simplex, or equal fractions."""
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
    """Writes L + length d, stopped where a phase leaves (`held`); returns whether L is clearly negative."""
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
    """Writes the phases that are present, without the base, to `free`; returns their number."""
    count = 0
    for j in range(present.size):
        if present[j] and j != base:
            free[count] = j
            count += 1
    return count


@exact()
@no_type_check
def root(a, s, present, free, simplex, steps):
    """Writes L and a last step d; returns (steps, number of free phases, base, whether L is certain)."""
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
            length = min(stretch(s, free[0]), 0.9 / fall)
        if held and bound <= NEAR:
            enters = entering_phase(a, s, present, free, count, base)
        lost = not (worst > 0 and (held or length < np.inf))  # singular, or without a root
        if lost:
            done, restart = held or not simplex, True
        elif bound <= LAST and enters < 0:
            if worst > PIVOT and rounding(a, s, free, count, base, held):
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
    """Writes L + d; rounds the base down where 1 - sum_j L_j is less than a small reference phase has."""
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
    """Work arrays of one mixture: `a`, `s`, the free phases, which are present; tensors, for alignment."""
    return (
        torch.empty(A + 2 * p, n + -n % LANES, dtype=torch.float64),
        torch.empty(H + p, p, dtype=torch.float64),
        torch.empty(p, dtype=torch.long),
        torch.empty(p, dtype=torch.bool),
    )
