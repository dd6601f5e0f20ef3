"""Observables of a simulation over time, with the theory in the same axes."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from spinodal.figures.flow import COLOURS, time_axis
from spinodal.figures.particles import THEORY, dress_axes, key
from spinodal.figures.simulation import gamma_curve
from spinodal.figures.style import styled
from spinodal.flows import Evolution
from spinodal.observables import OBSERVABLES, Scales


@styled
def observables_over_time(
    result: Evolution, values: Mapping[str, Float[np.ndarray, " t"]], scales: Scales
) -> Figure:
    """A panel for each observable, by name; dashed its value along the theory's curve, where there is one."""
    simulation = result.experiment
    gamma = None if simulation is None else gamma_curve(simulation, result.times)
    figure = Figure(figsize=(6.4, 0.6 + 2.2 * len(values)), layout="constrained")
    grid = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, course) in zip(grid, values.items(), strict=True):
        entry = OBSERVABLES[name]
        dress_axes(axes, title=entry.label)
        axes.plot(result.times, course, color=COLOURS[0])
        if gamma is not None and entry.equiangular is not None:
            times, g = gamma
            axes.plot(times, entry.equiangular(g, result.tokens.shape[1], scales), label="theory", **THEORY)
            key(axes)
    time_axis(grid[-1], result.times)
    return figure
