"""Densities over time: maps over time and angle, amplitudes of degrees, maps of S^2, branches with noise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from spinodal.figures.style import MAP_INK, MUTED, colour_bar, colours, label_ends, panel, styled
from spinodal.meanfield import DensityResult, smooth_density
from spinodal.observables import Plateau

SEEN = 1e-3  # density that still has a colour, relative to the uniform one
ROUNDING = 1e-13  # an amplitude that is none
DRAWN = 6  # degrees


class Marks(NamedTuple):
    """Marks on a density's map: predicted positions, the time until which they are drawn, and plateaus."""

    positions: Sequence[float]
    until: float
    plateaus: Sequence[Plateau]


def draw_density(result: DensityResult) -> dict[str, Figure]:
    """Pictures by name: "amplitudes" with their linear theory and, but on S^2, "life" with forecast and plateaus."""
    record, rows = result.record, result.growth_rates[:DRAWN]
    degrees = [row.degree for row in rows] or list(range(1, DRAWN + 1))
    rates = np.array([row.theory for row in rows] or [np.nan] * DRAWN)
    figures = {"amplitudes": amplitudes(record.times, np.abs(record.moments[:, degrees]), rates)}
    if result.geometry != "sphere":
        angle, values = smooth_density(record.moments, result.d)
        told = result.forecast
        marks = Marks(told.positions if told else (), told.time if told else 0.0, result.plateaus)
        figures["life"] = life(record.times, angle, values, marks)
    return figures


@styled
def life(
    times: Float[np.ndarray, " t"],
    angle: Float[np.ndarray, " c"],
    values: Float[np.ndarray, "t c"],
    marks: Marks,
) -> Figure:
    """A map of a density over time and angle; dashed: clusters of linear theory; vertical: ends of plateaus.

    Time is logarithmic where the run spans three decades after its linear phase.
    """
    figure, axes = panel(6.4, 3.4)
    t, values = positive_times(times, values)
    mesh = axes.pcolormesh(
        t,
        angle,
        np.log10(np.maximum(values.T, SEEN)),
        shading="nearest",
        cmap="magma_r",
        vmin=-1.0,
        rasterized=True,
    )
    logarithmic = times[-1] > 1e3 * first_mark(times, marks)
    if logarithmic:
        axes.set_xscale("log")
    for position in marks.positions:
        axes.plot(
            [t[0], min(marks.until, t[-1])],
            [position] * 2,
            color=MAP_INK,
            linewidth=1.0,
            linestyle=(0, (4, 3)),
        )
    for plateau in marks.plateaus:
        if not plateau.unfinished:
            axes.axvline(plateau.end, color=MAP_INK, linewidth=0.6)
        middle = np.sqrt(max(plateau.start, t[0]) * plateau.end) if logarithmic else None
        middle = (plateau.start + plateau.end) / 2 if middle is None else middle
        if plateau.clusters and t[0] <= middle <= t[-1]:
            axes.text(
                middle,
                1.01,
                str(plateau.clusters),
                transform=axes.get_xaxis_transform(),
                ha="center",
                fontsize=8,
            )
    axes.set(xlabel="t", ylabel="angle (radians)", xlim=(t[0], t[-1]), ylim=(angle[0], angle[-1]))
    axes.set_title("density; above the map: its number of clusters", pad=16)
    axes.grid(visible=False)
    colour_bar(figure, mesh, axes, label="log10 of density over uniform", shrink=0.8)
    return figure


def positive_times(
    times: Float[np.ndarray, " t"], values: Float[np.ndarray, "t c"]
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, "s c"]]:
    """(times, values) at the positive times, without those that do not increase in double precision."""
    kept = np.append(True, np.diff(times) > 0) & (times > 0)
    return times[kept], values[kept]


def first_mark(times: Float[np.ndarray, " t"], marks: Marks) -> float:
    """The time at which the linear phase ends: the start of the first plateau, or else the end of the run."""
    ends = [p.start for p in marks.plateaus if p.clusters and p.start > 0]
    return min(ends, default=float(times[-1]))


@styled
def amplitudes(
    times: Float[np.ndarray, " t"], size: Float[np.ndarray, "t k"], rates: Float[np.ndarray, " k"]
) -> Figure:
    """|m_k| of degrees 1, 2, ... over time, and dashed what linear theory says of them from the first time on."""
    figure, axes = panel(5.6, 3.4)
    names = [f"k = {k + 1}" for k in range(size.shape[1])]
    colour = colours(names)
    saturated = np.flatnonzero(size.max(1) > 0.3)
    last = min(len(times) - 1, int(1.5 * saturated[0]) + 2) if len(saturated) else len(times) - 1
    shown = times <= max(times[last], 1.2 * times[saturated[0]] if len(saturated) else 0)
    there, ends = size[0] > ROUNDING, size[shown][-1]
    low = max(1e-12, size[0].min(where=there, initial=1e-5) / 3)
    for k, name in enumerate(names):
        axes.plot(times[shown], np.maximum(size[shown, k], 1e-300), color=colour[name])
        if there[k]:
            line = size[0, k] * np.exp(np.minimum(rates[k] * times[shown], 300))
            axes.plot(times[shown], line, color=colour[name], linewidth=0.8, linestyle=(0, (3, 3)))
    axes.set(
        yscale="log",
        ylim=(low, 2),
        xlabel="t",
        title="|m_k|; dashed: linear theory",
    )
    label_ends(axes, {n: float(end) for n, end in zip(names, ends, strict=True) if end > low}, colour)
    return figure


@styled
def sphere_map(values: Float[np.ndarray, "c e"], title: str) -> Figure:
    """Values on rows of latitude from the north pole and columns of longitude, in Mollweide's projection."""
    figure = Figure(figsize=(5.2, 2.9), layout="constrained")
    axes = figure.add_subplot(projection="mollweide")
    latitude = np.pi / 2 - np.linspace(0, np.pi, len(values))
    longitude = np.linspace(-np.pi, np.pi, values.shape[1])
    mesh = axes.pcolormesh(longitude, latitude, values, cmap="magma_r", shading="nearest", rasterized=True)
    axes.set(xticklabels=[], yticklabels=[], title=title)
    colour_bar(figure, mesh, axes, label="density over uniform", shrink=0.7)
    return figure


@styled
def branches(curves: dict[str, tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]]) -> Figure:
    """Order parameter m_1 over kappa / kappa_c of named branches; one that bends left has a jump in m_1."""
    figure, axes = panel(5.0, 3.2)
    colour = colours(curves)
    for name, (kappa, r) in curves.items():
        axes.plot(kappa, r, color=colour[name], label=name)
    axes.axvline(1.0, color=MUTED, linewidth=0.8)
    right = max(float(kappa[-1]) for kappa, _ in curves.values())
    axes.set(
        xlabel="κ / κ_c",
        title="order parameter m_1 of stationary densities",
        ylim=(0, 1),
        xlim=(None, right),
    )
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure
