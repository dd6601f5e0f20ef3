from .chaos import Chaos, chaos, sampled
from .eulerian import Fourier, Gegenbauer
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
from .sphere import Sphere
from .starts import (
    CircleModes,
    SphereModes,
    Start,
    ZonalModes,
    circle_noise,
    circle_values,
    packed,
    sphere_noise,
    zonal_noise,
)

__all__ = [
    "SATURATED",
    "Branch",
    "Chaos",
    "Circle",
    "CircleModes",
    "Flow",
    "Forecast",
    "Fourier",
    "Gegenbauer",
    "Record",
    "Sphere",
    "SphereModes",
    "Start",
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
    "flow",
    "forecast",
    "measured_rates",
    "packed",
    "recorded",
    "sampled",
    "saturation_times",
    "sphere_noise",
    "tokens",
    "winning_probabilities",
    "zonal_noise",
]
