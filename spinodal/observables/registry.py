"""The observables by name. One that is added is a file with its entry, and a name here."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables import clusters, energies, order, overlaps
from spinodal.observables.entry import Observable, Scales
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
    )
}


def observables_named(names: Sequence[str]) -> dict[str, Observable]:
    """The observables of these names; InputError for one that is not known, and for one that stands twice."""
    for name in names:
        if name not in OBSERVABLES:
            raise InputError(
                f"`observables` {name}: no observable has this name; they are {', '.join(OBSERVABLES)}",
                field="observables",
            )
    if len(set(names)) < len(names):
        raise InputError(f"`observables` {', '.join(names)}: one of them stands twice", field="observables")
    return {name: OBSERVABLES[name] for name in names}


def measure(
    trajectory: Trajectory, observables: Mapping[str, Observable], scales: Scales
) -> dict[str, Float[Tensor, "t b"]]:
    """values(trajectory, scales) of each observable, [t b], by name: at each time or layer, for each sequence.

    `scales` holds beta of the energy and epsilon, up to which 1 - cosine links two tokens to one cluster.
    """
    return {name: observable.values(trajectory, scales) for name, observable in observables.items()}
