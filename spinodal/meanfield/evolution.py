r"""From an experiment to its result: the drift law, the solver of its geometry, linear theory, the record.

geometry  without noise  with noise    degrees that are recorded
circle    Circle         Fourier       64
zonal     Zonal          Gegenbauer    64
sphere    Sphere         -             32
under a causal mask with USA, circle and sphere: CausalSlices
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spinodal import theory
from spinodal.meanfield.causal import CausalSlices
from spinodal.meanfield.eulerian import Fourier, Gegenbauer
from spinodal.meanfield.experiment import ENDS, NODES, DensityExperiment
from spinodal.meanfield.kernel import DriftLaw, dimensions, law_of
from spinodal.meanfield.lagrangian import Circle, Lagrangian, Zonal
from spinodal.meanfield.linear import forecast
from spinodal.meanfield.modes import CircleModes, SphereModes, Start, ZonalModes
from spinodal.meanfield.record import Record, clustering_rate, distance, measured_rates, record_evolution
from spinodal.meanfield.result import (
    Amplitudes,
    DensityResult,
    GrowthRate,
    PatternDistance,
    PatternForecast,
)
from spinodal.meanfield.solver import Solver
from spinodal.meanfield.sphere import Sphere
from spinodal.meanfield.sphere_transport import Distance, distance_on_sphere
from spinodal.meanfield.starts import NOISY_DEGREES, WhiteNoise
from spinodal.meanfield.transport import (
    quantiles_of,
    reference_quantiles,
    wasserstein_of_quantiles,
    wasserstein_to_point,
)
from spinodal.observables import plateaus
from spinodal.types import Progress

DEGREES = {"circle": 64, "zonal": 64, "sphere": NODES}  # recorded; with noise, also kept
SHOWN = 16  # degrees in run.json
ROWS = 400  # times in run.json; the record has all


def solver_of(experiment: DensityExperiment) -> Solver:
    """The solver of an experiment, at its start: panels, harmonics or nodes on S^2, as geometry and noise ask.

    InputError where the start has harmonics above the resolution.
    """
    law, kappa, tolerance = (
        law_of(experiment.field, experiment.d),
        float(experiment.field.kappa),
        experiment.tolerance,
    )
    degrees = experiment.resolution or DEGREES[experiment.geometry]
    start = experiment.start
    if isinstance(start, WhiteNoise):
        # moments need room above the start for what it turns into
        start = start.modes(degrees // 2 if experiment.noisy else NOISY_DEGREES)
    if experiment.sliced and isinstance(start, CircleModes | SphereModes):
        many = {} if experiment.slices is None else {"slices": experiment.slices}
        nodes = experiment.resolution or NODES
        return CausalSlices(law, start, degree=nodes, tolerance=tolerance, **many)
    match start, experiment.noisy:
        case CircleModes(), False:
            return Circle(law, start, tolerance=tolerance, probes=experiment.carried)
        case CircleModes(), True:
            return Fourier(law, start, kappa=kappa, degrees=degrees, tolerance=tolerance)
        case ZonalModes(), False:
            return Zonal(law, start, tolerance=tolerance, probes=experiment.carried)
        case ZonalModes(), True:
            return Gegenbauer(law, start, kappa=kappa, degrees=degrees, tolerance=tolerance)
        case SphereModes(), _:
            return Sphere(law, start, degree=degrees, tolerance=tolerance, probes=experiment.carried)


def theory_rates(law: DriftLaw, kappa: float, k: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """lambda_k = k (k+d-2) (V s a_k / (beta a_0) - 1/kappa), s = clock e^{-beta} a_0, 1 for SA  [bpa2024].

    The rates at which small harmonics of degree k grow from the uniform density, in the time of the field.
    """
    clock = law.law.clock
    scale = (
        1.0 if clock is None else float(np.exp(theory.log_funk_hecke(0, law.d, law.beta) - law.beta) * clock)
    )
    rates = theory.growth_rate_sa(k, law.d, law.beta, value=law.value, kappa=scale * kappa)
    return np.asarray(rates) * scale


def evolve(experiment: DensityExperiment, *, progress: Progress | None = None) -> DensityResult:
    """d_t mu + div(mu X[mu]) = (1 / kappa) Laplacian mu, from the start of the experiment to its end  [bpa2024].

    Solves for the density and measures it: growth rates of its degrees beside theory, a forecast of the first pattern,
    the number of clusters and how long it lasts, and the error of the mass. `progress` is called with the time before
    the first step and after each. InputError where the start is finer than the resolution; ConvergenceError where the
    density is no longer resolved.

    >>> import numpy as np
    >>> from spinodal import meanfield
    >>> from spinodal.flows import AttentionField
    >>> start = meanfield.CircleModes(np.array([0.0, 0.0, 1e-3]), np.zeros(3))
    >>> experiment = meanfield.DensityExperiment(AttentionField(beta=5.0), start, until="diracs")
    >>> result = meanfield.evolve(experiment)
    >>> result.clusters, result.forecast.degree
    (3, 3)
    >>> growth = result.growth_rates[2]
    >>> round(growth.measured / growth.theory, 2)
    1.0
    """
    solver = solver_of(experiment)
    stop = str(experiment.until) if experiment.until in ENDS else "time"
    until = float(experiment.until) if stop == "time" else np.inf

    probes, away = [], []
    wasserstein = distance_to(experiment.reference, solver)

    def show(solver: Solver) -> None:
        if solver.probes is not None:
            probes.append(solver.probes)
        if wasserstein:
            away.append(wasserstein())
        if progress:
            progress(solver.time, until)

    record = record_evolution(
        solver,
        until=until,
        stop=stop,
        degrees=DEGREES[experiment.geometry],
        frame=show,
    )
    tokens, weights = solver.tokens() or (None, None)
    return DensityResult(
        geometry=experiment.geometry,
        d=experiment.d,
        time=float(record.times[-1]),
        steps=len(record.times) - 1,
        mass_error=float(record.mass_error.max()),
        minimum_density=finite(np.nanmin(record.minimum)) if np.isfinite(record.minimum).any() else None,
        inversion=float(record.inversion.max()),
        clusters=int(record.clusters[-1]),
        plateaus=tuple(plateaus(record.times, record.clusters)),
        clustering_rate=finite(clustering_rate(record)),
        record=record,
        map_tail=solver.map_tail(),
        tokens=tokens,
        weights=weights,
        probes=np.stack(probes) if probes else None,
        wasserstein=np.array([each.value for each in away]) if away else None,
        wasserstein_error=np.array([each.error for each in away])
        if away and away[0].error is not None
        else None,
        index=solver.index if isinstance(solver, CausalSlices) else None,
        experiment=experiment,
        **patterns(record, solver.flow, float(experiment.field.kappa)),
    )


def distance_to(reference: Any, solver: Solver) -> Callable[[], Distance] | None:
    """The function that measures W2 of a solver's present density to a reference; None without one."""
    if isinstance(reference, Start | np.ndarray) and isinstance(solver, Lagrangian):
        goal = reference_quantiles(reference, solver)
        return lambda: Distance(wasserstein_of_quantiles(quantiles_of(solver), goal, solver.period))
    if isinstance(reference, np.ndarray) and isinstance(solver, Sphere) and len(reference) == 1:
        return lambda: Distance(wasserstein_to_point(*solver.masses(), reference[0]))
    if isinstance(reference, SphereModes | np.ndarray) and isinstance(solver, Sphere):
        return distance_on_sphere(reference, solver)
    return None


def patterns(record: Record, law: DriftLaw, kappa: float) -> dict[str, Any]:
    """The fields of a result about degrees: growth rates beside theory, the forecast, the distance to it.

    A field that does not commute with rotations has no linear theory of degrees: only their amplitudes are left.
    """
    k = np.arange(1, record.moments.shape[1])
    rows = np.unique(np.linspace(0, len(record.times) - 1, ROWS).astype(int))
    amplitudes = Amplitudes(
        tuple(record.times[rows].tolist()),
        tuple(k[:SHOWN].tolist()),
        tuple(map(tuple, np.abs(record.moments[rows, 1 : SHOWN + 1]).tolist())),
    )
    if law.field is not None:
        return {"growth_rates": (), "forecast": None, "distance_to_pattern": None, "amplitudes": amplitudes}
    rates, measured = theory_rates(law, kappa, k), measured_rates(record)
    told = forecast(record.moments[0, 1:], dimensions(k, law.d), rates)
    grows = np.isfinite(told.time)
    away = distance(record.moments[rows], told.degree, law.d)
    fastest = int(k[np.argmax(rates)])
    return {
        "growth_rates": tuple(
            GrowthRate(int(i), finite(a), float(b))
            for i, a, b in zip(k[:SHOWN], measured[:SHOWN], rates[:SHOWN], strict=True)
        ),
        "forecast": PatternForecast(told.degree, told.time, tuple(told.positions.tolist()), fastest)
        if grows
        else None,
        "distance_to_pattern": PatternDistance(told.degree, tuple(away.tolist())) if grows else None,
        "amplitudes": amplitudes,
    }


def finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
