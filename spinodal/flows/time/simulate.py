r"""`simulate`, which integrates a field from a start to an end, and its result, a trajectory with its merges.

The steps are those of a method (`spinodal.flows.time.methods`). Fewer tokens than dimensions are integrated in their
span where the field allows it, theta = c B with c [n r], r = min(n, d), and lifted when they are read.
"""

import contextlib
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from spinodal.arrays import points_array, real_array, token_array, weight_array
from spinodal.errors import ConvergenceError, InputError, require_type
from spinodal.flows.engines.field import check, check_points, with_probes
from spinodal.flows.engines.span import coordinates_in_span
from spinodal.flows.fields import AttentionField, FunctionField
from spinodal.flows.fields.euclidean import require_end
from spinodal.flows.fields.schemes import Rescaled
from spinodal.flows.state import Field, State, is_euclidean
from spinodal.flows.time.euclidean import require_near
from spinodal.flows.time.frames import SavedFrames
from spinodal.flows.time.integrators import AdaptiveIntegrator, Integrator
from spinodal.flows.time.merging import MERGE, Merges
from spinodal.flows.time.methods import Adaptive, Layers, Method, Noisy
from spinodal.limits import STEPS, exceeds
from spinodal.loops import product
from spinodal.results import Result
from spinodal.runs import read_checkpoint, write_checkpoint
from spinodal.signals import watch_signal
from spinodal.types import Progress, Trajectory

CONSENSUS = math.inf  # an `until`: as long as it takes
END = 1e300  # beyond, doubles have no times; weights are not told from zero before that
MOST = 1_000_000  # adaptive steps, and steps on the way to a consensus that may not come
LOST = 1e-6  # of the largest drift: a bound on its error above which a simulation warns,
ASTRAY = 1e-9  # if tokens may have moved by as much within such bounds: near a length of 0 drifts are vast, steps tiny
SAME = 1e-6  # by which a start that was made anew may differ from the one of a checkpoint
ROUNDING = 1e-12  # by which the last time to keep may differ from the end
OFTEN = 16  # times a number of steps is told of before it is doubled
NONE = Merges(np.zeros(0), *np.zeros((3, 0), np.int64))


@dataclass(frozen=True, eq=False, repr=False)
class SimulationResult(Result):
    """Times [t], unit vectors [t n d] and lengths [t n] of a simulation, and its merges.

    The unit vectors are `coordinates` [t n r], or, where tokens were integrated in their span, `coordinates` @ `basis`.
    `error_bound` is the largest ratio of the bound on a drift to the largest drift at that time, over all steps;
    `evaluations` counts the drifts that were computed, and `engines` names what computed them, in the order of their
    first use. `trajectory` is the same as observables read it.
    """

    times: Float[np.ndarray, " t"]
    coordinates: Float[np.ndarray, "t n r"]
    basis: Float[np.ndarray, "r d"] | None
    lengths: Float[np.ndarray, "t n"]
    merges: Merges
    error_bound: float
    steps: int
    evaluations: int
    engines: tuple[str, ...]
    probe_coordinates: Float[np.ndarray, "t m r"] | None = None

    @cached_property
    def tokens(self) -> Float[np.ndarray, "t n d"]:
        return self.coordinates if self.basis is None else product(self.coordinates, self.basis)

    @cached_property
    def probes(self) -> Float[np.ndarray, "t m d"] | None:
        """The probes at the same times, None where there were none."""
        y = self.probe_coordinates
        return y if y is None or self.basis is None else product(y, self.basis)

    @cached_property
    def trajectory(self) -> Trajectory:
        return as_trajectory(self.times, self.tokens)


def coordinates_of(field: Field, start: State) -> tuple[State, Float[np.ndarray, "r d"] | None]:
    """(c, B), theta = c B: the start in its span if n < d and the field keeps tokens there; else itself, and None."""
    n, d = start.directions.shape
    if not field.in_span or n >= d:
        return start, None
    c, B = coordinates_in_span(start.directions)
    return State(c, start.lengths), B


def as_trajectory(times: Float[np.ndarray, " t"], tokens: Float[np.ndarray, "t n d"]) -> Trajectory:
    """Times and tokens as tensors, for observables: one sequence, none of it padding."""
    import torch

    followed = torch.from_numpy(tokens)[:, None]
    return Trajectory(torch.from_numpy(times), followed, torch.ones(followed.shape[1:3], dtype=torch.bool))


@dataclass
class CheckpointPolicy:
    """When a simulation writes a checkpoint: after `seconds` since the last one, and at ctrl-C.

    With `resume` the simulation continues from the checkpoint at `path`. `label` identifies the simulation: a
    checkpoint with another label is refused, after `current` has been applied to the label that is read, which an
    earlier version may have written otherwise. `begin` is called before each checkpoint is written.
    """

    path: Path | str
    label: str
    seconds: float = 60.0
    resume: bool = False
    begin: Callable[[], object] = lambda: None
    current: Callable[[object], object] = lambda label: label


def simulate(
    field: Field | Callable[..., Any],
    start: State | Shaped[Any, "n d"] | Sequence[Any],
    until: float | str,
    *,
    weights: Shaped[Any, " n"] | Sequence[Any] | None = None,
    method: Method = Adaptive(),
    saves: Iterable[float] = (),
    checkpoints: CheckpointPolicy | None = None,
    progress: Progress | None = None,
    probes: Shaped[Any, "m d"] | Sequence[Any] | None = None,
) -> SimulationResult:
    """theta_i' = F_i(theta) from `start` until a time, or until `CONSENSUS`, "consensus"  [glpr2023].

    Integrates tokens [n d] under a field, or a function (x, weights, t) -> drift, as a `FunctionField`; consensus
    is one token left, or all within 1e-8 of the first. Weights are equal if not given. Tokens and weights are
    arrays, lists or tensors, as in `flows.field`. Kept are the start, the times in `saves` (increasing, in [0,
    until]; or an iterator of such, endless if need be) and the end, always all n tokens: a merged one is where its
    cluster is. On the layer clock and with noise a wanted time is that of the next step. Fewer tokens than
    dimensions are integrated in their span, where the field keeps them there. Without layer norm tokens [n d] are any
    points, d >= 1. `progress` is called after each
    step, or a few where steps are compiled, with the time and `until`, or, to consensus, with the numbers of
    merges so far and at the end. `probes` [m d] move as tokens of weight 0, and count in no merge, cluster or
    energy.

    InputError for tokens that are not unit vectors, weights that do not sum to one, times outside [0, until], what is
    of another type, and where noise forbids a consensus; ConvergenceError where the step underflows, the consensus
    does not come, or the steps to a time are more than a million (10^7 of a fixed size), of which a checkpoint is
    written first; within `spinodal.limits.unlimited()` there may be more.

    >>> import numpy as np
    >>> from spinodal import flows
    >>> run = flows.simulate(flows.AttentionField(beta=1.0), np.eye(3), 2.0, saves=[1.0])
    >>> run.times.tolist()
    [0.0, 1.0, 2.0]
    >>> cosines = run.tokens @ run.tokens.transpose(0, 2, 1)
    >>> cosines[:, 0, 1].round(5).tolist()
    [0.0, 0.52368, 0.89477]
    """
    if callable(field) and not isinstance(field, Field):
        field = FunctionField(field)
    require_type("field", field, Field)
    until = end_time(until)
    require_type("method", method, (Adaptive, Layers, Noisy))
    require_type("checkpoints", checkpoints, (CheckpointPolicy, type(None)))
    euclidean = is_euclidean(field)
    if until == CONSENSUS and (field.noise > 0 or euclidean):
        norm = "without layer norm tokens need not meet"
        why = "noise keeps tokens apart for ever" if field.noise > 0 else norm
        raise InputError(f"`until` consensus: {why}; give a time", field="until")
    composed = field if isinstance(field, AttentionField) else None
    if composed and composed.source is not None:
        composed.source.require_until(until)
    start = initial_state(start, euclidean)
    n = len(start.directions)
    weights = np.full(n, 1 / n) if weights is None else weight_array(weights)
    (check_points if euclidean else check)(start.directions, weights)
    if composed:
        require_end(composed, start.directions, until, method.step if isinstance(method, Layers) else None)
    saves = saved_times(saves, until)
    if probes is not None:
        if field.noise > 0:
            raise InputError(
                "`probes` with noise: their draws would change those of the tokens", field="probes"
            )
        if composed and composed.positions is not None:
            raise InputError("`probes` with `positions`: a probe has none", field=("probes", "positions"))
        convert = points_array if euclidean else token_array
        x, weights = with_probes(start.directions, weights, convert(probes, "probes"), euclidean)
        start = State(x, np.append(start.lengths, np.ones(len(x) - n)))
    saved = None
    if checkpoints and checkpoints.resume:
        saved = read_checkpoint(checkpoints.path, checkpoints.label, current=checkpoints.current)
    state, basis = coordinates_of(field, start)
    if (
        saved and saved["frame_tokens"].shape[1:] == start.directions.shape
    ):  # as an earlier version integrated them
        state, basis = start, None
    flow, frames = method.begin(field, state, weights), SavedFrames(saves)
    flow.set_tokens(n)
    if saved:
        first = saved["frame_tokens"][0]
        here = flow.at(0.0).directions
        if first.shape != here.shape or not np.allclose(first, here, rtol=0, atol=SAME):
            raise InputError(
                "the checkpoint began from other tokens: `overwrite` starts it again", field="overwrite"
            )
        flow.restore(saved)
        frames.restore(saved)
    else:
        frames.keep(0.0, flow.at(0.0))
    frames.advance_past(max(flow.hi, frames.times[-1]))
    try:
        advance_to_end(flow, frames, until, checkpoints, progress)
    finally:
        warn_of_lost_digits(flow)
    merges = flow.active.tree.merges(flow.hi) if flow.active else NONE
    x = np.stack(frames.tokens)
    return SimulationResult(
        np.array(frames.times), x[:, :n], basis, np.stack(frames.lengths)[:, :n], merges,
        flow.bound, flow.steps, flow.evaluations, tuple(flow.engines), None if probes is None else x[:, n:],
    )  # fmt: skip


def initial_state(start: Any, euclidean: bool = False) -> State:
    """A state, or tokens of length 1, in double precision; InputError unless there is a positive length a token."""
    convert = points_array if euclidean else token_array
    x = convert(start.directions if isinstance(start, State) else start, "start")
    r = real_array(start.lengths, "start") if isinstance(start, State) else np.ones(len(x))
    if r.shape != (len(x),) or not ((r > 0) & (r < np.inf)).all():
        raise InputError(
            f"`start`: {len(x)} tokens with lengths {r}: one positive length a token is needed", field="start"
        )
    return State(x, r)


def end_time(until: object) -> float:
    """A time >= 0, or CONSENSUS for "consensus"; InputError for anything else."""
    if isinstance(until, str) and until == "consensus":
        return CONSENSUS
    require_type("until", until, Real)
    time = float(until)  # pyright: ignore[reportArgumentType]
    if not time >= 0:
        raise InputError(f"`until` {until}: a time >= 0, or consensus", field="until")
    return time


def saved_times(saves: Any, until: float) -> Iterable[float]:
    """The times to keep: an array or a sequence, checked as a whole, or an iterator, which is checked as it goes."""
    if isinstance(saves, Iterator):
        return saves
    if isinstance(saves, Integral) and not isinstance(saves, bool):
        raise InputError(
            f"`saves`: increasing times are needed, not how many: numpy.linspace(0, until, {saves}) has so many; "
            "`times` of a Simulation may be a number",
            field="saves",
        )
    times = real_array(saves, "saves")
    require_times(times, "saves", until)
    return times.tolist()


def require_times(times: Float[np.ndarray, "..."], field: str, until: float) -> None:
    """InputError unless the times [t] increase, from 0 or later to `until` at the latest."""
    fair = times.ndim == 1 and np.isfinite(times).all() and (times >= 0).all() and (np.diff(times) > 0).all()
    if not fair:
        raise InputError(
            f"`{field}`: increasing times >= 0 are needed, and {times} must increase", field=field
        )
    if len(times) and times[-1] > until * (1 + ROUNDING):
        raise InputError(
            f"`{field}` hold {times[-1]:g}, after the end: `until` is {until:g}", field=(field, "until")
        )


def warn_of_lost_digits(flow: Integrator) -> None:
    """Warns where bounds on the errors of drifts let tokens move by more than `ASTRAY` in all."""
    if flow.doubtful_rest > ASTRAY:
        warnings.warn(
            f"tokens rest as far as engine {', '.join(flow.engines)} can tell: their drift is not told from 0, with "
            f"too many tokens to compute it again, and may have moved them by {min(flow.doubtful_rest, math.pi):.1g}; "
            "engine 'direct' keeps all digits, and takes longer",
            stacklevel=3,
        )
    if flow.bound > LOST and flow.unknown > ASTRAY:
        many = (
            "with too many tokens to compute them again. Times of merging and what follows them are uncertain; engine "
            "'direct' keeps all digits, and takes longer"
        )
        long = "for scores of long tokens are rounded: what follows is uncertain; give an earlier `until`"
        warnings.warn(
            f"digits were lost: the drift was known to {flow.bound:.1g} of the largest one at its worst, by engine "
            f"{', '.join(flow.engines)}, {long if flow.euclidean else many}",
            stacklevel=3,
        )


def advance_to_end(
    flow: Integrator,
    frames: SavedFrames,
    until: float,
    checkpoints: CheckpointPolicy | None,
    progress: Progress | None,
) -> None:
    """Takes steps until the end, keeps the wanted frames, and writes checkpoints."""
    written, n, watched = time.monotonic(), flow.tokens, bool(checkpoints or progress)

    def write() -> None:
        if checkpoints:
            checkpoints.begin()
            write_checkpoint(checkpoints.path, checkpoints.label, flow.snapshot() | frames.snapshot())

    with watch_signal(signal.SIGINT) if checkpoints else contextlib.nullcontext(lambda: False) as interrupted:
        while flow.hi < (limit := stop_time(flow, until)):
            most = MOST if isinstance(flow, AdaptiveIntegrator) else STEPS
            if until < CONSENSUS and exceeds(most, flow.steps + 1):
                write()
                raise ConvergenceError(
                    f"stopped at t = {flow.hi:.6g} of {until:g}, after {flow.steps:,} steps, as many as the limit "
                    "allows: give an earlier `until`, or go on with `unlimited`",
                    field=("until", "unlimited"),
                )
            flow.advance(limit, frames.next, steps_at_most(flow, until, watched))
            if flow.euclidean:
                rescaled = isinstance(flow.field, AttentionField) and isinstance(flow.field.scheme, Rescaled)
                require_near(flow.state.directions, flow.hi, rescaled)
            while frames.next <= flow.hi:
                now = frames.next if isinstance(flow, AdaptiveIntegrator) else flow.hi
                frames.keep(now, flow.at(now))
                frames.advance_past(now)
            flow.settle()
            if progress:
                progress(*((flow.hi, until) if until < CONSENSUS else (n - flow.clusters, n - 1)))
            if checkpoints and (interrupted() or time.monotonic() - written >= checkpoints.seconds):
                write()
                written = time.monotonic()
            if interrupted():
                raise KeyboardInterrupt
    frames.keep(flow.hi, flow.at(flow.hi))


def steps_at_most(flow: Integrator, until: float, watched: bool) -> int:
    """The number of steps to take before the limit, a consensus and progress are checked again.

    1 to a consensus of tokens that do not merge; a share of all steps so far where progress or a checkpoint
    is `watched`.
    """
    if until == CONSENSUS and not flow.active:
        return 1
    left = MOST - flow.steps if flow.steps < MOST else MOST
    return min(left, 1 + flow.steps // OFTEN) if watched else left


def stop_time(flow: Integrator, until: float) -> float:
    """The time at which to stop: `until`, or for a consensus inf until its time is known."""
    if until < CONSENSUS:
        return until
    if flow.active:
        if flow.clusters == 1:
            return max(flow.hi, float(flow.active.tree.merges(math.inf).time.max(initial=0.0)))
    else:
        x = flow.state.directions[: flow.tokens]
        if np.max(np.sum((x - x[0]) ** 2, 1)) <= MERGE**2:
            return flow.hi
    if flow.hi > END or flow.steps > MOST:
        raise ConvergenceError(
            f"no consensus: {flow.clusters} clusters are left at t = {flow.hi:.3g} after {flow.steps} steps. They "
            "rest, or their next merge lies beyond doubles; give a time to stop at"
        )
    return until
