"""The observables by name. To add one, write a file with its `Observable` and list that here."""

from collections.abc import Mapping, Sequence
from numbers import Real

from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError, require_type
from spinodal.observables import (
    axial,
    clusters,
    energies,
    hull,
    leading,
    order,
    overlaps,
    parking,
    recurrences,
    selectivity,
    transport,
)
from spinodal.observables.entry import Observable, Scales
from spinodal.observables.frames import observes
from spinodal.types import Trajectory

OBSERVABLES: dict[str, Observable] = {
    entry.name: entry
    for entry in (
        overlaps.MEAN_COSINE,
        energies.ENERGY,
        order.EFFECTIVE_RANK,
        *overlaps.SHARES,
        clusters.CLUSTERS,
        order.POLARISATION,
        axial.AXIAL_ORDER,
        transport.WASSERSTEIN_DIRAC,
        recurrences.RECURRENCE,
        parking.RENYI_CENTRES,
        leading.LEADERS,
        hull.HULL_VERTICES,
        hull.HULL_VOLUME,
        hull.VERTEX_DISTANCE,
        selectivity.BOOLEAN_ROWS,
        selectivity.ATTENTION_RANK,
    )
}

USUAL = Scales()


def observables_named(names: Sequence[str]) -> dict[str, Observable]:
    """The observables of these names; InputError for an unknown or a repeated name, and for one text."""
    if isinstance(names, str):
        raise InputError(
            f"`observables` {names!r}: a list of names is needed, [{names!r}]", field="observables"
        )
    for name in names:
        if name not in OBSERVABLES:
            raise InputError(
                f"`observables` {name}: no observable has this name; they are {', '.join(OBSERVABLES)}",
                field="observables",
            )
    if len(set(names)) < len(names):
        raise InputError(f"`observables` {', '.join(names)}: one of them stands twice", field="observables")
    return {name: OBSERVABLES[name] for name in names}


@observes
def measure(
    trajectory: Trajectory,
    observables: Mapping[str, Observable] | Sequence[str],
    scales: Scales = USUAL,
) -> dict[str, Float[Tensor, "t b"]]:
    """values(trajectory, scales) of each observable, [t b], by name: at each time or layer, for each sequence.

    `observables` are names of OBSERVABLES, or entries by name. `scales` holds beta of the energy and epsilon, up to
    which 1 - cosine links two tokens to one cluster. InputError for a name that is not known.

    >>> from spinodal import flows, observables
    >>> run = flows.simulate(flows.AttentionField(4.0), flows.UniformStart(16, 2).tokens(), 10.0)
    >>> found = observables.measure(run, ["clusters", "polarisation"], observables.Scales(epsilon=0.01))
    >>> found["clusters"].flatten().tolist()
    [11.0, 2.0]
    """
    require_type("epsilon", scales.epsilon, Real)
    entries = observables if isinstance(observables, Mapping) else observables_named(observables)
    return {name: observable.values(trajectory, scales) for name, observable in entries.items()}
