"""Pictures of systems on graphs: energies that fall, landscapes with their equilibria, branches through a parameter.

Colour is stability everywhere: the first of the palette for linearly stable, the third for Lyapunov stable and
the second for unstable, with a mark of its own for each so that colour is never alone.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spinodal.figures.style import INK, MUTED, colours, label_ends, panel, styled
from spinodal.graphs import Branch, Equilibria, FlowResult, System

STABILITIES = ("linear", "unstable", "lyapunov")
COLOUR = colours(STABILITIES)
MARK = {"linear": "o", "unstable": "x", "lyapunov": "D"}
LEVELS = 24


class Curve(NamedTuple):
    """A branch of equilibria: the parameter, what is drawn of the state, and the index of each point."""

    values: Float[np.ndarray, " t"]
    heights: Float[np.ndarray, " t"]
    indices: Int[np.ndarray, " t"]


class Landscape(NamedTuple):
    """Energies over a square of states, and the equilibria in it by their stability."""

    title: str
    reach: float
    energies: Float[np.ndarray, "m m"]
    points: dict[str, Float[np.ndarray, "_ 2"]]


def draw_flow(flow: FlowResult) -> dict[str, Figure]:
    """The figure "energy": over time."""
    system = flow.experiment and flow.experiment.system
    curves = {system.coupling.text if system else "energy": (flow.times, flow.energies)}
    title = f"energy on {graph_name(system)}"
    return {"energy": energies_over_time(curves, x="time", title=title, log=False)}


def draw_branch(branch: Branch) -> dict[str, Figure]:
    """The figure "branch": |x - mean| over the parameter, with what happens on the way."""
    experiment = branch.experiment
    system = experiment and experiment.system
    coupling = system.coupling.text if system else "equilibria"
    parameter = experiment.parameter if experiment else "parameter"
    heights = np.linalg.norm(branch.states - branch.states.mean(1, keepdims=True), axis=1)
    marks = [(p.value, float(np.linalg.norm(p.state - p.state.mean())), p.kind) for p in branch.singular]
    picture = bifurcation_diagram(
        [Curve(branch.values, heights, branch.indices)], marks, parameter=parameter, height="|x - mean|",
        title=f"{coupling} on {graph_name(system)}; full lines are stable",
    )  # fmt: skip
    return {"branch": picture}


def draw_equilibria(equilibria: Equilibria) -> dict[str, Figure]:
    """The figure "equilibria": the energy of each over its index, the directions in which the energy falls."""
    system = equilibria.experiment and equilibria.experiment.system
    title = f"{len(equilibria.energies)} equilibria on {graph_name(system)}"
    return {"equilibria": energies_by_index(equilibria, title=title)}


@styled
def energies_by_index(equilibria: Equilibria, *, title: str) -> Figure:
    """The energy of equilibria over their index, one mark for each, in the colour of its stability."""
    figure, axes = panel(5.2, 3.1)
    kinds = np.array(equilibria.stabilities)
    for kind in STABILITIES:
        chosen = kinds == kind
        if chosen.any():
            place = equilibria.indices[chosen], equilibria.energies[chosen]
            axes.plot(*place, MARK[kind], color=COLOUR[kind], markersize=5, label=kind, linestyle="none")
    axes.set(xlabel="index: directions in which the energy falls", title=f"energy; {title}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def graph_name(system: System | None) -> str:
    if system is None:
        return "a graph"
    return system.graph.name or f"a graph of {system.graph.n} vertices"


@styled
def energies_over_time(
    curves: dict[str, tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]],
    *,
    x: str,
    title: str,
    log: bool,
) -> Figure:
    """One line a name, (times, energies); with `log` energies must be positive, and those below 1e-16 are left out."""
    figure, axes = panel(5.2, 3.1)
    shown = colours(curves)
    ends = {}
    for name, (times, energies) in curves.items():
        seen = energies > 1e-16 if log else np.isfinite(energies)
        axes.plot(times[seen], energies[seen], color=shown[name])
        if seen.any():
            ends[name] = float(energies[seen][-1])
    axes.set(xlabel=x, title=title, yscale="log" if log else "linear")
    axes.set_xlim(left=0)
    label_ends(axes, ends, shown)
    return figure


@styled
def bifurcation_diagram(
    curves: list[Curve], marks: list[tuple[float, float, str]], *, parameter: str, height: str, title: str
) -> Figure:
    """Branches, full where the index is 0 and broken where it is not; a mark (value, height, name) at what happens."""
    figure, axes = panel(5.2, 3.4)
    draw_branches(axes, curves)
    for value, at, name in marks:
        axes.plot(value, at, "o", color=INK, markersize=5, zorder=4)
        axes.annotate(
            name, (value, at), textcoords="offset points", xytext=(6, 6), color=INK, parse_math=False
        )
    axes.set(xlabel=parameter, ylabel=height, title=title)
    return figure


def draw_branches(axes: Axes, curves: list[Curve]) -> None:
    for curve in curves:
        stable = curve.indices == 0
        cuts = np.flatnonzero(stable[1:] != stable[:-1]) + 1
        for part in np.split(np.arange(len(stable)), cuts):
            part = np.append(part, part[-1] + 1) if part[-1] + 1 < len(stable) else part
            kind = "linear" if stable[part[0]] else "unstable"
            style = "-" if stable[part[0]] else (0, (4, 2))
            axes.plot(curve.values[part], curve.heights[part], color=COLOUR[kind], linestyle=style)


@styled
def landscapes(pictures: list[Landscape]) -> Figure:
    """Level lines of the energy over two coordinates of 1-perp, and the equilibria on them."""
    figure = Figure(figsize=(3.1 * len(pictures), 3.5), layout="constrained")
    for k, picture in enumerate(pictures):
        axes = figure.add_subplot(1, len(pictures), k + 1)
        grid = np.linspace(-picture.reach, picture.reach, len(picture.energies))
        axes.contour(grid, grid, picture.energies, LEVELS, colors=[MUTED], linewidths=0.5, alpha=0.6)
        mark_equilibria(axes, picture.points)
        axes.set_aspect("equal")
        axes.tick_params(colors=MUTED, labelsize=8.5, length=3)
        axes.set_title(picture.title, parse_math=False)
    figure.axes[0].legend(frameon=False, loc="upper left", fontsize=8, labelcolor=INK, handletextpad=0.2)
    return figure


@styled
def manifold(states: Float[np.ndarray, "k 3"], stability: list[str], *, title: str) -> Figure:
    """Equilibria in three coordinates, by their stability."""
    figure = Figure(figsize=(4.6, 4.2))
    with rc_context(
        {"grid.color": f"{MUTED}55"}
    ):  # seen on light and dark pages, which cannot be set afterwards
        axes = figure.add_subplot(projection="3d")
    axes.set_box_aspect(None, zoom=0.85)  # pyright: ignore
    for kind in STABILITIES:
        chosen = states[[name == kind for name in stability]]
        if len(chosen):
            axes.plot(*chosen.T, MARK[kind], color=COLOUR[kind], markersize=2.6, label=kind)
    axes.tick_params(colors=MUTED, labelsize=7)
    axes.set(xlabel="x1 - x0", ylabel="x2 - x0", zlabel="x3 - x0")
    for side in (axes.xaxis, axes.yaxis, axes.zaxis):  # pyright: ignore[reportAttributeAccessIssue]
        side.set_pane_color("none")  # pyright: ignore[reportAttributeAccessIssue]
    axes.set_title(title, parse_math=False)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return figure


def mark_equilibria(axes: Axes, points: dict[str, Float[np.ndarray, "_ 2"]]) -> None:
    for kind in STABILITIES:
        if len(found := points.get(kind, np.zeros((0, 2)))):
            axes.plot(*found.T, MARK[kind], color=COLOUR[kind], markersize=4, label=kind, linestyle="none")
