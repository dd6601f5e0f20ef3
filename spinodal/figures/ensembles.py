"""Pictures of a simulation over many starts: observables with error bars, and how long clusters last."""

import numpy as np
from matplotlib.figure import Figure

from spinodal.figures.flow import COLOURS, time_axis
from spinodal.figures.particles import THEORY, dress_axes, key
from spinodal.figures.simulation import gamma_curve
from spinodal.figures.style import styled
from spinodal.flows import EnsembleResult, LifetimesResult
from spinodal.observables import OBSERVABLES, Scales

MOST = 6  # numbers of clusters that are drawn


@styled
def draw_ensemble(result: EnsembleResult) -> dict[str, Figure]:
    """The figure "observables": a panel each, the mean with two standard errors, and the middle 90 per cent of starts.

    Dashed is the theory of equiangular tokens, where the simulation has its curve.
    """
    simulation = result.experiment
    gamma = None if simulation is None else gamma_curve(simulation, result.times)
    figure = Figure(figsize=(6.4, 0.6 + 2.2 * len(result.values)), layout="constrained")
    grid = figure.subplots(len(result.values), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(grid, result.values, strict=True):
        entry, mean, error = OBSERVABLES[name], result.mean(name), result.standard_error(name)
        dress_axes(axes, title=entry.label)
        low, high = result.quantiles(name, [0.05, 0.95])
        axes.fill_between(
            result.times, low, high, color=COLOURS[0], alpha=0.12, linewidth=0, label="90% of starts"
        )
        axes.fill_between(
            result.times, mean - 2 * error, mean + 2 * error, color=COLOURS[0], alpha=0.35, linewidth=0
        )
        axes.plot(result.times, mean, color=COLOURS[0], label="mean, two standard errors")
        if gamma is not None and simulation is not None and entry.equiangular is not None:
            times, g = gamma
            scales = Scales(float(simulation.field.beta), attention=simulation.attention_weights)
            axes.plot(times, entry.equiangular(g, simulation.n, scales), label="theory", **THEORY)
        key(axes)
    time_axis(grid[-1], result.times)
    return {"observables": figure}


@styled
def draw_lifetimes(result: LifetimesResult) -> dict[str, Figure]:
    """The figure "survival": the share of states of k clusters that last longer than t, for the least numbers k."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    dress_axes(axes, title="share of states that last longer than t, by their number of clusters")
    for i, k in enumerate(np.unique(result.clusters)[:MOST].tolist()):
        times, share = result.survival(k)
        axes.step(times, share, where="post", color=COLOURS[i % len(COLOURS)], label=f"{k} clusters")
    if len(result.clusters):
        axes.set_xscale("log")
        key(axes)
    axes.set(xlabel="t", ylim=(0, 1.02))
    return {"survival": figure}
