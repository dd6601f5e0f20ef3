"""Figures of iterated layers, and of the checkpoints of a run: numbers by layer, and by step and layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spinodal.figures.style import (
    INK,
    MODELS,
    MUTED,
    colour_bar,
    colours,
    label_ends,
    panel,
    plain_log_ticks,
    printable,
    styled,
)
from spinodal.watch import Course, FixedPoint, IterationResult, TrainingSeriesResult
from spinodal.watch.iteration import NUMBERS
from spinodal.watch.training_series import SERIES

WIDTH, HEIGHT = 5.2, 3.1
LABELS = {
    "groups": "groups in a text",
    "mean_cosine": "mean cosine of two tokens",
    "effective_rank": "effective rank",
    "residual": "step |x(k+1) - x(k)| / |x(k)|",
}
SERIES_LABELS = {
    "clusters": "clusters in a text", "effective_rank": "effective rank", "energy": "energy, 1 at consensus",
    "mean_cosine": "mean cosine of two tokens",
}  # fmt: skip
CURVES = 6  # that can be told apart in one figure


def draw_iteration(result: IterationResult) -> dict[str, Figure]:
    """One figure a number by layer, all courses in it, and "exponents" and "fixed_points", a dot a text."""
    figures = {name: numbers_by_layer(result, name) for name in NUMBERS}
    figures["exponents"] = exponents_of_texts(result)
    if any(course.fixed_points for course in result.courses.values()):
        figures["fixed_points"] = fixed_points(result)
    return figures


@styled
def numbers_by_layer(result: IterationResult, name: str) -> Figure:
    """Means over texts on a logarithmic axis of layers, with bands of two standard errors."""
    figure, axes = panel(WIDTH, HEIGHT)
    courses = dict(list(result.courses.items())[:CURVES])
    colour, ends = colours(courses), {}
    for who, course in courses.items():
        x, y, error = course.layers + 1, course.mean(name), course.error(name)
        axes.plot(x, y, color=colour[who])
        if np.isfinite(error).any():
            axes.fill_between(x, y - 2 * error, y + 2 * error, color=colour[who], alpha=0.18, linewidth=0)
        ends[who] = float(y[-1])
    axes.axvline(result.stack.layers + 1, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)))
    axes.set(
        xscale="log", xlabel=f"layer + 1 (dashed: the {result.stack.layers} of the model)", title=LABELS[name]
    )
    if name == "residual" and all((course.mean(name) > 0).all() for course in courses.values()):
        axes.set_yscale("log")
        plain_log_ticks(axes.yaxis)
    label_ends(axes, ends, colour)
    return figure


@styled
def exponents_of_texts(result: IterationResult) -> Figure:
    """Lyapunov exponents, a dot a text and a bar at the mean; below 0 near streams draw together."""
    figure, axes = panel(WIDTH, 1.2 + 0.32 * len(result.courses))
    for row, course in enumerate(result.courses.values()):
        _dots(axes, row, course.exponent.of_texts, list(MODELS.values())[row % len(MODELS)][0])
        axes.plot([course.exponent.mean] * 2, [row - 0.3, row + 0.3], color=INK, linewidth=1.4)
    axes.axvline(0, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)))
    _rows(axes, result.courses)
    axes.set(title="Lyapunov exponent, a layer")
    return figure


@styled
def fixed_points(result: IterationResult) -> Figure:
    """|multiplier| of every fixed point that was found, by its number of groups; above 1 it is unstable."""
    figure, axes = panel(WIDTH, HEIGHT)
    colour, ends = colours(result.courses), {}
    for name, course in result.courses.items():
        found = [(p.groups, p.multiplier) for p in course.fixed_points if _shown(p)]
        if found:
            groups, multipliers = np.array(found, dtype=float).T
            axes.plot(groups, multipliers, "o", color=colour[name], alpha=0.6)
            ends[name] = float(np.median(multipliers))
    axes.axhline(1, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)))
    axes.set(xlabel="groups of the fixed point", title="largest |eigenvalue| of a step; dashed: stability")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_ends(axes, ends, colour)
    return figure


def _shown(point: FixedPoint) -> bool:
    return point.converged and point.groups is not None and point.multiplier is not None


def _dots(axes, row: int, values: Sequence[float], colour: str) -> None:
    axes.plot(
        values, np.full(len(values), row), "o", color=colour, alpha=0.5, markersize=5, markeredgewidth=0
    )


def _rows(axes, courses: dict[str, Course]) -> None:
    axes.set_yticks(range(len(courses)), [printable(name) for name in courses])
    axes.set_ylim(len(courses) - 0.5, -0.5)


def draw_series(result: TrainingSeriesResult) -> dict[str, Figure]:
    """One picture a number, by step of training and layer."""
    return {name: number_by_step(result, name) for name in SERIES}


@styled
def number_by_step(result: TrainingSeriesResult, name: str) -> Figure:
    """A map of one number: steps of training to the right, layers upward."""
    figure, axes = panel(WIDTH, HEIGHT)
    axes.grid(visible=False)
    values = getattr(result, name).T
    steps = np.arange(len(result.steps) + 1)
    mesh = axes.pcolormesh(
        steps, np.arange(len(result.layers) + 1) - 0.5, values, cmap="viridis", rasterized=False
    )
    every = max(1, len(result.steps) // 8)
    axes.set_xticks(steps[:-1:every] + 0.5, [f"{step}" for step in result.steps[::every]])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="step of training", ylabel="layer (0: what enters the first)", title=SERIES_LABELS[name])
    colour_bar(figure, mesh, axes)
    return figure
