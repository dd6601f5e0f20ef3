"""Results: the equilibria of a system, and the stability of one of them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spinodal.graphs.experiment import EquilibriumSearch
from spinodal.graphs.stability import Stability
from spinodal.graphs.states import State
from spinodal.results import Result

Kind = Literal["linear", "lyapunov", "unstable"]


class Equilibrium(NamedTuple):
    """One equilibrium: its state, energy, index, nullity and stability.

    `dimension` > 0 says that it stands for a manifold of equilibria.
    """

    state: State
    energy: float
    index: int
    nullity: int
    stability: Kind
    asymptotic: bool
    dimension: int


@dataclass(frozen=True, eq=False, repr=False)
class Equilibria(Result):
    """The equilibria that were found, by ascending energy, as arrays; `entries` lists them one by one.

    `dimension` is the largest of the equilibrium set, `bound` what the graph alone allows it to be, and
    `unseen` estimates the share of further searches that would end in an isolated equilibrium not yet known
    (Good and Turing: the share of starts whose equilibrium no other start has found, where an equilibrium and its
    mirror image -x are one); 0 for trees, exactly.
    """

    states: Float[np.ndarray, "k n"]
    energies: Float[np.ndarray, " k"]
    indices: Int[np.ndarray, " k"]
    nullities: Int[np.ndarray, " k"]
    stabilities: tuple[Kind, ...]
    asymptotic: Bool[np.ndarray, " k"]
    dimensions: Int[np.ndarray, " k"]
    betti: int
    dimension: int
    bound: int
    unseen: float
    experiment: EquilibriumSearch | None = field(
        default=None, repr=False, metadata={"saved": "never"}
    )  # a record has it as its configuration

    @cached_property
    def entries(self) -> list[Equilibrium]:
        numbers = (self.energies, self.indices, self.nullities, self.asymptotic, self.dimensions)
        energies, indices, nullities, asymptotic, dimensions = (column.tolist() for column in numbers)
        return [
            Equilibrium(*row)
            for row in zip(
                self.states,
                energies,
                indices,
                nullities,
                self.stabilities,
                asymptotic,
                dimensions,
                strict=True,
            )
        ]


def equilibria_table(
    found: list[Equilibrium], n: int, *, betti: int, dimension: int, bound: int, unseen: float
) -> Equilibria:
    """Equilibria of n vertices as arrays."""

    def column(name: str, kind: type) -> Any:
        return np.array([getattr(e, name) for e in found], dtype=kind)

    return Equilibria(
        column("state", float).reshape(-1, n), column("energy", float), column("index", int), column("nullity", int),
        tuple(e.stability for e in found), column("asymptotic", bool), column("dimension", int),
        betti, dimension, bound, unseen,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class StabilityReport:
    """How stable an equilibrium is, and the tests that need no eigenvalue.

    `cut` lists the vertices on one side of a cut whose slopes a f' sum to less than 0, which proves
    instability; None where none was found. `lowest_eigenvalue` leaves translations out, and is None where
    nothing else is left. `resistance` is |w| R of the one edge with a negative slope, below 1 iff the
    equilibrium is linearly stable; None unless exactly one slope is negative. With anchors or a drive `cut`
    and `resistance` are None.
    """

    state: State
    energy: float
    stability: Stability
    lowest_eigenvalue: float | None
    all_slopes_positive: bool
    cut: tuple[int, ...] | None
    resistance: float | None
