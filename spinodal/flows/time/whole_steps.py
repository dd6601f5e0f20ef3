r"""Whole steps of Dormand and Prince among few tokens, compiled: stages, error, control, clock and the test for merges.

The steps are those of `dormand_prince` and the decisions those of `AdaptiveIntegrator`, which takes over
where a step has to end at a given time, where the step underflows, where all tokens rest, and where two may
merge. They serve one head of any Q, K, V, causal or not, with post-LN: directions alone move, at a rate that
does not depend on time.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float

from spinodal.flows.engines.choose import choose_engines
from spinodal.flows.engines.direct import ENGINE, FAINT
from spinodal.flows.engines.engine import Problem
from spinodal.flows.engines.few import MOST, FewTokensOutput, fill_pull, pull_of
from spinodal.flows.fields import AttentionField
from spinodal.flows.fields.schemes import Post
from spinodal.flows.state import Field
from spinodal.flows.time.dormand_prince import (
    CLOSING,
    CONTROLLER,
    ELAPSED,
    MET,
    NOTHING,
    PUNCTUAL,
    ROUNDING,
    A,
    E,
    time_per_path,
)  # fmt: skip
from spinodal.flows.time.merging import BLUR as UNSEEN
from spinodal.flows.time.merging import fill_meetings, fill_nearest, largest_approach
from spinodal.integrate import largest, next_step, repeated_step, unit_sum
from spinodal.loops import compiled

STEPPED, ARRIVES, UNDERFLOWS = range(3)
WORK = 1e7  # pairs times numbers of steps between two returns to Python: some milliseconds
CHEAPER = 0.5  # of the cost of every pair, below which another engine is asked, and steps are plain
MAGNITUDES = np.abs(E)


class Course(NamedTuple):
    """The numbers that a step passes to the next, as in `AdaptiveIntegrator`: time, step sizes, errors."""

    hi: float
    lo: float
    duration: float
    path: float
    proposed: float
    taken: float
    error: float
    shortest: float
    slowest: float
    clearance: float
    bound: float
    unknown: float
    steps: int
    evaluations: int


IDLE = Course(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)


class Aims(NamedTuple):
    """Where steps end: at the time `limit`, or after the first that reaches `pause`; with what tolerance.

    `radius` is that of capture, 0 where tokens do not merge.
    """

    limit: float
    pause: float
    tolerance: float
    radius: float


def compiled_pull(field: Field, n: int, d: int, lightest: float) -> FewTokensOutput | None:
    """The parameters of the drift of a field whose steps are compiled; None for any other field."""
    if type(field) is not AttentionField or field.engine not in ("auto", ENGINE.name) or field.noise > 0:
        return None
    if field.d not in (None, d):
        return None  # which the field refuses in its own words
    if not field.one_head or type(field.scheme) is not Post or field.hard:
        return None
    one = field.interactions[0]
    if lightest < FAINT and 2 * one.top > -np.log(FAINT):
        return None  # the Z of a probe may be one that is found in logarithms alone
    plain = one.head.isotropic and not one.causal
    problem = Problem(
        min(n, MOST), d, one.kernel.inverse_temperature, one.kernel.isotropic, one.causal, average=not plain
    )
    if choose_engines(problem, field.engine)[0].cost(problem) < CHEAPER * ENGINE.cost(problem):
        return None
    clock = None if one.kind == "sa" else float(np.exp(one.exponent))
    return pull_of(one.kernel, one.head.value_matrix, clock, d)


def fill_rate(
    x: Float[np.ndarray, "n d"],
    w: Float[np.ndarray, " n"],
    pull: FewTokensOutput,
    drift: Float[np.ndarray, "n d"],
    error_bound: Float[np.ndarray, " n"],
) -> None:
    """Fills the drift and its bound as `take_steps` has them, bit for bit; NaN where a token is not finite."""
    if not finite(x.reshape(-1)):
        drift[:] = error_bound[:] = np.nan
        return
    stages = np.empty((7, 0)), np.empty(0), np.empty(0)
    x, w = np.array(x), np.array(w)  # of one type: one that cannot be written to would be compiled for anew
    take_steps(x, np.empty((0, 0)), w, pull, stages, drift, error_bound, IDLE, Aims(0.0, 0.0, 0.0, 0.0), 0)


def steps_at_once(n: int, d: int) -> int:
    """The number of compiled steps among n tokens before control returns to Python, for some milliseconds."""
    return int(min(max(WORK / (n * n * (d + 20)), 1), 1000))


@compiled(fastmath={"contract"})
@no_type_check
def finite(values):
    """Whether every number is finite."""
    total = 0.0
    for i in range(values.size):
        total += values[i] * 0.0
    return total == 0.0


@compiled(fastmath={"contract"})
@no_type_check
def largest_of(values):
    """max_i |v_i|."""
    top = 0.0
    for i in range(values.size):
        top = max(top, abs(values[i]))
    return top


@compiled(fastmath={"contract"})
@no_type_check
def fill_stages(x, w, pull, h, slowest, stages, new, drift, error_bound):
    """Fills stages 1 to 6 of a step of path h, its end `new`, and the drift and bound there.

    Returns (|drift|, its error bound) at the end; nan where a stage is not finite.
    """
    k, sigma, noise = stages
    n, d = x.shape
    state, flat, rate = new.reshape(-1), x.reshape(-1), drift.reshape(-1)
    speed, doubt, a = np.nan, np.nan, np.empty(7)
    for j in range(1, 7):
        for i in range(j):
            a[i] = h * A[j, i]
        unit_sum(flat, k[:j], a[:j], state, d, 0, n)
        if not finite(state):
            return np.nan, np.nan
        fill_pull(new, w, pull, drift, error_bound)
        sigma[j], speed, doubt = time_per_path(rate, error_bound, NOTHING, slowest)
        noise[j] = doubt * sigma[j]
        for i in range(rate.size):
            k[j, i] = rate[i] * sigma[j]
    return speed, doubt


@compiled(fastmath={"contract"})
@no_type_check
def may_merge(x, y, drift, earlier, course, radius, pair, out):
    """(whether two tokens may merge now, a lower bound on distances), tested as in `merge_and_capture`."""
    n, d = x.shape
    clearance = course.clearance
    if d > 2:
        clearance -= largest_approach(x, y)
        if not clearance <= radius:
            return False, clearance
    pairs = pair[: n if n > 2 else 1]
    fill_nearest(x, pairs)
    fill_meetings(pairs, x, drift, y, earlier, (course.hi, course.duration, radius), out)
    least = np.inf
    for i in range(len(pairs)):
        if out[1, i] == out[1, i]:
            return True, course.clearance
        least = min(least, out[0, i])
    return False, least - UNSEEN


@compiled(fastmath={"contract"})
@no_type_check
def take_steps(x, y, w, pull, stages, drift, error_bound, course, aims, number):
    """Up to `number` steps from x, whose rate is stage 0, into x, with the state before the last of them in y.

    Returns (code, course, h). STEPPED: the last step is taken, and the caller has to test whether tokens
    merge. ARRIVES: the next step, of path h, would end beyond the limit and is not taken. UNDERFLOWS: the
    next step is rejected at the least h and is not taken. A number of 0 fills the drift at x alone, bitwise
    equal to that in steps.
    """
    n, d = x.shape
    if number == 0:
        fill_pull(x, w, pull, drift, error_bound)
    k, sigma, noise = stages
    new, earlier, rate = np.empty((n, d)), np.empty((n, d)), drift.reshape(-1)
    pair, out, blurred = np.empty((n, 2), np.int32), np.empty((3, n)), np.empty(7)
    for step in range(number):
        c = course
        h, most, evaluations, since = (
            c.proposed,
            CONTROLLER.grow,
            c.evaluations,
            max(c.shortest, PUNCTUAL * c.hi),
        )
        while True:
            speed, doubt = fill_stages(x, w, pull, h, c.slowest, stages, new, drift, error_bound)
            evaluations += 6
            error = np.nan
            if speed == speed:
                for j in range(7):
                    blurred[j] = noise[j] * sigma[j]
                worst = largest(k, E, d, 0, n)
                late = max(abs(np.dot(E, sigma)) - np.dot(MAGNITUDES, blurred), 0.0) / since
                error = h * (worst if worst != worst else max(worst, late)) / aims.tolerance
            if error <= 1:
                break
            h, most = repeated_step(CONTROLLER, h, error), 1.0
            if not h > ROUNDING:
                return UNDERFLOWS, with_counts(c, evaluations, error), h
        duration = h * np.dot(sigma, ELAPSED)
        left = (aims.limit - c.hi) - c.lo
        if duration > left:
            return ARRIVES, with_counts(c, evaluations, c.error), h
        following = next_step(CONTROLLER, h, error, (c.taken, c.error))
        first, last = 1 / sigma[0], 1 / sigma[6]
        rest = h * last / (first - last) if last < first else np.inf
        slowest = last if rest < MET and aims.radius == 0 else c.slowest
        hi, lo = later(c.hi, c.lo, duration) if duration < left else (aims.limit, 0.0)
        for i in range(n):
            for j in range(d):
                y[i, j], x[i, j] = x[i, j], new[i, j]
        course = Course(
            hi, lo, duration, h, min(most * h, following, CLOSING * rest), h, max(error, 1e-4), c.shortest,
            slowest, c.clearance, c.bound, c.unknown, c.steps + 1, evaluations,
        )  # fmt: skip
        if speed <= doubt or hi >= aims.pause or duration >= left or step == number - 1:
            break
        if aims.radius > 0 and n > 1:
            for i in range(n):
                for j in range(d):
                    earlier[i, j] = k[0, i * d + j] / sigma[0]
            near, clearance = may_merge(x, y, drift, earlier, course, aims.radius, pair, out)
            if near:
                break
        else:
            clearance = c.clearance
        sigma[0], speed, doubt = time_per_path(rate, error_bound, NOTHING, slowest)
        noise[0] = doubt * sigma[0]
        for i in range(rate.size):
            k[0, i] = rate[i] * sigma[0]
        course = settled(
            course, min(c.shortest, sigma[0]), clearance, largest_of(rate), largest_of(error_bound)
        )
    return STEPPED, course, course.path


@compiled(fastmath={"contract"})
@no_type_check
def later(hi, lo, duration):
    """hi + lo + duration in two doubles."""
    total = hi + duration
    virtual = total - hi
    rest = (hi - (total - virtual)) + (duration - virtual) + lo
    hi = total + rest
    return hi, rest - (hi - total)


@compiled(fastmath={"contract"})
@no_type_check
def with_counts(c, evaluations, error):
    """The course with other `evaluations` and `error`, as left by a step that was not taken."""
    return Course(
        c.hi, c.lo, c.duration, c.path, c.proposed, c.taken, error, c.shortest, c.slowest, c.clearance, c.bound,
        c.unknown, c.steps, evaluations,
    )  # fmt: skip


@compiled(fastmath={"contract"})
@no_type_check
def settled(c, shortest, clearance, top, bound):
    """The course after a step at whose end no tokens merge and not all rest."""
    ratio = max(c.bound, bound / top) if top > 0 else c.bound
    return Course(
        c.hi, c.lo, c.duration, c.path, c.proposed, c.taken, c.error, shortest, c.slowest, clearance, ratio,
        c.unknown + bound * c.duration, c.steps, c.evaluations,
    )  # fmt: skip
