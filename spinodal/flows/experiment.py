"""A simulation of tokens as a value: all that its result depends on.

simulation = Simulation(AttentionField(beta=25.0), UniformStart(200, 2), until=CONSENSUS)
result = evolve(simulation)
print(result.final); result.merge_time; figures.draw(result)["cosines"].savefig("cosines.png")
"""

import dataclasses
import itertools
import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Float

from spinodal.arrays import real_array, weight_array
from spinodal.errors import InputError
from spinodal.flows.engines.field import check, check_points, with_probes
from spinodal.flows.fields import AttentionField
from spinodal.flows.fields.euclidean import require_end, with_scores
from spinodal.flows.points import PointStart
from spinodal.flows.probes import probe_array
from spinodal.flows.starts import AnyStart, TokenStart, UniformStart, in_space
from spinodal.flows.state import State
from spinodal.flows.time import CONSENSUS, Adaptive, Layers, Noisy
from spinodal.flows.time.simulate import coordinates_of, require_times
from spinodal.limits import ROWS, STEPS, require_at_most
from spinodal.runs import SAVED_IF_SET

MEMORY = 2**28  # bytes of frames
DECADES = 30  # of time that a consensus may take, for which there must be memory
PER_DECADE = 8


class WeightedTokens(NamedTuple):
    """Unit vectors and their weights, which sum to one."""

    tokens: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """theta_i' = F_i(theta) from a start until a time, as a value  [glpr2023].

    All that the result of a simulation depends on: the field F, the start, and the method that integrates. Lists stand
    for arrays, tokens [n d] for a TokenStart. InputError for what does not fit, at construction.

        until    a time, or "consensus", CONSENSUS: however long it takes
        method   Adaptive(tolerance) for the ode clock; Layers(step); Noisy(step) for fields with noise
                 with a fixed step the end is that of the first step at or after `until`, as a time to keep is of one
        weights  [n], >= 0, summing to one; equal if not given
        times    the times that are kept: a number of evenly spaced ones, start and end among them, as many as
                 fit in 256 MiB; increasing times [t] from 0 to `until`, to which start and end are added; or
                 "log", 8 a decade, which a number means too when `until` is a consensus
        start    unit vectors; any points of R^d without layer norm
        probes   unit vectors [m d], or such points, that move as tokens without weight, or the number m of uniform ones

    >>> from spinodal import flows
    >>> field, start = flows.AttentionField(beta=4.0), flows.UniformStart(16, 3, seed=1)
    >>> simulation = flows.Simulation(field, start, until=5.0)
    >>> simulation.n, simulation.d
    (16, 3)
    """

    field: AttentionField
    start: AnyStart = dataclasses.field(default_factory=UniformStart)
    until: float = 20.0
    method: Adaptive | Layers | Noisy = dataclasses.field(default_factory=Adaptive)
    weights: Float[np.ndarray, "..."] | None = None
    times: int | str | Float[np.ndarray, "..."] = 101
    probes: int | Float[np.ndarray, "..."] | None = dataclasses.field(default=None, metadata=SAVED_IF_SET)

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.until <= CONSENSUS:
            raise InputError(f"`until` {self.until:g}: a positive time, or consensus", field="until")
        if self.until == CONSENSUS:
            check_consensus(self.field)
        if self.field.source is not None:
            self.field.source.require_until(self.until)
        self.method.check(self.field)
        check_work(self)
        x, weights = self.initial
        if self.probes is not None:
            probes = probe_array(self.probes, x.shape[1], euclidean=self.field.euclidean)
            object.__setattr__(self, "probes", probes)
        check_times(self.times, self.most)
        if isinstance(self.times, np.ndarray):
            require_times(self.times, "times", self.until)
        if self.followed is not None:
            check_probes(self.field)
            x, weights = with_probes(x, weights, self.followed, self.field.euclidean)
        require_end(self.field, x, self.until, self.step)
        self.field(0.0, coordinates_of(self.field, State(x, np.ones(len(x))))[0], weights)

    @property
    def n(self) -> int:
        return len(self.initial.tokens)

    @property
    def d(self) -> int:
        return self.initial.tokens.shape[1]

    @property
    def step(self) -> float | None:
        """The step of layers, None on another clock."""
        return self.method.step if isinstance(self.method, Layers) else None

    @property
    def followed(self) -> Float[np.ndarray, "m d"] | None:
        """The probes as an array [m d], None where there are none."""
        return self.probes if isinstance(self.probes, np.ndarray) else None

    @property
    def most(self) -> int:
        """How many frames of tokens and probes fit in memory."""
        return MEMORY // (8 * (self.n + (0 if self.followed is None else len(self.followed))) * self.d)

    @cached_property
    def initial(self) -> WeightedTokens:
        """Tokens and weights at the start, checked."""
        x = self.start.tokens()
        n, d = x.shape
        weights = np.full(n, 1 / n) if self.weights is None else self.weights
        if weights.shape != (n,):
            raise InputError(f"`weights` have shape {weights.shape}: {n} tokens need ({n},)", field="weights")
        if self.field.euclidean:
            check_points(x, weights)
        elif in_space(self.start):
            raise InputError(
                f"`start` {type(self.start).__name__}: points of R^d, and with a layer norm tokens are unit vectors: "
                "take UniformStart, or `normalisation` none",
                field=("start", "normalisation"),
            )
        else:
            check(x, weights)
        source = self.field.source
        if source is not None and source.d != d:
            raise InputError(
                f"`source` has d = {source.d}, the tokens of `start` d = {d}", field=("source", "start")
            )
        if self.field.d not in (None, d):
            raise InputError(
                f"`start`: tokens have d = {d}, the matrices of the field have d = {self.field.d}",
                field="start",
            )
        return WeightedTokens(x, weights)

    def attention_weights(self, time: float, tokens: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "h n n"]:
        """p_ij of its tokens at a time, z where they are rescaled: see `AttentionField.attention_weights`."""
        x = with_scores(self.field, np.asarray(tokens, float), time, self.step)
        return self.field.at(time).attention_weights(x, self.initial.weights)

    def saves(self) -> Iterable[float]:
        """The times to keep after the start; without end for "log", and for a number until a consensus."""
        if isinstance(self.times, np.ndarray):
            return self.times.tolist()
        if self.until < CONSENSUS and isinstance(self.times, int):
            return np.linspace(0, self.until, max(2, min(self.times, self.most)))[1:].tolist()
        rate = min(PER_DECADE, self.most // DECADES)
        if rate < 1:
            return ()
        first = 0.01 * (math.exp(-self.field.beta) if self.field.kind == "usa" else 1.0)
        return (first * 10 ** (k / rate) for k in itertools.count())


def named_method(
    clock: str = "ode",
    *,
    step: float | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    noisy: bool = False,
) -> Adaptive | Layers | Noisy:
    """The method of a clock: Layers for "layer"; for "ode" Adaptive, or Noisy where the field is `noisy`.

    InputError for an unknown clock, and for a `step` of Adaptive, whose steps follow from the tolerance.
    """
    if clock not in ("ode", "layer"):
        raise InputError(f"`clock` {clock!r} is none of ode, layer", field="clock")
    if clock == "layer" or noisy:
        method = Layers(seed=seed) if clock == "layer" else Noisy(seed=seed)
        return method if step is None else dataclasses.replace(method, step=step)
    if step is not None:
        raise InputError(
            f"`step` {step:g}: the ode clock chooses its steps by `tolerance`; steps are for layers and noise",
            field=("step", "tolerance"),
        )
    return Adaptive() if tolerance is None else Adaptive(tolerance)


def check_types(simulation: Simulation) -> None:
    """Converts the fields of a simulation in place, such as lists to arrays; InputError for other types."""

    def put(name: str, value: object) -> None:
        object.__setattr__(simulation, name, value)

    if not isinstance(simulation.field, AttentionField):
        raise InputError(
            f"`field` {simulation.field!r}: flows.simulate integrates any field, and a function; for a Simulation, "
            "which is recorded, an AttentionField is needed",
            field="field",
        )
    start, until, times = simulation.start, simulation.until, simulation.times
    if isinstance(start, np.ndarray | list | tuple) or hasattr(start, "detach"):
        kind = PointStart if simulation.field.euclidean else TokenStart
        put("start", kind(cast(np.ndarray, start)))
    elif not isinstance(start, AnyStart):
        raise InputError(
            f"`start` {start!r}: a start, such as UniformStart(n, d) or named_start(name, n, d), or tokens [n d]",
            field="start",
        )
    if isinstance(until, str) and until == "consensus":
        put("until", CONSENSUS)
    elif isinstance(until, bool) or not isinstance(until, numbers.Real):
        raise InputError(f"`until` {until!r}: a positive time, or consensus", field="until")
    if not isinstance(simulation.method, Adaptive | Layers | Noisy):
        raise InputError(
            f"`method` {simulation.method!r}: Adaptive(tolerance), Layers(step) or Noisy(step)",
            field="method",
        )
    if simulation.weights is not None:
        put("weights", weight_array(simulation.weights))
    if isinstance(times, np.integer):
        put("times", int(times))
    elif isinstance(times, bool | float):
        raise InputError(f"`times` {times!r}: a number of times, times, or log", field="times")
    elif not isinstance(times, int | str):
        put("times", real_array(times, "times"))


def check_work(simulation: Simulation) -> None:
    """InputError for more than STEPS steps of a fixed size, and for more than ROWS frames."""
    if isinstance(simulation.method, Layers | Noisy) and simulation.until < CONSENSUS:
        steps = simulation.until / simulation.method.step
        require_at_most(STEPS, steps, "steps", ("until", "step"))
    if isinstance(simulation.times, int):
        require_at_most(ROWS, simulation.times, "frames", "times")


def require_own_steps(simulation: Simulation) -> None:
    """InputError where two of the given `times` are of one step of a fixed size, so that one would be missing."""
    times, method = simulation.times, simulation.method
    if not (isinstance(times, np.ndarray) and isinstance(method, Layers | Noisy)):
        return
    steps = np.ceil(times / method.step)
    steps += np.where(steps * method.step < times, 1, 0) - np.where((steps - 1) * method.step >= times, 1, 0)
    for i in np.flatnonzero(np.diff(steps) == 0)[:1]:
        first, second = times[i : i + 2].tolist()
        raise InputError(
            f"`times` hold {first!r} and {second!r}, both of the step to t = {steps[i] * method.step:.12g}: take "
            f"times that are whole steps of `step` {method.step:g}, or a smaller step",
            field=("times", "step"),
        )


def check_probes(field: AttentionField) -> None:
    """InputError for noise, whose draws for the tokens probes would change, and for positions, which probes lack."""
    if field.noise > 0:
        raise InputError("`probes` with noise: there are none; take `kappa` = inf", field=("probes", "kappa"))
    if field.positions is not None:
        raise InputError("`probes` with `positions`: a probe has none", field=("probes", "positions"))


def check_consensus(field: AttentionField) -> None:
    """InputError for fields whose tokens never meet: with noise, without layer norm, or repelling."""
    if field.euclidean:
        raise InputError(
            "`until` consensus: without layer norm tokens need not meet; give a time", field="until"
        )
    if field.noise > 0:
        raise InputError(
            f"`until` consensus with `kappa` {field.kappa:g}: noise keeps tokens apart for ever; give a time",
            field=("until", "kappa"),
        )
    repels = [np.ndim(head.value_matrix) == 0 and float(head.value_matrix) < 0 for head in field.heads]
    if repels and all(repels):
        raise InputError(
            "`until` consensus with negative `values`: tokens that spread do not meet; give a time",
            field=("until", "values"),
        )


def check_times(times: int | str | Float[np.ndarray, "..."], most: int) -> None:
    """InputError for times that are too many for memory, or are no times."""
    if isinstance(times, int):
        if times < 2:
            raise InputError(f"`times` {times}: at least the start and the end", field="times")
    elif isinstance(times, str):
        if times != "log":
            raise InputError(f"`times` {times!r}: a number of times, times, or log", field="times")
    elif len(times) > most:
        raise InputError(
            f"`times`: {len(times)} frames take more than {MEMORY >> 20} MiB; {most} would fit",
            field="times",
        )
