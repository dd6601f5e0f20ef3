r"""Newton's method in twice the precision, for mixtures whose digits double precision does not guarantee.

K near 1, phases that nearly coincide and traces of components make the equations of a flash cancel; 32 digits leave 16
of the result. A step is the weighted least-squares fit sum_j d_j w_ij = 1, solved by Gram-Schmidt without forming H,
which would square the condition number. On the simplex a phase leaves where its fraction reaches zero, and enters
where its growth would lower Q: an active set.

    symbol  meaning                                              shape
    A       K with the reference phase last                      p n b
    D       A_ij - A_ir, r the largest phase                     p n b
    w       D / u                                                p n b
    g       sum_i z_i w_ij, 0 for phases present at the root     p b
    d       step of L                                            p b
"""

from typing import NamedTuple

import torch
from torch import Tensor

from spinodal.thermodynamics.double_double import DoubleDouble

STEP = 1e-13  # the step, in L and relative in u, that ends the search: the next would be its square
NEAREST = 1 - 2.0**-30  # of the way to u = 0, at most
NULL = 1e-56  # squared length of what a column of w has beside the others, relative to its own
ENTRY = 1e-26  # g of an absent phase, relative to the size of its terms, above which it would grow
ROUNDING = 1e-31  # of a sum of products
DIGITS = 1e-13  # that every dilution must have


class Refined(NamedTuple):
    """L and u of each mixture; `unbounded`: no root exists; `singular`: phases are combinations of others."""

    L: Tensor  # p b
    u: Tensor  # n b
    iterations: Tensor  # b
    excess: Tensor  # g_j - sum_l L_l g_l, p b
    converged: Tensor  # b
    unbounded: Tensor  # b
    singular: Tensor  # b


class _Fit(NamedTuple):
    """The step d, which free phases are combinations of others (`held`), 1 - z_i w_i H^-1 w_i (`freedom`)."""

    d: DoubleDouble  # p b
    held: Tensor  # p b
    freedom: Tensor  # n b


def refine(z: Tensor, A: Tensor, L: Tensor, steps: int, *, simplex: bool) -> Refined:
    """The flash in twice the precision, from a guess L of all fractions, unconstrained or on the simplex."""
    exponent = A.amax(0).frexp().exponent  # a component's own scale cancels
    feed, factors = DoubleDouble.of(z), DoubleDouble.of(torch.ldexp(A, -exponent))
    phases = torch.arange(len(L), device=L.device).unsqueeze(1)
    present = L > 0 if simplex else torch.ones_like(L, dtype=torch.bool)
    L_ = _of_sum_one(DoubleDouble.of(L))
    u = (L_[:, None] * factors).sum(0)
    running = torch.ones_like(L[0], dtype=torch.bool)
    iterations, unbounded = torch.zeros_like(running, dtype=torch.long), ~running
    for _ in range(steps):
        iterations += running
        r = L_.high.argmax(0)
        D = factors - factors.take(r)[None]
        w = D / u[None]
        fit = _fit(feed, w, present & (phases != r))
        d = fit.d + (-fit.d.sum(0))[None].where(phases == r)
        change = (d[:, None] * D).sum(0)
        relative = change.high / u.high
        step = (d.high.abs() / L_.high.abs().clamp_min(1)).amax(0)
        small = (relative.abs().amax(0) <= STEP) & (step <= STEP)
        fall = (-relative).amax(0)
        length = running / torch.maximum(fall.clamp_min(4 / 9) + 5 / 9, fall / NEAREST)
        if simplex:
            limit = torch.where(present & (d.high < 0), -L_.high / d.high, torch.inf)
            leaves = (limit <= length) & (limit == limit.amin(0)) & running
            length = torch.minimum(length, limit.amin(0))
            enters = _entering(feed, w, L_, fit.d, present) & running & ~leaves.any(0)
            present = (present & ~leaves) | enters
            L_ = _of_sum_one((L_ + d * DoubleDouble.of(length)[None]).where(~leaves))
            u = (L_[:, None] * factors).sum(0)
            running = running & ~(small & ~(leaves | enters).any(0))
        else:
            unbounded = unbounded | (running & ~small & (change.high >= 0).all(0) & (change.high > 0).any(0))
            L_ = _of_sum_one(L_ + d * DoubleDouble.of(length)[None])
            u = u + change * DoubleDouble.of(length)[None]  # keeps the digits of a u that falls to nearly 0
            running = running & ~small & ~unbounded
        if not running.any():
            break
    excess = _excess(feed, (factors - factors.take(r)[None]) / u[None], L_).high
    spread = (L_.high.abs().unsqueeze(1) * factors.high).sum(0)  # of the terms of u
    lost = 0.0 if simplex else (ROUNDING * fit.freedom.clamp_min(0) * spread / u.high).amax(0)
    converged = ~running & ~unbounded & excess.isfinite().all(0) & (u.high > 0).all(0) & (lost <= DIGITS)
    u = torch.ldexp(u.round(), exponent)
    return Refined(L_.round(), u, iterations, excess, converged, unbounded, (fit.held & present).any(0))


def _of_sum_one(L: DoubleDouble) -> DoubleDouble:
    """L with 1 - sum_j L_j added to its largest fraction, so that they sum to one."""
    largest = L.high == L.high.amax(0)
    first = largest & (largest.cumsum(0) == 1)
    missing = DoubleDouble.of(torch.ones_like(L.high[0])) - L.sum(0)
    return L + missing[None].where(first)


def _excess(z: DoubleDouble, w: DoubleDouble, L: DoubleDouble) -> DoubleDouble:
    """g_j - sum_l L_l g_l: the rate at which Q falls as phase j grows."""
    g = (z[None] * w).sum(1)
    return g - (L * g).sum(0)[None]


def _fit(z: DoubleDouble, w: DoubleDouble, free: Tensor) -> _Fit:
    """The least-squares fit sum_j d_j w_ij = 1 with weights z_i over the free phases, by Gram-Schmidt."""
    w = w.where(free.unsqueeze(1))
    own = (z[None] * w * w).sum(1).high
    rest = freedom = DoubleDouble.of(torch.ones_like(w.high[0]))
    rows, heights, held = [], [], []
    for k, present in enumerate(free):
        column = w[0]
        zc = z * column
        length = (zc * column).sum(0)
        regular = length.high > NULL * own[k]
        height = ((zc * rest).sum(0) / length).where(regular)
        row = ((zc[None] * w[1:]).sum(1) / length[None]).where(regular)
        rest = rest - column * height[None]
        w = w[1:] - row[:, None] * column[None]
        freedom = freedom - (zc * column / length[None]).where(regular)
        rows.append(row)
        heights.append(height)
        held.append(present & ~regular)
    d = heights[-1][None]
    for row, height in zip(rows[-2::-1], heights[-2::-1], strict=True):
        d = DoubleDouble.cat([(height - (row * d).sum(0))[None], d])
    return _Fit(d, torch.stack(held), freedom.high)


def _entering(z: DoubleDouble, w: DoubleDouble, L: DoubleDouble, d: DoubleDouble, present: Tensor) -> Tensor:
    """The absent phase that lowers Q most, where it lowers it by more than the step d of the others."""
    growth = _excess(z, w, L).high
    size = (z.high * w.high.abs()).sum(1)
    gain = growth.square() / (z.high * w.high.square()).sum(1)
    decrement = (growth * d.high).sum(0).abs()
    better = ~present & (growth > ENTRY * size) & (gain > 4 * decrement)
    gain = torch.where(better, gain, 0.0)
    return better & (gain == gain.amax(0))
