"""The result of the evolution of a density: frozen values of numbers and NumPy arrays."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows import lyapunov_exponents
from spinodal.meanfield.experiment import DensityExperiment
from spinodal.meanfield.record import Record, wasserstein_rate
from spinodal.observables import Plateau
from spinodal.results import PlayedResult
from spinodal.runs import SAVED_IF_SET, UNSAVED

ROUGH = 1e-2  # tail of the map of labels, above which nodes are tokens and no longer a rule


@dataclass(frozen=True)
class PatternForecast:
    """Linear theory of the start: the degree that saturates first, when, and on the circle where its clusters are.

    `fastest_degree` grows fastest, but need not win: the start may hold little of it.
    """

    degree: int
    time: float
    positions: tuple[float, ...]
    fastest_degree: int


@dataclass(frozen=True)
class GrowthRate:
    """lambda_k of degree k, measured (None without a linear phase) and by theory."""

    degree: int
    measured: float | None
    theory: float


@dataclass(frozen=True)
class PatternDistance:
    """The share of the density's H^-1 norm outside the pattern of a degree, at the times of `Amplitudes`."""

    degree: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Amplitudes:
    """|m_k| of the first degrees at a selection of times."""

    times: tuple[float, ...]
    degrees: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False, repr=False)
class DensityResult(PlayedResult):
    """The evolution of a density on a geometry in R^d, which ended at `time` after so many steps.

    `mass_error` and `inversion` are the largest of the record's, `minimum_density` its least rho / uniform (None if
    there were atoms alone), `clusters` and `map_tail` those of the end. `forecast` and `distance_to_pattern` are None
    where nothing grows. `tokens` and `weights` stand for the density in the end; zonal and noisy ones have none.
    Under a causal mask with USA `index` is the index s in [0, 1] of each of the tokens.
    `probes` are unit vectors that were carried along, at the times of the record, and `wasserstein` is W2 to the
    experiment's reference, of angles, at these times, and `wasserstein_error` a bound on its error, between two
    densities of S^2.
    """

    geometry: str
    d: int
    time: float
    steps: int
    mass_error: float
    minimum_density: float | None
    inversion: float
    clusters: int
    forecast: PatternForecast | None
    growth_rates: tuple[GrowthRate, ...]
    plateaus: tuple[Plateau, ...]
    clustering_rate: float | None
    distance_to_pattern: PatternDistance | None
    amplitudes: Amplitudes
    record: Record
    map_tail: float | None = None
    tokens: Float[np.ndarray, "n d"] | None = None
    weights: Float[np.ndarray, " n"] | None = None
    probes: Float[np.ndarray, "t m d"] | None = field(default=None, metadata=SAVED_IF_SET)
    wasserstein: Float[np.ndarray, " t"] | None = field(default=None, metadata=SAVED_IF_SET)
    wasserstein_error: Float[np.ndarray, " t"] | None = field(default=None, metadata=SAVED_IF_SET)
    index: Float[np.ndarray, " n"] | None = field(default=None, metadata=SAVED_IF_SET)
    experiment: DensityExperiment | None = field(default=None, repr=False, metadata=UNSAVED)

    @property
    def wasserstein_rate(self) -> float | None:
        """-d log(W2^2) / dt to the nearest Dirac in the end, the global rate; None without an approach to one."""
        rate = wasserstein_rate(self.record)
        return rate if np.isfinite(rate) else None

    @property
    def lyapunov_exponents(self) -> Float[np.ndarray, "s k"]:
        """log(|y - y'|(t) / |y - y'|(0)) / t of the pairs of probes; see `flows.lyapunov_exponents`."""
        if self.probes is None:
            raise InputError("there are no `probes`: give pairs, as of `flows.probe_pairs`", field="probes")
        return lyapunov_exponents(self.record.times, self.probes)

    def known_to(self, k: int) -> str:
        """The bound on the error of W2 at step k, in words; nothing where there is none."""
        return "" if self.wasserstein_error is None else f" (to {self.wasserstein_error[k]:.1g})"

    def __str__(self) -> str:
        """The result in a few lines."""
        told, least = self.forecast, self.minimum_density
        lines = [
            f"t = {self.time:.6g} after {self.steps} steps, {self.clusters} cluster(s); "
            f"mass error {self.mass_error:.1g}, least density {'none' if least is None else f'{least:.3g}'}",
            f"forecast from the start: degree {told.degree} (the fastest is {told.fastest_degree}), "
            f"saturated at t = {told.time:.4g}"
            if told
            else "forecast from the start: nothing grows, the uniform density is stable"
            if self.growth_rates
            else "no forecast: linear theory is of one head that reads all tokens, with multiples of the identity",
        ]
        if self.map_tail is not None:
            state = "a cloud of nodes" if self.map_tail > ROUGH else "resolved"
            lines.append(f"the map of labels has a tail of {self.map_tail:.1g}: {state} in the end")
        for row in self.growth_rates[:6]:
            if row.measured is not None:
                lines.append(
                    f"  degree {row.degree}: growth rate {row.measured:.6g}, theory {row.theory:.6g}"
                )
        for p in self.plateaus:
            state = " (goes on)" if p.unfinished else ""
            lines.append(f"  {p.clusters} cluster(s) from t = {p.start:.4g} to {p.end:.4g}{state}")
        if self.wasserstein is not None:
            ends = [f"{self.wasserstein[k]:.4g}{self.known_to(k)}" for k in (0, -1)]
            lines.append(f"W2 to the reference: {ends[0]} at the start, {ends[1]} in the end")
        if self.clustering_rate is not None:
            lines.append(f"clusters meet at the local rate {self.clustering_rate:.4g} in the end")
        if self.wasserstein_rate is not None:
            lines.append(
                f"W2^2 to the nearest Dirac falls at the global rate {self.wasserstein_rate:.4g} in the end"
            )
        return "\n".join(lines)
