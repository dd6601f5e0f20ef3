from .chaos import Chaos, chaos, sampled
from .eulerian import Fourier, Gegenbauer
from .evolution import evolve, solver_of
from .experiment import DensityExperiment
from .kernel import Flow, dimensions, flow
from .lagrangian import Circle, Zonal, tokens
from .linear import SATURATED, Forecast, forecast, saturation_times, winning_probabilities
from .noise import Branch, bending, branch, critical_kappa
from .record import (
    Record,
    clustering_rate,
    clusters,
    distance,
    measured_rates,
    recorded,
)
from .result import (
    Amplitudes,
    DensityResult,
    GrowthRate,
    PatternDistance,
    PatternForecast,
)
from .solver import Solver
from .sphere import Sphere
from .starts import (
    CircleModes,
    SphereModes,
    Start,
    WhiteNoise,
    ZonalModes,
    circle_noise,
    circle_values,
    harmonics,
    packed,
    sphere_noise,
    zonal_noise,
)

__all__ = [
    "SATURATED",
    "Amplitudes",
    "Branch",
    "Chaos",
    "Circle",
    "CircleModes",
    "DensityExperiment",
    "DensityResult",
    "Flow",
    "Forecast",
    "Fourier",
    "Gegenbauer",
    "GrowthRate",
    "PatternDistance",
    "PatternForecast",
    "Record",
    "Solver",
    "Sphere",
    "SphereModes",
    "Start",
    "WhiteNoise",
    "Zonal",
    "ZonalModes",
    "bending",
    "branch",
    "chaos",
    "circle_noise",
    "circle_values",
    "clustering_rate",
    "clusters",
    "critical_kappa",
    "dimensions",
    "distance",
    "evolve",
    "flow",
    "forecast",
    "harmonics",
    "measured_rates",
    "packed",
    "recorded",
    "sampled",
    "saturation_times",
    "solver_of",
    "sphere_noise",
    "tokens",
    "winning_probabilities",
    "zonal_noise",
]
