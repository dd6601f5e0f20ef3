"""The protocol that every solver of densities fulfils: `Circle`, `Zonal`, `Sphere`, `Fourier`, ...

symbol  meaning                                                          shape
m       moments m_0..m_K                                                 k
at      where mass is: angles (circle), latitudes (zonal), unit vectors  n or n 3
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from spinodal.meanfield.kernel import DriftLaw

CORE = 0.99  # of the mass, whose width counts


@runtime_checkable
class Solver(Protocol):
    """d_t mu + div(mu X[mu]) = (1 / kappa) Laplacian mu, one step at a time  [bpa2024].

    What `Circle`, `Zonal`, `Sphere`, `Fourier` and `Gegenbauer` have in common: the density at `time`, `advance` for
    one step of the solver's own choice, not beyond a time, and methods that measure the density.
    """

    geometry: str  # "circle", "zonal" or "sphere"
    flow: DriftLaw
    time: float

    def advance(self, until: float) -> None: ...

    def moments(self, top: int) -> np.ndarray:
        """m_0, ..., m_top."""
        ...

    def masses(self) -> tuple[np.ndarray, Float[np.ndarray, " n"]]:
        """(at, mass): places and the masses at them."""
        ...

    def tokens(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]] | None:
        """Unit vectors and weights that stand for the density, None where it has none."""
        ...

    @property
    def probes(self) -> Float[np.ndarray, "m d"] | None:
        """Unit vectors without mass, which the drift carries along; None where there are none."""
        ...

    def width(self, m: np.ndarray) -> float:
        """Root mean square distance of most mass from the direction of the mean; m are its moments."""
        ...

    def map_tail(self) -> float | None:
        """The largest last coefficient of positions as functions of labels; None without such a map."""
        ...

    @property
    def diracs(self) -> bool:
        """Whether only atoms are left."""
        ...

    @property
    def consensus(self) -> bool:
        """Whether one atom is left."""
        ...

    def total_mass(self) -> float: ...

    def least_density(self) -> float:
        """The least rho / uniform, NaN once there are only atoms."""
        ...

    def inversion(self) -> float:
        """Mass times angle by which points of a line have passed each other: zero but for error."""
        ...


def core_width(chord: Float[np.ndarray, " n"], mass: Float[np.ndarray, " n"]) -> float:
    """Root mean square of the distances of the nearest CORE of the mass.

    Chords, not cosines: no cancellation near consensus. The last hundredth of the mass leaves the repelling
    point opposite at a rate of its own, e^{-beta} for USA, long after the others have met.
    """
    order = np.argsort(chord)
    mass = mass[order]
    inside = np.cumsum(mass) - mass / 2 <= CORE
    return float(np.sqrt(mass[inside] @ chord[order][inside] ** 2))
