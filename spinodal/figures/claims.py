"""Pictures of a claim: panels of measured points and lines with the theory dashed in the same axes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinodal.figures.particles import COLOURS, THEORY, dress_axes
from spinodal.figures.style import INK, MUTED, PAGE, plain_log_ticks, styled

HEIGHT, WIDTH = 3.5, 4.3
Points = tuple[Float[np.ndarray, "..."], ...]  # x, y, and the standard errors of y where there are any


@dataclass(frozen=True)
class Panel:
    """One panel: {label: (x, y)} or {label: (x, y, standard error)} as dots or lines, and {label: (x, y)} of theory.

    `marks` are vertical lines by their labels, `faint` lines [t n] behind the others, one for each column. A label that
    begins with an underscore is not shown.
    """

    title: str
    xlabel: str
    points: Mapping[str, Points] = field(default_factory=dict)
    lines: Mapping[str, Points] = field(default_factory=dict)
    theory: Mapping[str, Points] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)
    faint: Points | None = None
    scales: tuple[str, str] = ("linear", "linear")
    limits: tuple[float, float] | None = None  # of y
    place: str = "best"  # of the labels


def labelled(label: str, curves: Iterable[Points]) -> dict[str, Points]:
    """Curves of one meaning: the label is that of the first, and the others are not named again."""
    return {f"_{k}" if k else label: points for k, points in enumerate(curves)}


@styled
def draw_claim(panels: Sequence[Panel], *, title: str) -> Figure:
    """The panels of a claim side by side."""
    figure = Figure(figsize=(WIDTH * len(panels), HEIGHT), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw_panel(axes, panel)
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Dots with two standard errors, lines with a band of two, and dashed theory; colours in the order of labels."""
    dress_axes(axes, title=panel.title, xlabel=panel.xlabel, xscale=panel.scales[0], yscale=panel.scales[1])
    labels = list(dict.fromkeys((*panel.lines, *panel.points)))
    colour = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(labels)}
    if panel.faint is not None:
        axes.plot(*panel.faint, color=MUTED, linewidth=0.5, alpha=0.5)
    for label, (x, y, *error) in panel.lines.items():
        axes.plot(x, y, color=colour[label], label=label)
        for e in error:
            axes.fill_between(x, y - 2 * e, y + 2 * e, color=colour[label], alpha=0.25, linewidth=0)
    for label, (x, y, *error) in panel.points.items():
        bars = 2 * error[0] if error else None
        axes.errorbar(x, y, bars, fmt="o", color=colour[label], markersize=3.5, elinewidth=1, label=label)
    for label, (x, y) in panel.theory.items():
        axes.plot(x, y, label=label, **THEORY)
    for label, x in panel.marks.items():
        axes.axvline(x, color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.2, label=label)
    if panel.limits is not None:
        axes.set_ylim(*panel.limits)
    for axis in (axes.xaxis, axes.yaxis):
        plain_log_ticks(axis)
    if axes.get_legend_handles_labels()[1]:
        at: Any = panel.place  # a list of literals to matplotlib's types
        axes.legend(fontsize=8, loc=at, facecolor=PAGE, edgecolor="none", framealpha=0.85)
