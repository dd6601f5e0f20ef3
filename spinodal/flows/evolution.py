"""`evolve`, which integrates a `Simulation`, and its result `Evolution`: times, tokens, merges, energy."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from spinodal.errors import InputError, require_type
from spinodal.flows.earlier import current_label
from spinodal.flows.experiment import Simulation, require_own_steps
from spinodal.flows.fields.energy import energy_of
from spinodal.flows.probes import lyapunov_exponents
from spinodal.flows.state import State
from spinodal.flows.time import MERGE, CheckpointPolicy, SimulationResult, simulate
from spinodal.flows.time.simulate import as_trajectory
from spinodal.loops import product
from spinodal.results import PlayedResult
from spinodal.runs import SAVED_IF_SET, UNSAVED, encode
from spinodal.types import Progress, Trajectory

LISTED = 10_000  # merges in run.json; of more, the last ones, and all in trajectory.npz
PAIRS = 4096  # tokens up to which the smallest cosine is looked for


@dataclass(frozen=True)
class Merge:
    """The merge of two clusters: its time, the number of clusters left, and the first token of each."""

    time: float
    clusters: int
    tokens: tuple[int, int]


@dataclass(frozen=True)
class EnergyCurve:
    """log E and log |dE/dt| over time, None where they are not finite; `sign` is +1 where the flow climbs E."""

    time: tuple[float, ...]
    log_energy: tuple[float | None, ...]
    log_dissipation: tuple[float | None, ...]
    sign: int


@dataclass(frozen=True)
class Final:
    """The state at the end: clusters, mean and smallest cosine (None above 4,096 tokens), and the longest token."""

    time: float
    clusters: int
    steps: int
    evaluations: int
    mean_cosine: float
    smallest_cosine: float | None
    longest: float
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class Evolution(PlayedResult):
    """The result of a simulation: tokens at the kept times, merges and energy, as numbers and NumPy arrays.

    `engine` names the engines that ran, in the order of their first use; `span` is the dimension in which the tokens
    were integrated where that is less than d; `error_bound` bounds the relative error of a drift. `tokens` are unit
    vectors, as are `probes`, tokens without weight; without layer norm both are points of R^d, z where rescaled.
    `merge_time` [k] and the arrays after it describe all merges, as `Merges` does; `merges` holds the last 10,000 of
    them, `merges_left_out` counts the others.
    """

    engine: str
    span: int | None
    error_bound: float
    merges: tuple[Merge, ...]
    merges_left_out: int
    energy: EnergyCurve | None
    energy_missing: str | None
    final: Final
    times: Float[np.ndarray, " t"]
    tokens: Float[np.ndarray, "t n d"]
    lengths: Float[np.ndarray, "t n"]
    weights: Float[np.ndarray, " n"]
    merge_time: Float[np.ndarray, " k"]
    merge_clusters: Int[np.ndarray, " k"]
    merge_first: Int[np.ndarray, " k"]
    merge_second: Int[np.ndarray, " k"]
    probes: Float[np.ndarray, "t m d"] | None = field(default=None, metadata=SAVED_IF_SET)
    experiment: Simulation | None = field(default=None, repr=False, metadata=UNSAVED)

    def __str__(self) -> str:
        """One line that describes the final state."""
        end = self.final
        return (
            f"t = {end.time:.8g}: {end.clusters} clusters, {end.steps} steps, relative error of a drift "
            f"<= {self.error_bound:.1e}"
        )

    @property
    def lyapunov_exponents(self) -> Float[np.ndarray, "s k"]:
        """log(|y - y'|(t) / |y - y'|(0)) / t of the pairs of probes; see `flows.lyapunov_exponents`."""
        if self.probes is None:
            raise InputError("there are no `probes`: give pairs, as of `flows.probe_pairs`", field="probes")
        return lyapunov_exponents(self.times, self.probes)

    @property
    def trajectory(self) -> Trajectory:
        return as_trajectory(self.times, self.tokens)


def evolve(
    simulation: Simulation,
    *,
    checkpoint: Path | str | None = None,
    resume: bool = False,
    begin: Callable[[], object] = lambda: None,
    progress: Progress | None = None,
) -> Evolution:
    """theta_i' = F_i(theta) from the start of a simulation to its end  [glpr2023].

    Integrates the tokens and measures the result: merges, energy, mean cosine. With `checkpoint` a file is written
    there once a minute and at ctrl-C, after a call of `begin`; with `resume` the simulation continues from
    it, with bitwise equal results. `progress` is called with the time and `until`, or, to consensus, with the
    numbers of merges so far and at the end. InputError for the checkpoint of another simulation;
    ConvergenceError where the step underflows or the consensus is not reached.

    >>> from spinodal import flows
    >>> start = flows.UniformStart(8, 2, seed=0)
    >>> result = flows.evolve(flows.Simulation(flows.AttentionField(beta=1.0), start, flows.CONSENSUS))
    >>> result.final.clusters, len(result.merges)
    (1, 7)
    >>> round(result.final.mean_cosine, 6)
    1.0
    """
    require_type("simulation", simulation, Simulation)
    require_own_steps(simulation)
    began = time.perf_counter()
    x, weights = simulation.initial
    checkpoints = None
    if checkpoint is not None:
        checkpoints = CheckpointPolicy(
            checkpoint,
            json.dumps(encode(simulation)[0]),
            resume=resume,
            begin=begin,
            current=current_label,
        )
    run = simulate(
        simulation.field, x, simulation.until, weights=weights, method=simulation.method,
        saves=simulation.saves(), checkpoints=checkpoints, progress=progress, probes=simulation.followed,
    )  # fmt: skip
    left_out = max(0, len(run.merges.time) - LISTED)
    energy, reason = energies(simulation, run)
    return Evolution(
        engine=", ".join(run.engines),
        span=None if run.basis is None else len(run.basis),
        error_bound=float(run.error_bound),
        merges=tuple(
            Merge(float(when), int(count), (int(a), int(b)))
            for when, count, a, b in zip(*(part[left_out:] for part in run.merges), strict=True)
        ),
        merges_left_out=left_out,
        energy=energy,
        energy_missing=reason,
        final=final(simulation, run, time.perf_counter() - began),
        times=run.times,
        tokens=run.tokens,
        lengths=run.lengths,
        weights=weights,
        probes=run.probes,
        experiment=simulation,
        **{f"merge_{name}": part for name, part in run.merges._asdict().items()},
    )


def final(simulation: Simulation, run: SimulationResult, seconds: float) -> Final:
    """The numbers that describe the last state of a run, from coordinates in the span of the tokens."""
    from spinodal.observables import cluster_count
    from spinodal.observables.clusters import components

    last, n, euclidean = run.coordinates[-1], simulation.n, simulation.field.euclidean
    if simulation.field.merges:
        clusters = simulation.n - len(run.merges.time)
    elif euclidean:
        clusters = 1 + int(components(last, MERGE).max())
    else:  # tokens that may not merge are one cluster where they are nearer than merging ones would be
        clusters = int(cluster_count(as_trajectory(run.times[-1:], run.coordinates[-1:]), MERGE**2 / 2))
    longest = float(run.lengths[-1].max())
    if euclidean:
        lengths = np.linalg.norm(last, axis=1, keepdims=True)
        longest, last = float(lengths.max()), last / np.maximum(lengths, np.finfo(float).tiny)
    return Final(
        time=float(run.times[-1]),
        clusters=clusters,
        steps=run.steps,
        evaluations=run.evaluations,
        mean_cosine=float((np.sum(np.sum(last, 0) ** 2) - n) / (n * (n - 1))),
        smallest_cosine=float(product(last, last.T).min()) if n <= PAIRS else None,
        longest=longest,
        seconds=seconds,
    )


def energies(simulation: Simulation, run: SimulationResult) -> tuple[EnergyCurve | None, str | None]:
    """(log E and log |dE/dt| at each time, None), or (None, the reason) where the field has no energy."""
    try:
        energy = energy_of(simulation.field)
    except InputError as error:
        return None, str(error)
    weights, times = simulation.initial.weights, run.times.tolist()
    states = [State(x, r) for x, r in zip(run.coordinates, run.lengths, strict=True)]
    E = [energy.log(state.directions, weights) for state in states]
    D = [energy.log_dissipation(t, state, weights) for t, state in zip(times, states, strict=True)]
    return EnergyCurve(tuple(times), finite(E), finite(D), energy.sign), None


def finite(values: list[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values)
