r"""The integrators: adaptive steps along the path, layers, and noisy steps, with one interface.

advance   one step, not beyond a limit
at        the tokens at any time within the last step
settle    what has to happen between two steps: merging
snapshot  all that the rest depends on, so that a resumed flow is equal bit for bit
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.errors import ConvergenceError, InputError
from spinodal.flows.engines.direct import ENGINE as DIRECT_ENGINE
from spinodal.flows.engines.few import MOST as FEW
from spinodal.flows.engines.registry import ENGINES
from spinodal.flows.fields import AttentionField, FunctionField
from spinodal.flows.fields.schemes import Rescaled
from spinodal.flows.state import Field, Rate, State, is_euclidean
from spinodal.flows.time import dormand_prince as dp
from spinodal.flows.time.angles import (
    AngularStages,
    angles_of,
    angular_pull,
    merge_neighbours,
    unit_vectors,
)
from spinodal.flows.time.euclidean import EuclideanStages
from spinodal.flows.time.layers import take_layer
from spinodal.flows.time.merging import MERGE, ActiveTokens, Motion
from spinodal.flows.time.noise import brownian, noisy_step, normal_draws
from spinodal.flows.time.whole_steps import (
    STEPPED,
    UNDERFLOWS,
    Aims,
    Course,
    compiled_pull,
    fill_rate,
    steps_at_once,
    take_steps,
)  # fmt: skip
from spinodal.integrate import next_step, repeated_step
from spinodal.loops import one_order

END = 1e305  # a time beyond all others
FIRST = 1e-3  # path length of the first step
DIRECT = DIRECT_ENGINE.name
NUMBERS = ("hi", "lo", "h", "steps", "evaluations", "bound")
CONTROL = ("proposed", "error", "taken", "shortest")
SLIDING = 1e4  # times the tolerance: steps of hardmax below it are those across a surface of equal logits,
WAIT = (
    0.1  # of the time, or of 1: for so long tokens that rest are left alone where the field depends on time
)
SLIDES = 100  # and so many more of them than of others are a path along one


def knows_rest(engines: str) -> bool:
    """Whether the named engines are exact, so that they resolve the slowest drift; True for no engine."""
    last = (name.rpartition("+")[2] for name in engines.split(", "))
    return all(ENGINES[name].exact for name in last if name in ENGINES)


def depends_on_time(field: Field) -> bool:
    """Whether tokens that rest may move later: under a function, and where scores of rescaled ones grow."""
    rescaled = isinstance(field, AttentionField) and isinstance(field.scheme, Rescaled)
    return isinstance(field, FunctionField) or rescaled


def moves(rate: Rate) -> bool:
    """Whether the drift is more than its rounding."""
    return bool(np.linalg.norm(rate.drift) > np.linalg.norm(rate.error_bound))


class Integrator:
    """The state of an integration: tokens, weights, and the time hi + lo in two doubles.

    In long runs a step is shorter than the rounding of the time in one double.
    """

    def __init__(self, field: Field, start: State, weights: Float[np.ndarray, " n"], radius: float):
        self.field, self.lengths, self.euclidean = field, start.lengths, is_euclidean(field)
        merges = field.merges and field.noise == 0
        self.active = ActiveTokens(start.directions, weights, radius, self.euclidean) if merges else None
        living = self.active.living if self.active else slice(None)
        self.weights = weights[living]
        self.state = self.before = State(start.directions[living], start.lengths[living])
        self.hi = self.lo = self.h = self.bound = self.unknown = 0.0
        self.doubtful_rest = (
            0.0  # how far tokens may have moved while an engine could not tell their drift from 0
        )
        self.steps = self.evaluations = 0
        self.tokens = len(self.weights)  # before the probes
        self.engines: dict[str, None] = {}  # that ran, in the order of their first use

    def rate_at(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate:
        """The rate of the field; adds the engine that computed it to `engines`."""
        return self.note_engine(self.field(time, state, weights))

    def note_engine(self, rate: Rate) -> Rate:
        """The rate itself; adds its engine to `engines`."""
        if rate.engine not in self.engines and rate.engine:
            self.engines[rate.engine] = None
        return rate

    def advance(self, limit: float, pause: float = np.inf, number: int = 1) -> None:
        """Takes one step, not beyond `limit`; compiled ones up to `number`, until one has reached `pause`."""
        raise NotImplementedError

    def settle(self) -> None:
        pass

    def at(self, time: float) -> State:
        """The positions of all tokens of the start, in their order, at the end of the last step."""
        return self.expand(self.state, time)

    def set_tokens(self, n: int) -> None:
        """Declares all but the first n tokens of the start to be probes, which count in no cluster."""
        self.tokens = n
        if self.active:
            self.active.tree.tokens = n

    @property
    def clusters(self) -> int:
        """The number of clusters of tokens."""
        return self.active.clusters if self.active else self.tokens

    def time_left(self, limit: float) -> float:
        """The time from now to the limit."""
        return (limit - self.hi) - self.lo

    def advance_clock(self, h: float, limit: float) -> None:
        """hi + lo <- hi + lo + h, or the limit itself where h reaches it."""
        self.h, self.steps = h, self.steps + 1
        if h >= self.time_left(limit):
            self.hi, self.lo = limit, 0.0
            return
        total = self.hi + h
        virtual = total - self.hi
        rest = (self.hi - (total - virtual)) + (h - virtual) + self.lo
        self.hi = total + rest
        self.lo = rest - (self.hi - total)

    def record_bound(self, top: float, bound: float) -> None:
        """Updates `bound`, the largest ratio of the bound on a drift to the largest drift, and `unknown`.

        `unknown` sums how far tokens may have moved within these bounds. There is no ratio where all rest.
        """
        if top > 0:
            self.bound = max(self.bound, bound / top)
        if self.h > 0:
            self.unknown += bound * self.h

    def merge_tokens(self, motion: Motion) -> bool:
        """Replaces tokens that have merged by their centres of mass; returns whether there were any."""
        if self.active is None or len(self.weights) < 2:
            return False
        angles = motion.x.shape[1] == 1 and not self.euclidean
        merge = merge_neighbours if angles else ActiveTokens.merge_and_capture
        met = merge(self.active, motion)
        if met is None:
            return False
        self.state = State(met, self.state.lengths[: len(met)])
        self.weights = self.active.weights
        return True

    def expand(self, state: State, time: float) -> State:
        """The state of all tokens of the start, in their order, from that of those that have not merged."""
        if not self.active:
            return state
        return State(self.active.tree.expand(self.active.living, state.directions, time), self.lengths)

    def snapshot(self) -> dict[str, Any]:
        own = (
            {name: getattr(self, name) for name in NUMBERS} | self.state._asdict() | {"weights": self.weights}
        )
        own["engines"] = np.array(list(self.engines), dtype=str)
        return own | (self.active.snapshot() if self.active else {})

    def restore(self, saved: dict[str, Any]) -> None:
        for name in NUMBERS:
            setattr(self, name, saved[name].item())
        self.state = self.before = State(saved["directions"], saved["lengths"])
        self.weights = saved["weights"]
        self.engines = dict.fromkeys(
            saved["engines"].tolist() if "engines" in saved else ()
        )  # older ones say nothing
        if self.active:
            self.active.restore(saved)


class AdaptiveIntegrator(Integrator):
    """Dormand and Prince's method with error control; pairs nearer than `radius` are captured  [dormand1980]."""

    def __init__(
        self, field: Field, start: State, weights: Float[np.ndarray, " n"], tolerance: float, radius: float
    ):
        super().__init__(field, start, weights, radius)
        self.pull = compiled_pull(field, len(self.weights), start.directions.shape[1], float(weights.min()))
        self.tolerance, self.error, self.taken = tolerance, 1.0, 0.0
        self.proposed, self.path, self.shortest = FIRST, 0.0, np.inf
        self.rated = 0.0  # the time of the rate, which is that of the clock but for rounding
        self.angular = angular_pull(field, *self.state.directions.shape)
        if self.angular:
            self.state = self.before = State(angles_of(self.state.directions), self.state.lengths)
        self.stages = self.empty_stages()
        self.timed = depends_on_time(field)
        self.hard, self.stuck = isinstance(field, AttentionField) and field.hard, 0
        self.begin()
        self.settle()

    def empty_stages(self) -> dp.Stages:
        n, d = self.state.directions.shape
        if self.euclidean:
            return EuclideanStages(n, d)
        return AngularStages(n, self.angular) if self.angular else dp.Stages(n, d)

    def leave_angles(self) -> None:
        """Replaces the angles of the state by unit vectors, for all further steps."""
        self.angular, self.state = None, State(unit_vectors(self.state.directions), self.state.lengths)
        self.stages = self.empty_stages()

    def rate_at(self, time: float, state: State, weights: Float[np.ndarray, " n"]) -> Rate:
        """The rate of the field; for few tokens bitwise equal to that of compiled steps."""
        self.rated, (n, d) = time, state.directions.shape
        if not self.pull or n > FEW:
            return super().rate_at(time, state, weights)
        drift, bound = np.empty((n, d)), np.empty(n)
        with one_order(0 if d < 4 else n * n * d):
            fill_rate(state.directions, weights, self.pull, drift, bound)
        return self.note_engine(Rate(drift, np.zeros(n), np.full(n, np.nan), bound, DIRECT))

    def begin(self, time: float | None = None) -> None:
        """Evaluates the rate at the present state, now or at a given time, as stage 0 of the next step."""
        self.stages.reset(*self.state.directions.shape)
        self.before, self.h, self.rate = self.state, 0.0, dp.SPENT
        now = self.hi if time is None else time
        self.rate = self.stages.first_rate(self.rate_at, now, self.state, self.weights)
        self.note_engine(self.rate)
        self.evaluations += 1
        self.fill_first_stage()

    def fill_first_stage(self) -> None:
        self.stages.begin_step(self.rate, self.state)
        self.shortest = min(self.shortest, float(self.stages.sigma[0]))
        if not self.stages.resting:
            self.record_bound(*self.stages.extent(self.rate))

    def advance(self, limit: float, pause: float = np.inf, number: int = 1) -> None:
        if self.stages.resting:
            self.before = self.state
            self.advance_clock(self.wait(limit) if self.timed else min(self.time_left(limit), END), limit)
            if not knows_rest(self.rate.engine):
                self.doubtful_rest += float(self.rate.error_bound.max()) * self.h
            return
        if self.pull and len(self.weights) <= FEW:
            self.take_compiled_steps(limit, pause, number)
            return
        self.rate = dp.SPENT
        h, most = self.proposed, dp.CONTROLLER.grow
        while True:
            state, rate, error, fault = self.try_step(h)
            if error <= 1:
                break
            h, most = repeated_step(dp.CONTROLLER, h, error), 1.0
            if not h > dp.ROUNDING:
                raise self.underflow(h, error) from fault
        duration = dp.elapsed_time(h, 1.0, self.stages)
        if duration > self.time_left(limit):
            self.arrive(h, limit)
            return
        following = next_step(dp.CONTROLLER, h, error, (self.taken, self.error))
        rest = self.stages.path_to_rest(h)
        if rest < dp.MET and not self.active:
            self.stages.freeze_speed()
        self.proposed = min(most * h, following, dp.CLOSING * rest)
        self.error, self.taken = max(error, 1e-4), h
        if self.hard:
            self.require_progress(h)
        self.finish(h, state, rate, duration, limit)

    def wait(self, limit: float) -> float:
        """How long tokens rest: a tenth of the time or of 1, or less where they then move, until they begin to."""
        rests, h = 0.0, min(self.time_left(limit), WAIT * max(self.hi, 1.0))
        self.rate = self.rate_after(h)
        while moves(self.rate) and h - rests > self.tolerance * max(self.hi, 1.0):
            middle = (rests + h) / 2
            rate = self.rate_after(middle)
            if moves(rate):
                h, self.rate = middle, rate
            else:
                rests = middle
        self.rated = self.hi + h
        return h

    def rate_after(self, h: float) -> Rate:
        """The rate of the present state at a time h later."""
        self.evaluations += 1
        return self.rate_at(self.hi + h, self.state, self.weights)

    def require_progress(self, h: float) -> None:
        """ConvergenceError where tokens slide along a surface of equal logits, across which the field jumps."""
        self.stuck = self.stuck + 1 if h < SLIDING * self.tolerance else max(self.stuck - 1, 0)
        if self.stuck > SLIDES:
            raise ConvergenceError(
                f"stopped at t = {self.hi:.6g}: tokens slide along a surface where two others are liked alike, across "
                "which hardmax jumps, so that no step of the ode clock is short enough. Layers follow them, to within "
                "their step: take the layer clock, `method` Layers(step), on the command line --clock layer --step, "
                "or a large finite `beta`",
                field="beta",
            )

    def take_compiled_steps(self, limit: float, pause: float, number: int) -> None:
        """Takes up to `number` compiled steps, until `pause`, the limit, or where tokens may merge."""
        assert self.pull
        n, d = self.state.directions.shape
        x, y, drift, bound = self.state.directions.copy(), np.empty((n, d)), np.empty((n, d)), np.empty(n)
        course = Course(
            self.hi, self.lo, self.h, self.path, self.proposed, self.taken, self.error, self.shortest,
            self.stages.slowest, self.active.clearance if self.active else 0.0, self.bound, self.unknown,
            self.steps, self.evaluations,
        )  # fmt: skip
        stages = self.stages.k.reshape(7, -1), self.stages.sigma, self.stages.noise
        aims = Aims(limit, min(pause, END), self.tolerance, self.active.radius if self.active else 0.0)
        number = min(number, steps_at_once(n, d))
        with one_order(n * n * d):
            code, course, h = take_steps(
                x, y, np.array(self.weights), self.pull, stages, drift, bound, course, aims, number
            )
        (self.hi, self.lo, self.h, self.path, self.proposed, self.taken, self.error, self.shortest,
         self.stages.slowest, clearance, self.bound, self.unknown, self.steps, self.evaluations) = course  # fmt: skip
        if self.active:
            self.active.clearance = clearance
        state = State(x, self.state.lengths)
        if code == STEPPED:
            self.before, self.state = State(y, state.lengths), state
            self.rate = Rate(drift, np.zeros(n), np.full(n, np.nan), bound, DIRECT)
            return
        self.state = state
        if code == UNDERFLOWS:
            raise self.underflow(h, self.error)
        self.arrive(h, limit)

    def underflow(self, h: float, error: float) -> ConvergenceError:
        return ConvergenceError(
            f"the step underflows at t = {self.hi:.17g}: a path of {h:.3g} moves no token by more than "
            f"rounding, and the error is still {error:.3g} times the tolerance {self.tolerance:g}"
        )

    def arrive(self, h: float, limit: float) -> None:
        """Takes a step shorter than h that ends at the limit, the rest of the time along a straight line."""
        theta = dp.path_fraction(self.time_left(limit), h, self.stages)
        state, rate, _, fault = self.try_step(theta * h)
        if fault:
            raise fault
        missed = self.time_left(limit) - dp.elapsed_time(theta * h, 1.0, self.stages)
        state = self.stages.move_on(state, rate, missed)
        self.finish(theta * h, state, rate, self.time_left(limit), limit)

    def finish(self, h: float, state: State, rate: Rate, duration: float, limit: float) -> None:
        self.before, self.state, self.rate, self.path = self.state, state, self.note_engine(rate), h
        self.advance_clock(duration, limit)

    def try_step(self, h: float) -> tuple[State, Rate, float, InputError | None]:
        """(state, rate, error, fault) of a step h; fault is the InputError of a stage outside the domain."""
        self.evaluations += 6
        since = max(1.0 if self.timed else self.shortest, dp.PUNCTUAL * self.hi)
        try:
            with np.errstate(invalid="ignore"):  # which is a step too far as well
                state, rate = self.stages.take_step(self.rate_at, self.hi, self.state, self.weights, h)
                return state, rate, self.stages.error(self.state, since, h, self.tolerance), None
        except InputError as fault:
            return self.state, dp.SPENT, np.nan, fault

    def at(self, time: float) -> State:
        """The positions of all tokens at a time inside the last step, to fourth order  [shampine1986]."""
        if time == self.hi or self.before is self.state:
            return super().at(time)
        theta = dp.path_fraction(self.h + ((time - self.hi) - self.lo), self.path, self.stages)
        return self.expand(dp.interpolated_state(self.before, self.path, theta, self.stages), time)

    def expand(self, state: State, time: float) -> State:
        if not self.angular:
            return super().expand(state, time)
        return super().expand(State(unit_vectors(state.directions), state.lengths), time)

    def settle(self) -> None:
        x, y = self.state.directions, self.before.directions
        earlier = self.stages.first_drift()
        if self.merge_tokens(Motion(x, self.rate.drift, y, earlier, self.hi, self.h)):
            if self.angular and not self.angular.serves(len(self.weights)):
                self.leave_angles()
            self.begin()
        else:
            self.fill_first_stage()

    def snapshot(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in CONTROL} | {"slowest": self.stages.slowest}
        own["rated"] = self.rated
        own["form"] = np.array("angles" if self.angular else "compiled" if self.pull else "plain")
        return super().snapshot() | own

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        form = str(saved.get("form", "plain"))
        self.pull = None if form == "plain" else self.pull
        self.angular = self.angular if form == "angles" else None
        self.stages = self.empty_stages()
        self.stages.slowest = saved["slowest"].item()
        self.begin(saved["rated"].item() if "rated" in saved else None)  # older ones say no time
        super().restore(saved)
        for name in CONTROL:
            setattr(self, name, saved[name].item())


class FixedStepIntegrator(Integrator):
    """Steps of one size; the time is their number times the size, without rounding. No state lies between two steps."""

    def __init__(self, field: Field, start: State, weights: Float[np.ndarray, " n"], step: float, seed: int):
        super().__init__(field, start, weights, MERGE)
        self.step, self.seed = step, seed
        self.merge_tokens(self.motion(0.0))

    def motion(self, h: float) -> Motion:
        x, y = self.state.directions, self.before.directions
        f = (x - y) / self.step
        return Motion(x, f, y, f, self.hi, h)

    def settle(self) -> None:
        if self.merge_tokens(self.motion(self.step)):
            self.before = self.state

    def advance(self, limit: float, pause: float = np.inf, number: int = 1) -> None:
        self.before, self.h = self.state, self.step
        self.state = self.next_state()
        self.steps += 1
        self.hi = self.steps * self.step

    def next_state(self) -> State:
        raise NotImplementedError


class LayerIntegrator(FixedStepIntegrator):
    """x <- normalise(x + h A(x)), followed by the noise of a time h if the field has any."""

    field: AttentionField

    def next_state(self) -> State:
        state, rate = take_layer(self.field, self.hi, self.state, self.weights, self.step)
        self.record_bound(*dp.extent(self.note_engine(rate)))
        self.evaluations += 1
        if self.field.noise == 0:
            return state
        xi = normal_draws(self.seed, self.steps, state.directions.shape)
        x = brownian(state.directions, self.field.noise * self.step, xi, self.euclidean)
        return State(x, state.lengths)


class NoisyIntegrator(FixedStepIntegrator):
    """dX = F dt + sqrt(2 / kappa) dW on the sphere, of weak order two  [derived]."""

    def next_state(self) -> State:
        self.evaluations += 2
        key = (self.seed, self.steps)
        state, rate = noisy_step(self.field, self.hi, self.state, self.weights, self.step, key)
        self.record_bound(*dp.extent(self.note_engine(rate)))
        return state
