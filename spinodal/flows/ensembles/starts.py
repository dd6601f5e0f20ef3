r"""One simulation from many starts: means with error bars, and how long clusters last.

    mean_s f(x_s(t)),   standard error = deviation over starts / sqrt(s),   quantiles over starts

for any observable f at the kept times. Start s has the seeds of the simulation plus s: those of its start, its noise
and its redrawn weights, where there are such. Each is a whole simulation: engines, merging and tolerance are those of
`evolve`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from spinodal.errors import InputError, require_type
from spinodal.flows.experiment import Simulation, require_own_steps
from spinodal.flows.fields import Resampled
from spinodal.flows.starts import CubeStart, NormalStart, PerturbedStart, UniformStart
from spinodal.flows.time import CONSENSUS, Layers, Noisy, SimulationResult, simulate
from spinodal.limits import ROWS, require_at_most
from spinodal.observables import Scales, measure, observables_named
from spinodal.results import Result
from spinodal.runs import UNSAVED
from spinodal.types import Progress

T = TypeVar("T")
SEEDED = UniformStart | PerturbedStart | NormalStart | CubeStart


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class EnsembleResult(Result):
    """Observables of one simulation over many starts: `values` [s t] by name, at the same `times` [t] for all."""

    times: Float[np.ndarray, " t"]
    values: dict[str, Float[np.ndarray, "s t"]]
    experiment: Simulation | None = dataclasses.field(default=None, repr=False, metadata=UNSAVED)

    def mean(self, name: str) -> Float[np.ndarray, " t"]:
        """The mean over starts at each time."""
        return self.values_of(name).mean(0)

    def standard_error(self, name: str) -> Float[np.ndarray, " t"]:
        """The standard error of that mean: deviation over starts / sqrt(s)."""
        values = self.values_of(name)
        return values.std(0, ddof=1) / np.sqrt(len(values))

    def quantiles(self, name: str, q: Float[np.ndarray, " q"] | Sequence[float]) -> Float[np.ndarray, "q t"]:
        """The quantiles over starts at each time, q in [0, 1]."""
        levels = np.asarray(q, dtype=float)
        if levels.ndim != 1 or not ((levels >= 0) & (levels <= 1)).all():
            raise InputError(f"`q` {q}: quantiles between 0 and 1 are needed", field="q")
        return np.quantile(self.values_of(name), levels, axis=0)

    def values_of(self, name: str) -> Float[np.ndarray, "s t"]:
        """The values of every start; InputError for what was not measured."""
        if name not in self.values:
            raise InputError(f"`name` {name!r}: measured were {', '.join(self.values)}", field="name")
        return self.values[name]


def ensemble(
    simulation: Simulation,
    observables: Sequence[str],
    *,
    starts: int = 100,
    scales: Scales | None = None,
    progress: Progress | None = None,
) -> EnsembleResult:
    """f(x_s(t)) of each observable f from starts s = 0, 1, ..., with error bars [derived].

    Simulates from `starts` starts and measures the named observables at the kept times; `result.mean(name)`,
    `standard_error(name)` and `quantiles(name, q)` are arrays over time. `scales` are beta of the field and the usual
    epsilon if not given. `progress` is called with how many starts are done, and of how many. InputError for a
    consensus, whose times differ, for weights, and for a simulation that no seed changes.

    >>> from spinodal import flows
    >>> simulation = flows.Simulation(flows.AttentionField(1.0), flows.UniformStart(16, 3), until=2.0, times=3)
    >>> found = flows.ensemble(simulation, ["polarisation"], starts=20)
    >>> found.mean("polarisation").round(2).tolist(), found.standard_error("polarisation").round(2).tolist()
    ([0.22, 0.37, 0.57], [0.02, 0.03, 0.04])
    """
    require_type("simulation", simulation, Simulation)
    if simulation.until == CONSENSUS:
        raise InputError("`until` consensus: starts reach it at different times; give a time", field="until")
    if simulation.weights is not None:
        raise InputError("`weights`: observables count all tokens alike; leave them out", field="weights")
    named = observables_named(observables)
    require_own_steps(simulation)
    scales = (
        Scales(float(simulation.field.beta), attention=simulation.attention_weights)
        if scales is None
        else scales
    )

    def numbers(run: SimulationResult) -> tuple[np.ndarray, list[np.ndarray]]:
        found = measure(run, named, scales)
        return run.times, [found[name][:, 0].double().numpy() for name in named]

    rows = list(over_starts(simulation, starts, numbers, progress))
    values = {name: np.stack([row[1][i] for row in rows]) for i, name in enumerate(named)}
    return EnsembleResult(rows[0][0], values, simulation)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LifetimesResult(Result):
    """Lifetimes of states over `starts` starts: in row m there are `clusters` clusters from `begin` to `end`.

    `start` is the number of its start, from 0. `unfinished` where the simulation ended before the clusters merged: then
    the lifetime is longer than end - begin.
    """

    starts: int
    start: Int[np.ndarray, " m"]
    clusters: Int[np.ndarray, " m"]
    begin: Float[np.ndarray, " m"]
    end: Float[np.ndarray, " m"]
    unfinished: Bool[np.ndarray, " m"]
    experiment: Simulation | None = dataclasses.field(default=None, repr=False, metadata=UNSAVED)

    @property
    def lifetimes(self) -> Float[np.ndarray, " m"]:
        """end - begin."""
        return self.end - self.begin

    def survival(self, clusters: int) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """(t, S): the share S of states of `clusters` clusters that last longer than t, by Kaplan and Meier.

        States that the simulation cut off count for as long as they were seen. InputError where there was none.
        """
        from scipy.stats import CensoredData, ecdf

        rows = self.clusters == clusters
        if not rows.any():
            raise InputError(f"`clusters` {clusters}: no start had so many", field="clusters")
        found = ecdf(CensoredData.right_censored(self.lifetimes[rows], self.unfinished[rows])).sf
        return found.quantiles, found.probabilities


def lifetimes(
    simulation: Simulation, *, starts: int = 100, progress: Progress | None = None
) -> LifetimesResult:
    """t_{k-1} - t_k, the times that k clusters last before two of them merge, over many starts  [gkpr2024].

    t_k is the time of the merge that leaves k clusters, exact as `merge_time` is: two clusters are one when their chord
    is 1e-8. From the first merge on; the consensus, which lasts for ever, is none of the rows. InputError for a field
    whose tokens do not merge: there `observables.plateaus` of a cluster count has them.

    >>> from spinodal import flows
    >>> simulation = flows.Simulation(flows.AttentionField(4.0), flows.UniformStart(8, 2), flows.CONSENSUS)
    >>> found = flows.lifetimes(simulation, starts=10)
    >>> pairs = found.lifetimes[found.clusters == 2]
    >>> len(pairs), bool(found.unfinished.any())
    (10, False)
    """
    require_type("simulation", simulation, Simulation)
    if not simulation.field.merges:
        raise InputError(
            "`field`: its tokens do not merge; take `observables.plateaus` of a cluster count", field="field"
        )

    def rows(run: SimulationResult) -> list[tuple[int, float, float, bool]]:
        times, left = run.merges.time.tolist(), run.merges.clusters.tolist()
        ends = [*times[1:], float(run.times[-1])]
        states = zip(left, times, ends, strict=True)
        last = len(times) - 1
        return [(k, a, b, i == last) for i, (k, a, b) in enumerate(states) if k > 1 and b > a]

    found = [
        (s, *row) for s, each in enumerate(over_starts(simulation, starts, rows, progress)) for row in each
    ]
    start, clusters, begin, end, unfinished = zip(*found, strict=True) if found else ((), (), (), (), ())
    return LifetimesResult(
        starts, np.array(start, np.int64), np.array(clusters, np.int64), np.array(begin, float),
        np.array(end, float), np.array(unfinished, bool), simulation,
    )  # fmt: skip


def over_starts(
    simulation: Simulation, starts: int, read: Callable[[SimulationResult], T], progress: Progress | None
) -> Iterator[T]:
    """Yields read(result) of the simulation from each start, in the order of their seeds."""
    require_type("starts", starts, Integral)
    if starts < 2:
        raise InputError(f"`starts` {starts}: at least two, for an error", field="starts")
    require_at_most(ROWS, starts, "starts", "starts")
    for s in range(starts):
        each = reseeded(simulation, s)
        x, weights = each.initial
        yield read(
            simulate(
                each.field, x, each.until, weights=weights, method=each.method, saves=each.saves(),
                probes=each.followed,
            )
        )  # fmt: skip
        if progress:
            progress(s + 1, starts)


def reseeded(simulation: Simulation, s: int) -> Simulation:
    """The simulation with s added to the seeds of start, noise and redrawn weights; InputError where none has one."""
    start, method, field = simulation.start, simulation.method, simulation.field
    seeded = isinstance(start, SEEDED)
    noisy = simulation.field.noise > 0 and isinstance(method, Layers | Noisy)
    if not (seeded or noisy or isinstance(field.depth, Resampled)):
        raise InputError(
            f"`start` {type(start).__name__} has no seed, so that all starts would be the same: take UniformStart, "
            "PerturbedStart, or a field with noise or redrawn weights",
            field="start",
        )
    if isinstance(start, SEEDED):
        start = dataclasses.replace(start, seed=start.seed + s)
    if isinstance(method, Layers | Noisy):
        method = dataclasses.replace(method, seed=method.seed + s)
    if isinstance(field.depth, Resampled):
        field = dataclasses.replace(field, depth=field.depth.reseeded(s))
    return dataclasses.replace(simulation, field=field, start=start, method=method)
