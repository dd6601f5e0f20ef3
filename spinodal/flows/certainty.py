"""The number of reliable digits of merge times, from the same simulation at a tenth of its tolerance."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from spinodal.errors import InputError
from spinodal.flows.evolution import Evolution, evolve
from spinodal.flows.experiment import Simulation
from spinodal.flows.time import Adaptive
from spinodal.flows.time.methods import FINEST
from spinodal.types import Progress


@dataclass(frozen=True, eq=False)
class MergeCertainty:
    """-log10 |t / t' - 1|: the digits in which two runs agree on the times of merges.

    t and t' are the times at which `clusters` [k] are left, at `tolerance` and at the `finer` one. `digits`
    [k] are 0 for a merge that only one of the runs has. They are no error bound: an error that both runs make
    does not show.
    """

    tolerance: float
    finer: float
    clusters: Int[np.ndarray, " k"]
    digits: Float[np.ndarray, " k"]

    def __str__(self) -> str:
        if not len(self.digits):
            return "no tokens merged: there is no time to compare"
        return (
            f"times of merges, against a tolerance of {self.finer:g}: the last agrees in {self.digits[-1]:.1f} digits, "
            f"half of all in {np.median(self.digits):.1f}, all in {self.digits.min():.1f}"
        )


def certify(
    simulation: Simulation, evolution: Evolution, *, progress: Progress | None = None
) -> MergeCertainty:
    """The digits of `evolution.merge_time` that a run at a tenth of the tolerance confirms; it takes as long again.

    `evolution` is what `simulation` resulted in. Merges are compared by how many clusters they leave. InputError for
    another method than Adaptive, whose steps have no tolerance, and for the finest one, 1e-14.

    >>> from spinodal import flows
    >>> start = flows.UniformStart(8, 2, seed=0)
    >>> simulation = flows.Simulation(flows.AttentionField(beta=1.0), start, flows.CONSENSUS)
    >>> bool(flows.certify(simulation, flows.evolve(simulation)).digits.min() > 5)
    True
    """
    finer = finer_simulation(simulation)
    again = evolve(finer, progress=progress)
    first, second = left_at(evolution), left_at(again)
    clusters = np.array(sorted(first | second, reverse=True), dtype=np.int64)
    times = np.array([(first.get(k, np.inf), second.get(k, np.inf)) for k in clusters]).reshape(-1, 2)
    known = np.isfinite(times).all(1)
    apart = np.ones(len(times))
    apart[known] = np.abs(times[known, 0] / times[known, 1] - 1)
    digits = -np.log10(np.clip(apart, np.finfo(float).eps, 1.0))
    assert isinstance(simulation.method, Adaptive)
    assert isinstance(finer.method, Adaptive)
    return MergeCertainty(simulation.method.tolerance, finer.method.tolerance, clusters, digits)


def finer_simulation(simulation: Simulation) -> Simulation:
    """The simulation at a tenth of its tolerance; InputError where there is none."""
    method = simulation.method
    if not isinstance(method, Adaptive):
        raise InputError(
            f"`method` {type(method).__name__}: certain digits come from two tolerances, those of Adaptive",
            field="method",
        )
    if method.tolerance <= FINEST:
        raise InputError(
            f"`tolerance` {method.tolerance:g}: there is no finer one to compare with", field="tolerance"
        )
    return replace(simulation, method=replace(method, tolerance=max(method.tolerance / 10, FINEST)), times=2)


def left_at(evolution: Evolution) -> dict[int, float]:
    """{number of clusters: time of the merge that leaves so many}."""
    return dict(zip(evolution.merge_clusters.tolist(), evolution.merge_time.tolist(), strict=True))
