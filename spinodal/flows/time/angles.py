r"""Steps of many tokens on the circle, whose state is their angles in cyclic order, [n 1].

The steps are those of `dormand_prince` in another chart: no normalisation, half the memory, and stages,
moments and norms in two passes of `engines.angles`. Where the bound on a drift exceeds the tolerance, the
field itself is evaluated at the unit vectors, with the refinement of `engines.choose`. Of n sorted angles
only neighbours may meet, the last and the first among them.

    symbol    meaning                                                     shape
    k         drifts dtheta/dt at the seven stages (sigma stands apart)   7 arrays [n]
    gap       angle from a token to the next                              n
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int

from spinodal.flows.engines.angles import AngularDrift, drift_along, largest_sum, move_all, unit_masses
from spinodal.flows.engines.choose import TOLERANCE, choose_engines
from spinodal.flows.engines.circle import ENGINE
from spinodal.flows.engines.engine import Problem
from spinodal.flows.engines.few import MOST
from spinodal.flows.engines.law import Law
from spinodal.flows.fields import AttentionField
from spinodal.flows.fields.schemes import Post
from spinodal.flows.state import Field, Rate, State
from spinodal.flows.time import dormand_prince as dp
from spinodal.flows.time.merging import FEW, MANY, ActiveTokens, Motion, meeting, shares
from spinodal.loops import compiled, in_parts

FARTHEST = 1e6  # a path whose angles are still told apart in cells
TURN = 2 * np.pi
Angles = Float[np.ndarray, "n 1"]


class AngularPull(NamedTuple):
    """Parameters of the drift of angles: the law, v of V = v I, and the engine's name."""

    law: Law
    value: float
    engine: str

    def serves(self, n: int) -> bool:
        """Whether n > 512 and `circle` is the engine for n tokens; fewer take the steps of `whole_steps`."""
        return n > MOST and choose_engines(Problem(n, 2, self.law.beta), self.engine)[0] is ENGINE


def angular_pull(field: Field, n: int, d: int) -> AngularPull | None:
    """The parameters of a field whose tokens are integrated as angles; None for others and for few tokens."""
    if type(field) is not AttentionField or d != 2 or field.engine not in ("auto", ENGINE.name):
        return None
    if not (type(field.scheme) is Post and field.one_head and field.merges) or field.hard:
        return None
    one = field.interactions[0]
    if not one.head.isotropic or one.law.beta < 0 or field.d not in (None, d):
        return None
    pull = AngularPull(one.law, float(one.head.value_matrix), field.engine)
    return pull if pull.serves(n) else None


def angles_of(x: Float[np.ndarray, "n 2"]) -> Angles:
    return np.arctan2(x[:, 1:], x[:, :1])


def unit_vectors(theta: Angles) -> Float[np.ndarray, "n 2"]:
    return np.concatenate([np.cos(theta), np.sin(theta)], 1)


class AngularStages(dp.Stages):
    """The seven stages of a step of angles. The last of them is the first of the next, without being copied."""

    def __init__(self, n: int, pull: AngularPull):
        self.pull = pull
        super().__init__(n, 1)

    def reset(self, n: int, d: int) -> None:
        super().reset(n, d)
        self.rows, self.order = self.room[: 7 * n].reshape(7, n), np.arange(7)
        self.weights, self.last, self.ended = (None, 0.0), AngularDrift(0.0, 0.0, 0.0, 0.0), False

    def first_rate(
        self, field: dp.RateAt, time: float, state: State, weights: Float[np.ndarray, " n"]
    ) -> Rate:
        self.weights = unit_masses(weights)
        theta = state.directions.reshape(-1)
        return self.fill_rate(0, field, time, (theta, np.empty(0), theta), weights)

    def fill_rate(
        self,
        j: int,
        field: dp.RateAt,
        time: float,
        motion: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " s"], Float[np.ndarray, " n"]],
        weights: Float[np.ndarray, " n"],
    ) -> Rate:
        """Stage j, the drift at y = theta + sum_s a_s k_s, which is filled: `motion` is (theta, a, y)."""
        (theta, a, y), row, engine = motion, self.rows[self.order[j]], ENGINE.name
        law, value = self.pull.law, self.pull.value
        drift = drift_along(theta, ((self.rows, self.order), a), self.weights, law, value, (y, row))
        if not drift.bound <= TOLERANCE * drift.top:
            x = unit_vectors(y[:, None])
            rate = field(time, State(x, np.ones(len(x))), weights)
            row[:] = x[:, 0] * rate.drift[:, 1] - x[:, 1] * rate.drift[:, 0]
            norms, top = (dp.norm(row), dp.norm(rate.error_bound)), float(max(row.max(), -row.min()))
            drift, engine = AngularDrift(*norms, top, float(rate.error_bound.max())), rate.engine
        elif not 1e-125 < drift.speed < 1e125:
            drift = drift._replace(speed=dp.norm(row))
        self.last = drift
        self.sigma[j] = dp.time_along(drift.speed, drift.doubt, self.slowest)
        self.noise[j] = drift.doubt * self.sigma[j]
        same = lambda value: np.broadcast_to(value, len(y))
        return Rate(row[:, None], same(0.0), same(np.nan), same(drift.bound), engine)

    def take_step(
        self, field: dp.RateAt, time: float, state: State, weights: Float[np.ndarray, " n"], h: float
    ) -> tuple[State, Rate]:
        theta, y, rate = state.directions.reshape(-1), np.empty(len(weights)), None
        if h > FARTHEST:
            self.sigma[6] = np.nan  # and with it the error
            return state, dp.SPENT
        for j in range(1, 7):
            a = h * dp.A[j, :j] * self.sigma[:j]
            rate = self.fill_rate(j, field, time + float(np.sum(a)), (theta, a, y), weights)
        assert rate
        self.ended = True
        return State(y[:, None], state.lengths), rate

    def begin_step(self, rate: Rate, state: State) -> None:
        if self.ended:
            self.order[[0, 6]], self.ended = self.order[[6, 0]], False
            self.sigma[0], self.noise[0] = self.sigma[6], self.noise[6]
        self.resting = self.last.speed <= self.last.doubt

    def extent(self, rate: Rate) -> tuple[float, float]:
        return self.last.top, self.last.bound

    def first_drift(self) -> Angles:
        return self.rows[self.order[0]][:, None]

    def largest_error(self) -> float:
        a = dp.E * self.sigma
        loop = lambda start, stop: largest_sum((self.rows, self.order), a, start, stop)
        parts = in_parts(loop, self.rows.shape[1], dp.LEAST)
        return max(parts) if all(part == part for part in parts) else np.nan

    def state_along(self, state: State, a: Float[np.ndarray, " s"]) -> State:
        theta, y, b = state.directions.reshape(-1), np.empty(len(state.lengths)), a * self.sigma[: len(a)]
        k = self.rows, self.order
        in_parts(lambda start, stop: move_all(theta, k, b, y, start, stop), len(y), dp.LEAST)
        return State(y[:, None], state.lengths)

    def move_on(self, state: State, rate: Rate, time: float) -> State:
        return State(state.directions + time * rate.drift, state.lengths)


@compiled(fastmath={"contract"})
@no_type_check
def gap_after(theta, i):
    """The angle from a token to the next, from the last to the first across the cut."""
    return theta[i + 1] - theta[i] if i + 1 < theta.size else theta[0] + TURN - theta[i]


@compiled(fastmath={"contract"})
@no_type_check
def step_after(f, i):
    """f_{i+1} - f_i, the last and the first being neighbours."""
    return (f[i + 1] if i + 1 < f.size else f[0]) - f[i]


@compiled(fastmath={"contract"})
@no_type_check
def wins(k, other, first, gap, last):
    """Whether the gap of pair k is smaller than that of another; of equal ones the smaller indices win."""
    if gap[k] != gap[other]:
        return gap[k] < gap[other]
    ours, theirs = first[k] + 0.0, first[other] + 0.0
    return (0.5 if ours == last else ours) < (0.5 if theirs == last else theirs)


@compiled(fastmath={"contract"})
@no_type_check
def meeting_neighbours(x, f, y, g, clock):
    """(first, time, rate) of the pairs (token, next) that merge now: nearer than both neighbouring pairs that may."""
    n, (now, h, radius), count = x.size, clock, 0
    for i in range(n - 1):
        count += abs(x[i + 1] - x[i]) < radius
    count += abs(gap_after(x, n - 1)) < radius
    first, gap, time, rate = np.empty(count, np.int64), np.empty(count), np.empty(count), np.empty(count)
    fair = 0
    for i in range(n if count > 0 else 0):
        delta = gap_after(x, i)
        if abs(delta) < radius:
            before = gap_after(y, i)
            speeds = -step_after(f, i) / delta, -step_after(g, i) / before
            when, speed = meeting(abs(delta), abs(before), speeds, now, h)
            if when == when:
                first[fair], gap[fair], time[fair], rate[fair] = i, abs(delta), when, speed
                fair += 1
    keep = np.zeros(fair, np.bool_)
    for k in range(fair):
        left, right = k - 1 if k > 0 else fair - 1, k + 1 if k + 1 < fair else 0
        keep[k] = True
        if left != k and (first[left] + 1) % n == first[k]:
            keep[k] &= wins(k, left, first, gap, n - 1)
        if right != k and (first[k] + 1) % n == first[right]:
            keep[k] &= wins(k, right, first, gap, n - 1)
    return first[:fair][keep], time[:fair][keep], rate[:fair][keep]


@compiled(fastmath={"contract"})
@no_type_check
def with_pairs_replaced(values, first, new):
    """The values with those of each pair (token, next) replaced by a new one, in the place of its first token."""
    n, k = values.size, first.size
    out = np.empty(n - k, values.dtype)
    pair, i = 0, 1 if first[k - 1] == n - 1 else 0
    for m in range(n - k):
        if pair < k and first[pair] == i:
            out[m] = new[pair]
            pair, i = pair + 1, i + 2
        else:
            out[m] = values[i]
            i += 1
    return out


def merge_neighbours(active: ActiveTokens, motion: Motion) -> Angles | None:
    """`ActiveTokens.merge_and_capture` of angles: one loop finds the pairs of a pass."""
    changed = None
    while (n := len(active.living)) > 1:
        x, f, y, g = (part.reshape(-1) for part in motion[:4])
        first, time, rate = meeting_neighbours(x, f, y, g, (motion.time, motion.h, active.radius))
        few = len(first) < FEW * n
        if len(first) == 0 or (few and n > MANY):
            break
        motion = join_neighbours(active, first, rate, time, motion)
        changed = motion.x
        if few:
            break
    return changed


def join_neighbours(
    active: ActiveTokens,
    first: Int[np.ndarray, " k"],
    rate: Float[np.ndarray, " k"],
    time: Float[np.ndarray, " k"],
    motion: Motion,
) -> Motion:
    """The motion with each pair (token, next) replaced by its centre of mass, in the place of its first token."""
    pair = np.stack([first, (first + 1) % len(active.living)], 1)
    share, mass = shares(active.weights[pair])
    across = TURN * (pair[:, 1] < first)

    def mean(part: Angles, jump: Float[np.ndarray, " k"] | float) -> Float[np.ndarray, " k"]:
        one, other = part[pair, 0].T
        return one + share[:, 1] * (other + jump - one)

    means = [mean(part, jump) for part, jump in zip(motion[:4], (across, 0.0, across, 0.0), strict=True)]
    ends = motion.x[pair, 0]
    ends[:, 1] += across
    offsets = chords(means[0][:, None], ends - means[0][:, None])
    offsets[rate == 0] = 0.0
    node = active.tree.join(active.living[pair], offsets, rate, motion.time, time)
    active.living = with_pairs_replaced(active.living, first, node.astype(active.living.dtype))
    active.weights = with_pairs_replaced(active.weights, first, mass)
    parts = zip(motion[:4], means, strict=True)
    x, f, y, g = (with_pairs_replaced(part.reshape(-1), first, new)[:, None] for part, new in parts)
    return Motion(x, f, y, g, motion.time, motion.h)


def chords(theta: Float[np.ndarray, "k 1"], step: Float[np.ndarray, "k p"]) -> Float[np.ndarray, "k p 2"]:
    """(cos, sin)(theta + step) - (cos, sin)(theta), without cancellation."""
    middle, length = theta + step / 2, 2 * np.sin(step / 2)
    return np.stack([-length * np.sin(middle), length * np.cos(middle)], 2)
