r"""A phase diagram: P(<x_i, x_j> >= threshold) as a map of (t, beta), for several d; a cell is one row of it."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines.law import law
from spinodal.flows.ensembles.flow import OdeClock
from spinodal.flows.ensembles.layers import LayerClock
from spinodal.flows.ensembles.maps import CLOSE, Ensemble, estimate, mean_and_error
from spinodal.flows.ensembles.matrices import Matrices, close_shares
from spinodal.runs import sweep

CLOCKS = {"layer": LayerClock, "ode": OdeClock}


LAYERS = ("layer", 0.1)


def diagram_betas(first: float = 0.1, last: float = 9.0, number: int = 200) -> tuple[float, ...]:
    """So many inverse temperatures, evenly spaced from the first to the last."""
    return tuple(np.linspace(first, last, number).tolist())


def diagram_times(
    clock: tuple[str, float] = LAYERS, end: float = 30.0, number: int = 150
) -> tuple[float, ...]:
    """So many times from 0, which is left out, to `end`, at which a diagram on this clock can be read.

    InputError for an unknown clock, and for times that are not there or more than the layers.
    """
    if not 0 < end < np.inf:
        raise InputError(f"`end` {end:g}: must be positive", field="end")
    if number < 1:
        raise InputError(f"`number` {number}: must be at least 1", field="number")
    if clock[0] not in CLOCKS:
        raise InputError(f"`clock` {clock[0]!r} is none of {', '.join(CLOCKS)}", field="clock")
    return tuple(CLOCKS[clock[0]](clock[1]).grid(end, number).tolist())


@dataclass(frozen=True)
class Diagram:
    """`betas` are the rows; `clock` is ("layer", step) or ("ode", tolerance); `times` what it can be read at.

    `field` is a kind of law ("sa", "usa", "gkpr"), or `matrices` the kinds of Q^T K and of V, SA on layers.
    """

    d: tuple[int, ...] = (2, 8, 32, 128, 512, 1024)
    betas: tuple[float, ...] = dataclasses.field(default_factory=diagram_betas)
    times: tuple[float, ...] = dataclasses.field(default_factory=diagram_times)
    clock: tuple[str, float] = LAYERS
    n: int = 32
    samples: int = 1024
    seed: int = 0
    field: str = "sa"
    matrices: tuple[str, str] | None = None
    threshold: float = CLOSE

    def __post_init__(self):
        if not self.d or not self.betas or not self.times:
            raise InputError(
                "a phase diagram needs `d`, `betas` and `times`, one of each at least",
                field=("d", "betas", "times"),
            )
        if len(set(self.d)) < len(self.d):
            raise InputError(f"`d` {self.d}: names a dimension twice", field="d")
        if self.clock[0] not in CLOCKS:
            raise InputError(f"`clock` {self.clock[0]!r} is none of {', '.join(CLOCKS)}", field="clock")
        if self.matrices is not None and (self.clock[0] != "layer" or self.field != "sa"):
            raise InputError(
                "`matrices` that are random run on the layer clock, normalised as SA", field="matrices"
            )
        if not -1 < self.threshold < 1:
            raise InputError(
                f"`threshold` {self.threshold:g}: a cosine above which tokens count as one", field="threshold"
            )
        for d in self.d:
            Ensemble(self.n, d, self.samples, self.seed)
        for beta in self.betas:
            law(self.field, beta)

    def cells(self) -> list[dict[str, Any]]:
        """A configuration of `diagram_row` for every d and beta, the betas of the first d first."""
        common = {key: value for key, value in asdict(self).items() if key not in ("d", "betas")}
        return [common | {"d": d, "beta": beta} for d in self.d for beta in self.betas]

    def assemble(self, rows: list[dict[str, list[float]]]) -> "DiagramResult":
        """The result whose `rows` are those of `cells`, in their order."""
        shape = (len(self.d), len(self.betas), len(self.times))
        found = (np.array([each[name] for each in rows]) for name in ("probability", "standard_error"))
        return DiagramResult(self, *(values.reshape(shape).mT for values in found))


@dataclass(frozen=True)
class DiagramResult:
    """The maps of a diagram: probability and its standard error at d[k], times[t], betas[b]."""

    diagram: Diagram
    probability: Float[np.ndarray, "k t b"]
    standard_error: Float[np.ndarray, "k t b"]


def phase_diagram(
    diagram: Diagram,
    folder: Path | None = None,
    *,
    scheduler: str | None = None,
    workers: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> DiagramResult:
    """P(<x_i, x_j> >= threshold) over `diagram.samples` starts, for every d, time and beta.

    With a folder its rows are kept in folder/cells, on `workers` processes or a dask scheduler: what is there already
    is read (`runs.sweep`). Without one they are computed here, one after another.
    """
    check_workers(scheduler, workers)
    cells = diagram.cells()
    if folder is None:
        rows = []
        for cell in cells:
            rows.append(diagram_row(cell))
            report(len(rows), len(cells))
    else:
        rows = sweep.run(diagram_row, cells, folder, scheduler=scheduler, workers=workers, report=report)
    return diagram.assemble(rows)


def check_workers(scheduler: str | None, workers: int) -> None:
    """InputError for a negative number of processes, and for what is no address of a scheduler."""
    if workers < 0:
        raise InputError(f"`workers` {workers}: a number of processes, or 0 for one a core", field="workers")
    if scheduler is not None and not re.fullmatch(r"\w+://\S+|[^\s:/]+:\d+", scheduler):
        raise InputError(f"`scheduler` {scheduler}: an address, such as tcp://host:8786", field="scheduler")


def diagram_row(cell: dict[str, Any]) -> dict[str, list[float]]:
    """One beta and one d of a diagram, as a cell of a sweep: numbers and names in, numbers out."""
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
