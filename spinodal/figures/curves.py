"""Curves of training: losses and residuals, one line for each model, with a band over its seeds."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from spinodal.figures.runs import Band, Curve, Runs, band, curve, finished_runs, number, thin_curve
from spinodal.figures.style import label_ends, panel, styled
from spinodal.training import TrainingRun

WIDTH, HEIGHT = 4.8, 3.0
TITLES = {
    "F": "F, distance from phase equilibrium (RMS over mixtures)",
    "spread": "spread of log K over tokens (standard deviation, nats)",
    "g1": "g1, distance from mass action (RMS, nats)",
    "g2": "g2, parity left over by signed compositions (RMS)",
}


@styled
def loss_over_steps(runs: Runs, colour: dict[str, str]) -> Figure:
    """Held-out loss against steps, mean and range over seeds; training loss of every seed, faint.

    An unfinished run is no part of the mean and gets a dashed line of its own.
    """
    return losses(runs, colour, lambda c: c.steps, "optimiser steps")


@styled
def loss_over_time(runs: Runs, colour: dict[str, str]) -> Figure:
    """Held-out and training loss against the time that training took, as `loss_over_steps` has them against steps.

    In seconds, minutes or hours, whichever suits the longest run.
    """
    every = [row.get("seconds") or 0.0 for seeds in runs.values() for run in seeds for row in run.metrics]
    units = {"seconds": 1, "minutes": 60, "hours": 3600}
    unit = [name for name, size in units.items() if max(every, default=0.0) >= 2 * size or size == 1][-1]
    return losses(runs, colour, lambda c: c.seconds / units[unit], f"{unit} of training")


def losses(runs: Runs, colour: dict[str, str], x: Callable[[Curve | Band], np.ndarray], label: str) -> Figure:
    figure, axes = panel(WIDTH, HEIGHT)
    for model, seeds in runs.items():
        for run in seeds:
            c = thin_curve(curve(run, "loss"))
            axes.plot(x(c), c.values, color=colour[model], linewidth=0.6, alpha=0.35)
    ends = {
        model: draw_seeds(axes, seeds, "held_out_loss", colour[model], x) for model, seeds in runs.items()
    }
    axes.set(xlabel=label, title="held-out loss (nats a predicted token); faint: training loss")
    axes.set_xlim(left=0)
    top = frame_top(runs)
    if np.isfinite(top):
        bottom = axes.dataLim.ymin
        margin = 0.04 * (top - bottom) or 0.5
        axes.set_ylim(bottom - margin, top + margin)
    label_ends(axes, ends, colour)
    return figure


def frame_top(runs: Runs) -> float:
    """The greatest of the runs' first finite held-out losses after a fifth of their steps.

    The first descent, which is the same for all, may leave the frame, and so does what diverges.
    """
    firsts = []
    for c in (curve(run, "held_out_loss") for seeds in runs.values() for run in seeds):
        firsts += [y for y in c.values[c.steps >= 0.2 * c.steps.max(initial=0)] if np.isfinite(y)][:1]
    return max(firsts, default=np.nan)


@styled
def final_losses(runs: Runs, colour: dict[str, str]) -> Figure:
    """Held-out loss at the end of training, in nats a predicted token: a dot for every run, and the means of models."""
    return dots(runs, colour, "held_out_loss", "held-out loss at the end (nats a predicted token)")


@styled
def speeds(runs: Runs, colour: dict[str, str]) -> Figure:
    """The speed of training, in thousands of tokens a second: a dot for every finished run, and each model's mean.

    `runs` are those of each model by its name, a run for each seed, and `colour` the colours of the models.
    """
    return dots(runs, colour, "tokens_per_second", "speed of training (thousands of tokens a second)", 1e-3)


def dots(runs: Runs, colour: dict[str, str], key: str, label: str, unit: float = 1.0) -> Figure:
    figure, axes = panel(WIDTH, 0.75 + 0.34 * len(runs))
    for row, (model, seeds) in enumerate(runs.items()):
        ends = unit * np.array([number(run.final.get(key)) for run in finished_runs(seeds)])
        rows = np.full(len(ends), row)
        axes.plot(ends, rows, "o", color=colour[model], alpha=0.6, markersize=7, markeredgewidth=0)
        if len(ends):
            axes.plot(ends.mean(), row, "|", color=colour[model], markersize=16, markeredgewidth=1.6)
    axes.set_yticks(range(len(runs)), list(runs))
    for name, model in zip(axes.get_yticklabels(), runs, strict=True):
        name.set(color=colour[model], parse_math=False)
    axes.set(ylim=(len(runs) - 0.4, -0.6), title=label)
    axes.margins(x=0.12)
    return figure


@styled
def residual_curves(runs: Runs, colour: dict[str, str], name: str) -> Figure:
    """One residual against steps, for the models that report it; the scale is logarithmic if any is positive."""
    figure, axes = panel(WIDTH, HEIGHT)
    have = {model: [r for r in seeds if len(curve(r, name).steps)] for model, seeds in runs.items()}
    ends = {
        model: draw_seeds(axes, seeds, name, colour[model], lambda c: c.steps)
        for model, seeds in have.items()
    }
    axes.set(xlabel="optimiser steps", title=TITLES.get(name, name))
    axes.set_xlim(left=0)
    if np.isfinite(axes.dataLim.minposy):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7), numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    label_ends(axes, ends, colour)
    return figure


def draw_seeds(
    axes: Axes, seeds: list[TrainingRun], key: str, colour: str, x: Callable[[Curve | Band], np.ndarray]
) -> float:
    """Draws one quantity over the seeds of a model; returns its last finite value, for the label, or NaN."""
    whole = [thin_curve(c) for c in (curve(run, key) for run in finished_runs(seeds)) if len(c.steps)]
    parts = [thin_curve(c) for c in (curve(run, key) for run in seeds if not run.finished) if len(c.steps)]
    marker = "o" if max((len(c.steps) for c in whole + parts), default=0) <= 24 else ""
    style = {"color": colour, "marker": marker, "markersize": 3.5}
    for c in parts:
        axes.plot(x(c), c.values, linestyle=(0, (2, 2)), linewidth=1.2, **style)
    drawn = [c.values for c in parts]
    if whole:
        b = band(whole)
        axes.plot(x(b), b.mean, **style)
        drawn.append(b.mean)
        if len(whole) > 1:
            axes.fill_between(x(b), b.low, b.high, color=colour, alpha=0.18, linewidth=0)
    ends = [y[np.isfinite(y)][-1] for y in drawn if np.isfinite(y).any()]
    return float(ends[-1]) if ends else np.nan
