"""Tokens as a density: how a uniform cloud of infinitely many tokens breaks up, and where it ends.

file        what                                                  where
kernel      the flow, eigenvalues of its kernel                   any d
solver      what all solvers show after a step                    any d
starts      modes and white noise, checked                        circle, zonal, sphere
lagrangian  `Circle`, `Zonal`: exact through the birth of Diracs  d = 2; any d about an axis
panels      their hp mesh of labels
sphere      `Sphere`: Gauss nodes that move, density along paths  d = 3
eulerian    `Fourier`, `Gegenbauer`: moments; linear phase, noise d = 2; any d about an axis
linear      which pattern wins, when, where, how often
noise       stationary densities, continuous or by a jump         any d about an axis
record      moments, clusters, mass and width after every step
chaos       finitely many random tokens against the density       circle
"""

from spinodal.meanfield.chaos import Chaos, chaos, sampled
from spinodal.meanfield.eulerian import Fourier, Gegenbauer
from spinodal.meanfield.kernel import Flow, dimensions, flow
from spinodal.meanfield.lagrangian import Circle, Zonal, tokens
from spinodal.meanfield.linear import SATURATED, Forecast, forecast, saturation_times, winning_probabilities
from spinodal.meanfield.noise import Branch, bending, branch, critical_kappa
from spinodal.meanfield.record import (
    Record,
    clustering_rate,
    clusters,
    distance,
    measured_rates,
    recorded,
)
from spinodal.meanfield.sphere import Sphere
from spinodal.meanfield.starts import (
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
