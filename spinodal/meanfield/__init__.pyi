from .causal import CausalSlices
from .chaos import PropagationOfChaos, propagation_of_chaos, sample_angles
from .eulerian import Fourier, Gegenbauer
from .evolution import evolve, solver_of
from .experiment import DensityExperiment
from .kernel import DriftLaw, dimensions, drift_law
from .lagrangian import Circle, Zonal, tokens
from .linear import SATURATED, Forecast, forecast, saturation_times, winning_probabilities
from .modes import CircleModes, SphereModes, Start, ZonalModes, harmonic_index
from .noise import StationaryBranch, branch_curvature, critical_kappa, stationary_branch
from .record import (
    Record,
    clustering_rate,
    clusters,
    distance,
    measured_rates,
    record_evolution,
    wasserstein_rate,
)
from .result import (
    Amplitudes,
    DensityResult,
    GrowthRate,
    PatternDistance,
    PatternForecast,
)
from .smooth import smooth_density
from .solver import Solver
from .sphere import Sphere
from .starts import (
    WhiteNoise,
    circle_noise,
    circle_values,
    harmonics,
    sphere_noise,
    zonal_noise,
)

__all__ = [
    "SATURATED",
    "Amplitudes",
    "CausalSlices",
    "Circle",
    "CircleModes",
    "DensityExperiment",
    "DensityResult",
    "DriftLaw",
    "Forecast",
    "Fourier",
    "Gegenbauer",
    "GrowthRate",
    "PatternDistance",
    "PatternForecast",
    "PropagationOfChaos",
    "Record",
    "Solver",
    "Sphere",
    "SphereModes",
    "Start",
    "StationaryBranch",
    "WhiteNoise",
    "Zonal",
    "ZonalModes",
    "branch_curvature",
    "circle_noise",
    "circle_values",
    "clustering_rate",
    "clusters",
    "critical_kappa",
    "dimensions",
    "distance",
    "drift_law",
    "evolve",
    "forecast",
    "harmonic_index",
    "harmonics",
    "measured_rates",
    "propagation_of_chaos",
    "record_evolution",
    "sample_angles",
    "saturation_times",
    "smooth_density",
    "solver_of",
    "sphere_noise",
    "stationary_branch",
    "tokens",
    "wasserstein_rate",
    "winning_probabilities",
    "zonal_noise",
]
