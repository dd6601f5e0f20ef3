"""Tokens on spheres, one figure for each flow: trails, and observables with the theory dashed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinodal.figures.files import save_picture
from spinodal.figures.globe import dots, globe, trails, view_rotation
from spinodal.figures.style import INK, MODELS, MUTED, RULE, styled

COLOURS = tuple(light for light, _ in MODELS.values())
THEORY = {"color": INK, "linestyle": (0, (4, 2)), "linewidth": 1.1, "zorder": 4}
DPI = 100


def save(figure: Figure, path: Path) -> None:
    save_picture(figure, path, dpi=DPI)


def dress_axes(axes: Axes, **names: str) -> Axes:
    """Sets ticks and grid as in all figures, and labels and title by `names`; returns the axes."""
    axes.tick_params(which="both", colors=MUTED, labelsize=8)
    axes.tick_params(length=3)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set(**names)
    return axes


def key(axes: Axes, place: str = "best") -> None:
    axes.legend(frameon=False, fontsize=8, loc=place)  # pyright: ignore


@styled
def consensus(
    times: Float[np.ndarray, " t"],
    tokens: Float[np.ndarray, "t n 3"],
    level: Float[np.ndarray, " t"],
    deficit: Float[np.ndarray, " t"],
    *,
    title: str,
) -> Figure:
    """Trails on S^2; the energy over its maximum; 1 - min <x_i, x_j> beside e^{-2t}, through its last value.

    `level` is 2 beta E e^{-beta}; `deficit` must be positive at the end.
    """
    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.1))
    sphere = figure.add_subplot(grid[:, 0])
    R = view_rotation(tokens[-1].mean(0))
    globe(sphere, R)
    trails(sphere, tokens @ R.T, COLOURS[0])
    dots(sphere, tokens[0] @ R.T, COLOURS[0], 9.0)
    dots(sphere, tokens[-1] @ R.T, COLOURS[1], 46.0)
    energy = dress_axes(figure.add_subplot(grid[0, 1]), title="energy over its maximum, 2βE exp(-β)")
    energy.plot(times, level, color=COLOURS[0])
    energy.axhline(1, **THEORY)
    energy.tick_params(labelbottom=False)
    widest = dress_axes(figure.add_subplot(grid[1, 1]), title="1 - least cosine of a pair", xlabel="t")
    widest.semilogy(times, deficit, color=COLOURS[0])
    late = times >= times[-1] / 3
    widest.semilogy(
        times[late], deficit[-1] * np.exp(2 * (times[-1] - times[late])), label="exp(-2t)", **THEORY
    )
    key(widest)
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


@styled
def causal(
    times: Float[np.ndarray, " t"],
    tokens: Float[np.ndarray, "t n 3"],
    second: Float[np.ndarray, " t"],
    *,
    title: str,
) -> Figure:
    """Trails on S^2 to the first token; angles to it, and `second`, the theory's angle of the second token."""
    figure = Figure(figsize=(8.4, 3.7), layout="constrained")
    sphere, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    R = view_rotation(tokens[0, 0])
    globe(sphere, R)
    trails(sphere, tokens[:, 1:] @ R.T, COLOURS[0])
    dots(sphere, tokens[0, 1:] @ R.T, COLOURS[0], 9.0)
    dots(sphere, tokens[0, :1] @ R.T, COLOURS[1], 60.0)
    dress_axes(right, xlabel="t", title="angle to the first token")
    angles = 2 * np.arcsin(np.linalg.norm(tokens - tokens[:, :1], axis=-1) / 2)
    right.semilogy(times, angles[:, 2:], color=COLOURS[0], linewidth=0.5, alpha=0.5)
    right.semilogy(times, angles[:, 1], color=COLOURS[1], linewidth=2.4, label="token 2")
    right.semilogy(times, second, label="token 2, closed form", **THEORY)
    top = angles[:, 1:].max(1)
    late = times >= 0.4 * times[-1]
    slope = 3 * top[late][0] * np.exp(-(times[late] - times[late][0]) / 2)
    right.semilogy(times[late], slope, color=MUTED, linestyle=(0, (1, 1)), linewidth=1.2, label="exp(-t/2)")
    right.set_ylim(bottom=max(angles[-1, 1:].min(), 1e-12) / 3)
    key(right)
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


@styled
def optimal_points(
    points: Mapping[str, Float[np.ndarray, "_ 3"]],
    overlaps: Mapping[str, Float[np.ndarray, " _"]],
    *,
    title: str,
) -> Figure:
    """Points on S^2, nearest neighbours joined; below each its sorted inner products, on those of the theory."""
    figure = Figure(figsize=(2.25 * len(points), 4.1), layout="constrained")
    grid = figure.subplots(2, len(points), height_ratios=(1.25, 1), squeeze=False)
    R = view_rotation(np.array([0.35, 0.5, 0.79]), 0.0)
    for above, below, (name, x) in zip(*grid, points.items(), strict=True):
        globe(above, R)
        above.set_title(name)
        cosines, pairs = x @ x.T, np.triu_indices(len(x), 1)
        nearest = cosines[pairs] > cosines[pairs].max() - 1e-2
        for i, j in np.stack(pairs, 1)[nearest & (cosines[pairs] > -0.99)]:
            trails(above, (x[[i, j]] @ R.T)[:, None], COLOURS[0], width=1.4)
        dots(above, x @ R.T, COLOURS[1], 44.0)
        dress_axes(below, xlabel="pair")
        for value in overlaps[name]:
            below.axhline(value, **THEORY)
        found = np.sort(cosines[pairs])
        below.plot(np.arange(1, len(found) + 1), found, ".", color=COLOURS[1], markersize=7)
        below.set(ylim=(-1.12, 0.62), xlim=(0, len(found) + 1))
    grid[1, 0].set_ylabel("inner product")
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure
