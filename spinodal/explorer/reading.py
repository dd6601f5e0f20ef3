"""Recordings for the explorer, made of the results of simulations, observations and densities.

Of tokens wider than `WIDEST` the main axes over all layers are kept, those with the largest sum of squares over all
directions; cosines and clusters are measured before that.
"""

import math
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import linkage

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.explorer.recording import LEVELS, AnyRecording, DensityRecording, Moment, Recording
from spinodal.flows import Evolution, Simulation
from spinodal.meanfield import DensityResult, smooth_density
from spinodal.runs import read_run
from spinodal.watch import ObservationResult, read_observation

MOST, WIDEST = 2048, 64  # tokens; dimensions of a token
NUMBERS = 2**25  # of the tokens of all times
RANGES = {  # of the flows that the page runs
    "n": (2, 512), "d": (2, 64), "beta": (0, 100), "seed": (0, 2**32 - 1), "kappa": (0, 1e6), "until": (0, 1e300),
}  # fmt: skip
LATTICE_STEP = 1e-3  # by which the page moves a lattice
ROWS, COLUMNS = 480, 181  # of the map of a density: times, and angles with both ends
FAINTEST = 0.1  # density over the uniform one that is still told from none
ORTHONORMAL_D = 8  # the smallest dimension in which the page starts from orthonormal tokens


def read_recording(place: Path) -> AnyRecording:
    """The recording of a run of `simulate` or `meanfield`, or of an observation, from its folder or its record.

    InputError for a run of another kind, an unfinished one, one that is too large for a page, and a file of arrays.
    """
    if place.is_file() and place.suffix != ".json":
        raise InputError(
            f"{place} is no record: name the folder of the run, or its run.json; arrays alone are dropped on the page",
            field="run",
        )
    run = read_run(place)
    if run.kind == "observe":
        found = recording_of(read_observation(place))
    elif run.kind == "simulate":
        found = recording_of(run.result_as(Evolution))
    elif run.kind == "meanfield":
        found = recording_of(run.result_as(DensityResult))
    else:
        raise InputError(
            f"{place} is a run of {run.kind}: the explorer plays those of simulate, meanfield and observe"
        )
    command = run.record.get("command")
    return replace(found, command=command if isinstance(command, str) else None)


@singledispatch
def recording_of(result: Any) -> AnyRecording:
    """The recording of an `Evolution`, an `ObservationResult` or a `DensityResult`; InputError for anything else."""
    raise InputError(f"a {type(result).__name__} leaves no tokens to play: an Evolution does")


@recording_of.register
def _(result: Evolution) -> Recording:
    times, tokens = result.times, result.tokens
    merges = zip(
        result.merge_time.tolist(), result.merge_clusters.tolist(), result.merge_first.tolist(),
        result.merge_second.tolist(), strict=True,
    )  # fmt: skip
    n, d = tokens.shape[1:]
    simulation = result.experiment
    if simulation is not None and simulation.field.euclidean:
        raise InputError(
            "tokens without layer norm lie in R^d: the explorer plays those on the sphere, `plot` has paths"
        )
    return measured_recording(
        title=f"A simulation of {n} tokens in R^{d}", times=times, tokens=tokens, merges=tuple(merges),
        sentences=(str(result),), settings=None if simulation is None else settings_of(simulation),
        beta=None if simulation is None else float(simulation.field.beta),
    )  # fmt: skip


@recording_of.register
def _(result: ObservationResult) -> Recording:
    shown = result.shown
    if shown.tokens is None or shown.times is None:
        raise InputError("the trajectory of this observation is gone: there are no tokens to play")
    step = result.clock.step_at_beta
    return measured_recording(
        title=result.model, times=shown.times, tokens=shown.tokens, layers=True,
        words=shown.words, sentences=result.summary, step=step if math.isfinite(step) else 1.0,
        beta=result.beta if math.isfinite(result.beta) else None,
    )  # fmt: skip


@recording_of.register
def _(result: DensityResult) -> DensityRecording:
    record, d = result.record, result.d
    if result.geometry == "sphere":
        raise InputError(
            "a density on S^2 leaves no map over time and angle: the explorer plays those on the circle and zonal ones"
        )
    times, moments = record.times, record.moments
    steps = (
        np.diff(moments[:, 1:], axis=0) / np.arange(1, moments.shape[1]) ** 2
    )  # of one point: its way, within 30%
    moved = np.cumsum(np.append(0, np.linalg.norm(steps, axis=1)))
    rows = telling_rows(times, moved)
    rho = smooth_density(moments[rows], d, points=COLUMNS)[1]
    circle = result.geometry == "circle"
    return DensityRecording(
        title=f"A density on the {'circle' if circle else f'latitudes of the sphere of R^{d}'}",
        times=times[rows], moved=moved[rows], values=np.log10(np.maximum(rho, FAINTEST)), circle=circle,
        means=np.abs(moments[rows, 1]) ** 2, clusters=record.clusters[rows],
        sentences=life_in_sentences(result),
    )  # fmt: skip


def life_in_sentences(result: DensityResult) -> tuple[str, ...]:
    """The forecast of a density, and how long it had which number of clusters."""
    told = result.forecast
    stays = [
        f"{p.clusters} until t = {p.end:.4g}" for p in result.plateaus if p.clusters and not p.unfinished
    ]
    return (
        f"Linear theory forecasts degree {told.degree}, saturated at t = {told.time:.4g}."
        if told
        else "Linear theory forecasts no pattern.",
        f"Clusters: {', '.join([*stays, f'{result.clusters} in the end'])}, at t = {result.time:.4g}.",
    )


def telling_rows(times: Float[np.ndarray, " t"], moved: Float[np.ndarray, " t"]) -> Int[np.ndarray, " r"]:
    """At most ROWS steps of a record, the first and the last among them, at equal parts of movement and of log time."""
    if len(times) <= ROWS:
        return np.arange(len(times))
    first = times[times > 0][0]
    parts = (moved, np.log(np.maximum(times, first) / first))
    marks = [
        np.interp(np.linspace(0, 1, ROWS // 2), p / max(p[-1], 1e-300), np.arange(len(p))) for p in parts
    ]
    return np.unique(np.concatenate(marks).round().astype(int))


def measured_recording(*, times: np.ndarray, tokens: np.ndarray, **told: Any) -> Recording:
    """A recording of the tokens' directions in at most WIDEST coordinates, with the cosines of each time.

    `told` are further fields of the recording. InputError where there are too many numbers for a page.
    """
    t, n, d = tokens.shape
    if not 2 <= n <= MOST:
        raise InputError(f"there are {n} tokens: the explorer plays from 2 to {MOST:,}")
    if t * n * min(d, WIDEST) > NUMBERS:
        raise InputError(f"{t} times of {n} tokens are too many for a page: keep fewer times")
    x = tokens.astype(np.float64)
    x /= np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), sphere.SHORTEST)
    moments = tuple(map(moment_of, x))
    return Recording(times=times.astype(np.float64), tokens=in_main_axes(x), moments=moments, **told)


def moment_of(x: Float[np.ndarray, "n d"]) -> Moment:
    """The mean and the quantiles of the cosines of tokens, and their minimum spanning tree."""
    cosines = (x @ x.T)[np.triu_indices(len(x), 1)]
    rows = linkage(np.maximum(2 - 2 * cosines, 0), "single")
    first = list(range(len(x)))  # the first token of each cluster, those of single tokens before the others
    pairs = []
    for a, b in rows[:, :2].astype(int):
        pairs.append((first[a], first[b]))
        first.append(min(pairs[-1]))
    a, b = np.array(pairs, np.uint16).T
    return Moment(float(cosines.mean()), np.quantile(cosines, LEVELS), a, b, rows[:, 2])


def in_main_axes(x: Float[np.ndarray, "t n d"]) -> Float[np.ndarray, "t n r"]:
    """Coordinates in the WIDEST main axes of all directions; x itself where d is no larger."""
    d = x.shape[-1]
    if d <= WIDEST:
        return x
    flat = x.reshape(-1, d)
    if len(flat) < d:
        axes = np.linalg.svd(flat, full_matrices=False)[2][:WIDEST].T
    else:
        axes = np.linalg.eigh(flat.T @ flat)[1][:, : -WIDEST - 1 : -1]
    return x @ axes


def settings_of(simulation: Simulation) -> dict[str, Any] | None:
    """The settings with which the page runs this simulation; None where it knows no such field, start or method."""
    field, start, method = simulation.field, simulation.start, simulation.method
    if not field.one_head:
        return None
    head = field.heads[0]
    numbers = all(np.ndim(matrix) == 0 for matrix in (head.queries, head.keys, head.values))
    plain = numbers and head.queries * head.keys == 1 and abs(head.values) == 1
    begin = start.start if isinstance(start, flows.PerturbedStart) else start
    name = {
        flows.UniformStart: "uniform", flows.OrthonormalStart: "orthonormal", flows.LatticeStart: "lattice",
    }.get(type(begin))  # fmt: skip
    moved = start.size if isinstance(start, flows.PerturbedStart) else 0.0
    seeds = {getattr(part, "seed", None) for part in (begin, start, method)} - {None}
    known = (
        plain
        and type(field.scheme) is flows.fields.schemes.Post
        and name is not None
        and not (name == "orthonormal" and simulation.d < ORTHONORMAL_D)
        and moved == (LATTICE_STEP if name == "lattice" else 0.0)
        and len(seeds) <= 1
        and method in (flows.Adaptive(), flows.Noisy(seed=getattr(method, "seed", 0)))
        and not (math.isinf(simulation.until) and field.causal)  # the page ends such a flow at a time
        and simulation.weights is None
        and simulation.probes is None
    )
    if not known:
        return None
    settings = {
        "field": field.kind, "n": simulation.n, "d": simulation.d, "beta": float(field.beta), "start": name,
        "seed": seeds.pop() if seeds else 0, "kappa": 0 if math.isinf(field.kappa) else float(field.kappa),
        "causal": int(field.causal), "repulsive": int(float(head.values) < 0),
        "until": 0 if math.isinf(simulation.until) else simulation.until,
    }  # fmt: skip
    return settings if all(low <= settings[key] <= high for key, (low, high) in RANGES.items()) else None
