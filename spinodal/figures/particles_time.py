"""Clusters in time: counts on the circle, the staircase of the energy, long waits, and six layer norms.

Measured is drawn in colour, with standard errors where there are samples; the theory dashed in the same axes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from spinodal.figures.particles import COLOURS, THEORY, dress_axes, key
from spinodal.figures.style import INK, MUTED, styled


class Circles(NamedTuple):
    """Clusters of many systems on the circle, at one beta.

    `shares` are of systems with 1, 2, ... clusters at `time`, a row for each epsilon; `ceiling` is 2 pi over the
    angle from which two equal clusters merge within a time.
    """

    beta: float
    time: float
    angles: Float[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    shares: dict[str, Float[np.ndarray, " k"]]
    samples: int
    times: Float[np.ndarray, " t"]
    mean: Float[np.ndarray, " t"]
    error: Float[np.ndarray, " t"]
    ceiling: Float[np.ndarray, " t"]
    fastest: int


@styled
def cluster_counts(circles: Sequence[Circles], *, title: str) -> Figure:
    """One row for each beta: one system, the distribution of cluster counts, and the mean count over time."""
    figure = Figure(figsize=(9.2, 0.5 + 2.75 * len(circles)), layout="constrained")
    grid = figure.subplots(len(circles), 3, width_ratios=(0.75, 1, 1.25), squeeze=False)
    for (one, bars, course), c in zip(grid, circles, strict=True):
        on_circle(one, c.angles, c.labels)
        one.set_title(f"β = {c.beta:g}, t = {c.time:g}", x=0.1)
        dress_axes(
            bars, xlabel="clusters", title=f"share of {c.samples} starts, β = {c.beta:g}, t = {c.time:g}"
        )
        width = 0.8 / len(c.shares)
        for k, (name, share) in enumerate(c.shares.items()):
            place = np.arange(1, len(share) + 1) + width * (k - (len(c.shares) - 1) / 2)
            error = np.sqrt(share * (1 - share) / c.samples)
            bars.bar(place, share, width, color=COLOURS[k], label=f"1 - cos ≤ {name}")
            bars.errorbar(place, share, error, fmt="none", ecolor=INK, elinewidth=0.9)
        bars.plot(c.fastest, 0, "^", color=INK, markersize=9, clip_on=False, label="fastest mode", zorder=5)
        bars.set_xticks(range(1, 1 + max(len(share) for share in c.shares.values())))
        if c is circles[0]:
            key(bars, "upper right")
        dress_axes(course, xlabel="t", title=f"mean number of clusters, β = {c.beta:g}")
        course.loglog(c.times, c.mean, color=COLOURS[0])
        course.fill_between(
            c.times, c.mean - 2 * c.error, c.mean + 2 * c.error, color=COLOURS[0], alpha=0.3, linewidth=0
        )
        course.axhline(c.fastest, label="fastest mode", **THEORY)
        course.plot(c.times, c.ceiling, color=COLOURS[1], linestyle=(0, (4, 2)), label="room: 2π / u")
        course.axvline(c.time, ymax=0.6, color=MUTED, linewidth=0.8)
        course.set_ylim(bottom=1)
        ticks = [1, 2, 3, 4, 6, 10, 20, 32]
        course.set_yticks(ticks, [str(k) for k in ticks])
        course.minorticks_off()
        key(course, "upper right")
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


def on_circle(axes: Axes, angles: Float[np.ndarray, " n"], labels: Int[np.ndarray, " n"]):
    """Draws tokens on the circle in the colours of their clusters, with larger dots for larger clusters."""
    axes.set_axis_off()
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
    axes.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=MUTED, linewidth=0.8))
    tint = [COLOURS[k % len(COLOURS)] for k in labels]
    axes.scatter(
        np.cos(angles),
        np.sin(angles),
        s=25 * np.sqrt(np.bincount(labels)[labels]),
        c=tint,
        linewidths=0,
        clip_on=False,
    )


class Stairs(NamedTuple):
    """The energy's `level` at times log(t) / beta, and these times of merges, measured and predicted."""

    beta: float
    times: Float[np.ndarray, " t"]
    level: Float[np.ndarray, " t"]
    merges: Float[np.ndarray, " k"]
    predicted: Float[np.ndarray, " k"]


@styled
def staircase(
    stairs: Sequence[Stairs],
    limits: Float[np.ndarray, " k"],
    levels: Float[np.ndarray, " l"],
    *,
    title: str,
) -> Figure:
    """The level of the energy over rescaled time; its limit beta -> inf jumps to levels[k + 1] at limits[k]."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    end = 1.12 * limits[-1]
    dress_axes(left, xlabel="log(t) / β", title="2βE exp(-β)")
    for colour, s in zip(COLOURS, stairs, strict=False):
        left.plot(s.times, s.level, color=colour, label=f"β = {s.beta:g}", linewidth=1.4)
    left.stairs(levels, [0, *limits, end], baseline=None, label="β → ∞", **THEORY)
    left.set(xlim=(0, end), ylim=(0, 1.05))
    key(left, "upper left")
    dress_axes(right, xlabel="1000 / β", title="log(t) / β of each merge")
    for colour, s in zip(COLOURS, stairs, strict=False):
        right.plot(np.full(len(s.merges), 1000 / s.beta), s.merges, "o", color=colour, markersize=5)
    inverse = np.array([0.0, *(1000 / s.beta for s in reversed(stairs))])
    for k, limit in enumerate(limits):
        right.plot(inverse, [limit, *(s.predicted[k] for s in reversed(stairs))], **THEORY)
    right.plot([], [], label="pair on its own; 1 - cos u at 0", **THEORY)
    right.set_xlim(left=0)
    right.margins(y=0.2)
    key(right, "upper left")
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


@styled
def long_waits(
    times: Float[np.ndarray, " t"],
    angles: Float[np.ndarray, "t n"],
    merges: Float[np.ndarray, " k"],
    waits: Mapping[str, Float[np.ndarray, "m 4"]],
    *,
    title: str,
) -> Figure:
    """Angles over time with the merges; waits for the last merge and their steps, one curve for each start.

    Rows of `waits` are (beta, measured wait, that of the closed form, steps of the integrator).
    """
    figure = Figure(figsize=(9.4, 3.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.3, 1.1, 0.9))
    dress_axes(left, xlabel="t", title="angles (radians); lines: merges")
    for merge in merges:
        left.axvline(merge, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1)))
    left.semilogx(times, angles, color=COLOURS[0], linewidth=1.2)
    dress_axes(middle, xlabel="β", title="wait for the last merge")
    dress_axes(right, xlabel="β", title="steps to consensus")
    for colour, (name, rows) in zip(COLOURS, waits.items(), strict=False):
        beta, measured, expected, steps = rows.T
        middle.semilogy(beta, measured, "o", color=colour, markersize=4, label=name)
        middle.semilogy(beta, expected, **THEORY)
        right.plot(beta, steps, "o-", color=colour, markersize=4, linewidth=1)
    middle.plot([], [], label="two clusters, closed form", **THEORY)
    key(middle, "upper left")
    right.set_ylim(bottom=0)
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


class Scheme(NamedTuple):
    """1 - g of one scheme, measured and by its scalar equation, and the tail that it tends to."""

    times: Float[np.ndarray, " t"]
    measured: Float[np.ndarray, " t"]
    expected: Float[np.ndarray, " t"]
    tail: Float[np.ndarray, " t"]
    slope: float


@styled
def normalisations(schemes: Mapping[str, Scheme], *, title: str) -> Figure:
    """The common cosine with its slope at 0, and the tail of 1 - g: dots measured, lines theory."""
    figure = Figure(figsize=(9.2, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    dress_axes(left, xlabel="t", title="cosine g of all pairs; dotted: slope at 0")
    dress_axes(right, xlabel="t", title="1 - g; dashed: asymptotic tail")
    for colour, (name, s) in zip(COLOURS, schemes.items(), strict=False):
        t, few = s.times, slice(None, None, 7)
        left.plot(t, 1 - s.expected, color=colour, linewidth=1.1)
        left.plot(t[few], 1 - s.measured[few], "o", color=colour, markersize=3.5, label=name)
        near = t[t * s.slope <= 0.4]
        left.plot(near, s.slope * near, color=colour, linewidth=0.8, linestyle=(0, (1, 1)))
        right.loglog(t, s.expected, color=colour, linewidth=1.1)
        right.loglog(t[few], s.measured[few], "o", color=colour, markersize=3.5)
        late = s.tail < 0.3
        right.loglog(t[late], s.tail[late], **THEORY)
    left.set(xlim=(0, 25), ylim=(0, 1.02))
    right.set(ylim=(1e-9, 2))
    key(left, "lower right")
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure
