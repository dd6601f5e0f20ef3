"""Phase diagrams of token flows, and the curves that theory draws into them."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from spinodal import theory
from spinodal.figures.style import INK, MAP_PAGE, MAP_THEORY, MODELS, MUTED, RULE, colour_bar, styled
from spinodal.flows.ensembles import Diagram, DiagramResult

COLUMNS = 3


def meeting_times(
    betas: Float[np.ndarray, " b"],
    clock: tuple[str, float],
    *,
    n: int,
    field: str,
    threshold: float,
    end: float,
) -> Float[np.ndarray, " b"]:
    """t(beta) at which n equiangular tokens, orthonormal at t = 0, have the cosine `threshold`; NaN after `end`.

    On the clock ("layer", step) or ("ode", tolerance).
    """
    if clock[0] == "ode":
        slow = {"sa": theory.gamma_time_sa, "usa": theory.gamma_time_usa, "gkpr": theory.gamma_time_usa}[
            field
        ]
        times = np.asarray(slow(threshold, n, betas)) * (np.exp(betas) if field == "gkpr" else 1)
        return np.where(times <= end, times, np.nan)
    step = clock[1]
    layers = round(end / step)
    layered = theory.layer_gamma if field == "sa" else theory.layer_gamma_usa
    steps = step * np.exp(-betas) if field == "gkpr" else np.full(len(betas), step)
    columns = [layered(layers, n, float(beta), float(h)) for beta, h in zip(betas, steps, strict=True)]
    gammas = np.stack([np.asarray(column) for column in columns], 1)
    return crossing(step * np.arange(layers + 1), gammas, threshold)


def crossing(
    t: Float[np.ndarray, " t"], values: Float[np.ndarray, "t b"], level: float
) -> Float[np.ndarray, " b"]:
    """The first time at which a column reaches `level`, linear in between; NaN where none does."""
    first = np.argmax(values >= level, 0)
    column, before = np.arange(values.shape[1]), np.maximum(first - 1, 0)
    low, high = values[before, column], values[first, column]
    share = np.where(high > low, (level - low) / np.where(high > low, high - low, 1), 0)
    return np.where((values >= level).any(0), t[before] + share * (t[first] - t[before]), np.nan)


def relative_contour(
    t: Float[np.ndarray, " t"], probability: Float[np.ndarray, "t b"], curve: Float[np.ndarray, " b"]
) -> float | None:
    """Median over beta of (the time of P = 1/2) / (the theory's); None where they share no beta."""
    ratio = crossing(t, probability, 0.5) / curve
    found = ratio[np.isfinite(ratio)]
    return float(np.median(found)) if len(found) else None


def theory_curve(diagram: Diagram) -> Float[np.ndarray, " b"]:
    """`meeting_times` of the tokens of a diagram, on its clock and up to its last time."""
    return meeting_times(
        np.array(diagram.betas), diagram.clock, n=diagram.n, field=diagram.field, threshold=diagram.threshold,
        end=diagram.times[-1],
    )  # fmt: skip


def contour_over_theory(result: DiagramResult) -> dict[int, float | None]:
    """`relative_contour` of each dimension."""
    curve, times = theory_curve(result.diagram), np.array(result.diagram.times)
    pairs = zip(result.diagram.d, result.probability, strict=True)
    return {d: relative_contour(times, probability, curve) for d, probability in pairs}


def diagram_arrays(result: DiagramResult) -> dict[str, Float[np.ndarray, "..."] | Int[np.ndarray, " k"]]:
    """{name: array} for map.npz: axes t, beta and d, the theory's curve, the maps of all d and of each d."""
    diagram = result.diagram
    found = {"probability": result.probability, "standard_error": result.standard_error}
    axes = {"t": np.array(diagram.times), "beta": np.array(diagram.betas), "d": np.array(diagram.d)}
    each = {f"{name}_{d}": values[k] for k, d in enumerate(diagram.d) for name, values in found.items()}
    return axes | {"theory": theory_curve(diagram)} | found | each


def draw_diagram(result: DiagramResult) -> dict[str, Figure]:
    """The figure "map": the maps of a diagram, one panel for each dimension, with the theory's curve."""
    diagram = result.diagram
    panels = {
        f"d = {d}, standard error ≤ {error.max():.3f}": probability
        for d, probability, error in zip(diagram.d, result.probability, result.standard_error, strict=True)
    }
    kind, value = diagram.clock
    clock = f"layer clock of step {value:g}" if kind == "layer" else "ode clock"
    title = f"{diagram.field.upper()}, n = {diagram.n}, {diagram.samples} starts, {clock}"
    axes = np.array(diagram.times), np.array(diagram.betas)
    return {"map": phase_maps(*axes, panels, title=title, curve=theory_curve(diagram))}


@styled
def phase_maps(
    t: Float[np.ndarray, " t"],
    betas: Float[np.ndarray, " b"],
    panels: dict[str, Float[np.ndarray, "t b"]],
    *,
    title: str,
    curve: Float[np.ndarray, " b"] | None = None,
) -> Figure:
    """P(t, beta), one panel for each map, with the contour P = 1/2 and the curve of the theory."""
    columns = 2 if len(panels) == 4 else min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(0.9 + 2.7 * columns, 0.9 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    mesh = None
    for axes, (name, probability) in zip(grid.flat, panels.items(), strict=False):
        mesh = axes.pcolormesh(
            edges(t), edges(betas), probability.T, vmin=0, vmax=1, cmap="viridis", rasterized=True
        )
        if min(probability.shape) > 1 and probability.min() < 0.5 < probability.max():
            axes.contour(t, betas, probability.T, [0.5], colors=MAP_PAGE, linewidths=0.9)
        if curve is not None:
            axes.plot(curve, betas, color=MAP_THEORY, linewidth=1.6, linestyle=(0, (4, 2)))
        axes.set_title(name)
        frame_axes(axes)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("t")
    for axes in grid[:, 0]:
        axes.set_ylabel("β")
    if mesh is not None:
        colour_bar(figure, mesh, grid, label="probability that two tokens have met", shrink=0.8)
    lines = [Line2D([], [], color="#9aa3ab", linewidth=0.9, label="P = 1/2 (white)")]
    if curve is not None:
        lines += [
            Line2D(
                [],
                [],
                color=MAP_THEORY,
                linewidth=1.6,
                linestyle=(0, (4, 2)),
                label="theory, d ≥ n, orthogonal",
            )
        ]
    figure.legend(handles=lines, loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


def edges(values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " e"]:
    """Edges of the cells of a map: the first value, the midpoints, the last value; width 1 for one value."""
    first, last = (values[0], values[-1]) if len(values) > 1 else values[0] + np.array([-0.5, 0.5])
    return np.concatenate([[first], (values[1:] + values[:-1]) / 2, [last]])


@styled
def cosines_over_time(
    samples: dict[float, Float[np.ndarray, " k"]], gammas: dict[float, float], *, title: str
) -> Figure:
    """Densities of pairwise cosines, one row for each time, with the cosine gamma(t) of orthogonal tokens."""
    figure = Figure(figsize=(5.6, 0.8 + 1.05 * len(samples)), layout="constrained")
    grid = figure.subplots(len(samples), 1, sharex=True, squeeze=False)[:, 0]
    colour = next(iter(MODELS.values()))[0]
    for axes, (time, cosines) in zip(grid, samples.items(), strict=True):
        axes.hist(cosines, bins=np.linspace(-0.2, 1, 121), density=True, color=colour, alpha=0.35)
        axes.axvline(float(cosines.mean()), color=colour, linewidth=1.4)
        axes.axvline(gammas[time], color=MAP_THEORY, linewidth=1.4, linestyle=(0, (4, 2)))
        axes.set_yticks([])
        axes.set_ylabel(f"t = {time:g}", rotation=0, ha="right", va="center")
        frame_axes(axes)
    grid[-1].set_xlabel("cosine of a pair; line: their mean, dashed: γ(t)")
    figure.suptitle(title, color=INK, fontsize=10, x=0.02, ha="left")
    return figure


@styled
def measured_over_theory(
    x: Float[np.ndarray, " k"],
    curves: dict[str, tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]],
    limits: tuple[float, float, float],
    *,
    labels: tuple[str, str],
    title: str,
) -> Figure:
    """Measured points on thin lines of theory, one colour for each curve; `limits` for x <, = and > 1."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for colour, (name, (measured, expected)) in zip(MODELS.values(), curves.items(), strict=False):
        axes.plot(x, expected, color=colour[0], linewidth=1)
        axes.plot(x, measured, "o", color=colour[0], markersize=3, label=name)
    below, at, above = limits
    axes.plot(
        [x[0], 1, np.nan, 1, x[-1]], [below, below, np.nan, above, above], color=MAP_THEORY, linewidth=1.2
    )
    axes.plot([], [], "o-", color=MAP_THEORY, linewidth=1.2, markersize=5, label="limit n → ∞")
    axes.plot(1, at, "o", color=MAP_THEORY, markersize=5)
    axes.set(xlabel=labels[0], ylabel=labels[1], title=title)
    axes.legend(frameon=False, fontsize=8)
    frame_axes(axes)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    return figure


def frame_axes(axes: Axes):
    axes.tick_params(which="both", colors=MUTED, labelsize=8)
    axes.tick_params(length=3)
    axes.grid(visible=False)
