r"""A phase diagram: P(<x_i, x_j> >= threshold) as a map of (t, beta), for several d; a cell is one row of it."""

import dataclasses
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.arrays import real_array
from spinodal.errors import InputError, require_types
from spinodal.flows.engines.law import law
from spinodal.flows.ensembles.flow import OdeClock
from spinodal.flows.ensembles.layers import LayerClock
from spinodal.flows.ensembles.maps import CLOSE, Ensemble, estimate, mean_and_error
from spinodal.flows.ensembles.matrices import Matrices, close_shares
from spinodal.flows.ensembles.systems import constants
from spinodal.limits import ROWS, STEPS, require_at_most, unlimited
from spinodal.results import Result
from spinodal.runs import Run, arrays_of, sweep
from spinodal.types import Progress

CLOCKS = {"layer": LayerClock, "ode": OdeClock}


LAYERS = ("layer", 0.1)


def diagram_betas(first: float = 0.1, last: float = 9.0, number: int = 200) -> tuple[float, ...]:
    """`number` inverse temperatures, evenly spaced from the first to the last."""
    require_at_most(ROWS, number, "inverse temperatures", "betas")
    return tuple(np.linspace(first, last, number).tolist())


def diagram_times(
    clock: tuple[str, float] = LAYERS, end: float = 30.0, number: int = 150
) -> tuple[float, ...]:
    """`number` times in (0, end], evenly spread, at which a diagram on this clock can be read.

    InputError for an unknown clock, and where the clock has fewer times than that.
    """
    if not 0 < end < np.inf:
        raise InputError(f"`end` {end:g}: must be positive", field="end")
    if number < 1:
        raise InputError(f"`number` {number}: must be at least 1", field="number")
    require_at_most(ROWS, number, "times", "number")
    return tuple(CLOCKS[clock_name(clock)](clock[1]).grid(end, number).tolist())


def clock_name(clock: tuple[str, float]) -> str:
    """The name of a clock; InputError where it is unknown, or no number follows."""
    name, *value = clock or ("",)
    if name not in CLOCKS:
        raise InputError(f"`clock` {name!r} is none of {', '.join(CLOCKS)}", field="clock")
    if len(value) != 1 or isinstance(value[0], bool) or not isinstance(value[0], Real):
        raise InputError(f"`clock` {clock!r}: (name, step or tolerance) is needed", field="clock")
    return name


@dataclass(frozen=True)
class Diagram:
    """P(<x_i, x_j> >= threshold) as a function of d, time and beta, as a value  [glpr2023].

    `clock` is ("layer", step) or ("ode", tolerance). `field` is a kind of law ("sa", "usa", "gkpr"), or `matrices` the
    kinds of random Q^T K and V, for SA on layers. `samples` systems of n uniform tokens are drawn from the seed.
    """

    d: tuple[int, ...] = (2, 8, 32, 128, 512, 1024)  # dimensions, a map each
    betas: tuple[float, ...] = dataclasses.field(default_factory=diagram_betas)  # rows of a map
    times: tuple[float, ...] = dataclasses.field(default_factory=diagram_times)  # columns of a map
    clock: tuple[str, float] = LAYERS  # layers of a step, or the flow to a tolerance
    n: int = 32  # tokens of a system
    samples: int = 1024  # systems of a row
    seed: int = 0  # of the starts, and of the matrices
    field: str = "sa"  # the law: "sa", "usa" or "gkpr"
    matrices: tuple[str, str] | None = None  # kinds of random Q^T K and V, identities for None
    threshold: float = CLOSE  # the cosine from which two tokens count as one

    def __post_init__(self):
        require_types(
            self, d=tuple, betas=tuple, times=tuple, clock=tuple, n=Integral, samples=Integral, seed=Integral
        )
        require_types(self, field=str, matrices=(tuple, type(None)), threshold=Real)
        if not self.d or not self.betas or not self.times:
            raise InputError(
                "a phase diagram needs `d`, `betas` and `times`, one of each at least",
                field=("d", "betas", "times"),
            )
        if len(set(self.d)) < len(self.d):
            raise InputError(f"`d` {self.d}: names a dimension twice", field="d")
        clock, times = CLOCKS[clock_name(self.clock)](self.clock[1]), real_array(self.times, "times")
        if isinstance(clock, LayerClock):
            require_at_most(STEPS, times.max() / clock.step, "layers", ("times", "step"))
        clock.check_times(times)
        if self.matrices is not None and (self.clock[0] != "layer" or self.field != "sa"):
            raise InputError(
                "`matrices` that are random run on the layer clock, normalised as SA", field="matrices"
            )
        if self.matrices is not None:
            Matrices(*self.matrices)
        if not -1 < self.threshold < 1:
            raise InputError(
                f"`threshold` {self.threshold:g}: a cosine above which tokens count as one", field="threshold"
            )
        require_at_most(ROWS, len(self.d) * len(self.betas), "rows", ("d", "betas"))
        for d in self.d:
            Ensemble(self.n, d, self.samples, self.seed)
        for beta in self.betas:
            constants(law(self.field, beta))

    def cells(self) -> list[dict[str, Any]]:
        """A configuration of `diagram_row` for every d and beta, the betas of the first d first."""
        common = {key: value for key, value in asdict(self).items() if key not in ("d", "betas")}
        return [common | {"d": d, "beta": beta} for d in self.d for beta in self.betas]

    def assemble(self, rows: list[dict[str, list[float]]]) -> "DiagramResult":
        """The result of a diagram, from the `rows` computed for `cells`, in their order."""
        shape = (len(self.d), len(self.betas), len(self.times))
        found = (np.array([each[name] for each in rows]) for name in ("probability", "standard_error"))
        return DiagramResult(self, *(values.reshape(shape).mT for values in found))


@dataclass(frozen=True, repr=False)
class DiagramResult(Result):
    """The probability and its standard error, as arrays over d[k], times[t] and betas[b]."""

    diagram: Diagram
    probability: Float[np.ndarray, "k t b"]
    standard_error: Float[np.ndarray, "k t b"]

    @classmethod
    def from_run(cls, run: Run) -> "DiagramResult":
        """The maps of a saved phase diagram, which are in map.npz."""
        file = run.folder / "map.npz"
        arrays = arrays_of(file)
        if missing := {"probability", "standard_error"} - arrays.keys():
            raise InputError(f"{file} holds no {', '.join(sorted(missing))}")
        return cls(run.config_as(Diagram), arrays["probability"], arrays["standard_error"])


def phase_diagram(
    diagram: Diagram,
    folder: Path | None = None,
    *,
    scheduler: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> DiagramResult:
    """P(<x_i, x_j> >= threshold) over `diagram.samples` starts, for every d, time and beta  [glpr2023].

    The share of pairs of tokens that have clustered. With a folder each pair of d and beta is stored in folder/cells
    and computed on `workers` processes or a dask scheduler, once (`runs.sweep`); without one all are computed here.
    InputError for a negative number of workers and for what is no address of a scheduler.

    >>> from spinodal import flows
    >>> diagram = flows.Diagram(
    ...     d=(2,), betas=(0.5, 8.0), times=(1.0, 10.0), clock=("layer", 0.5), n=8, samples=64
    ... )
    >>> flows.phase_diagram(diagram).probability.round(2).tolist()
    [[[0.02, 0.03], [0.91, 0.3]]]
    """
    check_workers(scheduler, workers)
    cells = diagram.cells()
    if folder is None:
        rows = []
        for cell in cells:
            rows.append(diagram_row(cell))
            if progress:
                progress(len(rows), len(cells))
    else:
        rows = sweep.run(diagram_row, cells, folder, scheduler=scheduler, workers=workers, progress=progress)
    return diagram.assemble(rows)


def check_workers(scheduler: str | None, workers: int) -> None:
    """InputError for a negative number of processes, and for what is no address of a scheduler."""
    if workers < 0:
        raise InputError(f"`workers` {workers}: a number of processes, or 0 for one a core", field="workers")
    if scheduler is not None:
        sweep.check_address(scheduler)


def diagram_row(cell: dict[str, Any]) -> dict[str, list[float]]:
    """P(<x_i, x_j> >= threshold) at the times of one beta and one d, as a cell of a sweep.

    Takes and returns plain numbers and names, as JSON holds them.
    """
    with unlimited():  # the diagram was held to the limits, in a process that may be another
        ensemble = Ensemble(*(cell[name] for name in ("n", "d", "samples", "seed")))
    times, threshold, beta = np.asarray(cell["times"], dtype=float), cell["threshold"], cell["beta"]
    kind, value = cell["clock"]
    if cell["matrices"] is None:
        found = estimate(ensemble, law(cell["field"], beta), CLOCKS[kind](value), times, threshold)
    else:
        random, n, d = Matrices(*cell["matrices"]), ensemble.n, ensemble.d
        chunks = (
            random.systems(n, d, numbers, ensemble.seed) for numbers in ensemble.chunks(d + 2 * d * d // n)
        )
        found = mean_and_error(
            close_shares(systems, beta, LayerClock(value), times, threshold) for systems in chunks
        )
    return {name: values.tolist() for name, values in found._asdict().items()}
