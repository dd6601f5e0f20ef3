r"""A phase diagram: P(<x_i, x_j> >= threshold) as a map of (t, beta), for several d; a cell is one row of it."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines.law import law
from spinodal.flows.ensembles.flow import OdeClock
from spinodal.flows.ensembles.layers import LayerClock
from spinodal.flows.ensembles.maps import CLOSE, Ensemble, averaged, estimate
from spinodal.flows.ensembles.matrices import Matrices, close_shares

CLOCKS = {"layer": LayerClock, "ode": OdeClock}


class Maps(NamedTuple):
    """Probabilities and standard errors."""

    probability: Float[np.ndarray, "k t b"]
    standard_error: Float[np.ndarray, "k t b"]


@dataclass(frozen=True)
class Diagram:
    """`betas` are the rows; `clock` is ("layer", step) or ("ode", tolerance); `times` what it can be read at.

    `field` is a kind of law ("sa", "usa", "gkpr"), or `matrices` the kinds of Q^T K and of V, SA on layers.
    """

    d: tuple[int, ...]
    betas: tuple[float, ...]
    times: tuple[float, ...]
    clock: tuple[str, float]
    n: int = 32
    samples: int = 1024
    seed: int = 0
    field: str = "sa"
    matrices: tuple[str, str] | None = None
    threshold: float = CLOSE

    def __post_init__(self):
        if not self.d or not self.betas or not self.times:
            raise InputError("a phase diagram needs dimensions, betas and times, one of each at least")
        if self.clock[0] not in CLOCKS:
            raise InputError(f"clock {self.clock[0]!r} is none of {', '.join(CLOCKS)}")
        if self.matrices is not None and (self.clock[0] != "layer" or self.field != "sa"):
            raise InputError("random matrices run on the layer clock, normalised as SA")
        if not -1 < self.threshold < 1:
            raise InputError(f"threshold = {self.threshold:g}: a cosine above which tokens count as one")
        for d in self.d:
            Ensemble(self.n, d, self.samples, self.seed)
        for beta in self.betas:
            law(self.field, beta)

    def cells(self) -> list[dict[str, Any]]:
        """A configuration of `row` for every d and beta, in the order that `stacked` wants."""
        common = {key: value for key, value in asdict(self).items() if key not in ("d", "betas")}
        return [common | {"d": d, "beta": beta} for d in self.d for beta in self.betas]

    def stacked(self, rows: list[dict[str, list[float]]]) -> Maps:
        """Maps [d, t, beta] of the rows of `cells`."""
        shape = (len(self.d), len(self.betas), len(self.times))
        return Maps(*(np.array([row[name] for row in rows]).reshape(shape).mT for name in Maps._fields))


def row(cell: dict[str, Any]) -> dict[str, list[float]]:
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
        found = averaged(
            close_shares(systems, beta, LayerClock(value), times, threshold) for systems in chunks
        )
    return {name: values.tolist() for name, values in found._asdict().items()}
