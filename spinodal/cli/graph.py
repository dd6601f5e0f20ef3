"""Tokens on a graph: energies, their equilibria, and what becomes of them."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import spinodal
from spinodal import graphs
from spinodal.cli.graph_input import built, checked, parameters, read_state, save, start_of, system_of
from spinodal.cli.output import console
from spinodal.errors import InputError

group = typer.Typer(help=__doc__, no_args_is_help=True)

GraphName = Annotated[
    str,
    typer.Option(
        "--graph",
        help="cycle:N, complete:N, path:N, star:N, bowtie, diamond, cube, or FILE.graphml (weights under `weight`).",
    ),
]
CouplingText = Annotated[
    str,
    typer.Option(
        "--coupling", help='sin, tanh, identity, or a formula: "y**3 - lam*y", "sin(y) + 0.5*sin(2*y)".'
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the coupling; repeatable."),
]
Anchor = Annotated[
    str,
    typer.Option("--anchor", help="Stiffness of the pull towards 0: a number, or one a vertex, with commas."),
]
Drive = Annotated[
    str, typer.Option("--drive", help="Constant force: a number, or one a vertex: --drive=1,0,-1.")
]
Seed = Annotated[int, typer.Option(help="Of all that is drawn by chance.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder for arrays, run.json and a picture; none if not given.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that lie in --out.")]
StartText = Annotated[
    str, typer.Option("--start", help="zero, random, twisted:Q (x_k = 2 pi Q k / n), or STATE.npy.")
]


def add_to(app: typer.Typer) -> None:
    app.add_typer(group, name="graph")


@group.command("equilibria")
def equilibria_command(
    graph: GraphName,
    coupling_text: CouplingText = "sin",
    set_: Values = None,
    anchor: Anchor = "0",
    drive: Drive = "0",
    starts: Annotated[
        int | None, typer.Option(help="Most searches in each block; by its size if not given.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON on the standard output, and nothing else.")
    ] = False,
    seed: Seed = 0,
    out: Out = None,
    overwrite: Overwrite = False,
):
    """Find all equilibria: `spinodal graph equilibria --graph cycle:3 --coupling "y**3 - y"`.

    States that differ by a translation, or by 2 pi for periodic couplings, are one; a manifold of
    equilibria is shown by one state for each energy, index and nullity.
    """
    checked(out, overwrite, starts=1 if starts is None else starts, seed=seed)
    system = system_of(graph, coupling_text, set_, anchor, drive)
    with progress("blocks") as bar:
        result = graphs.equilibria(
            system,
            starts=starts,
            seed=seed,
            progress=lambda k, of: bar.update(bar.task_ids[0], completed=k, total=of),
        )
    data = described(system, result)
    if as_json:
        print(json.dumps(data))
    else:
        show_equilibria(result)
    if out:
        config = {
            "graph": graph,
            "coupling": coupling_text,
            "anchor": anchor,
            "drive": drive,
            "starts": starts,
        }
        config["set"] = set_ or []
        arrays = {"states": np.array([e.state for e in result.found]).reshape(-1, system.graph.n)}
        save(out, config, seed, data, arrays, quiet=as_json)


def described(system: "spinodal.graphs.System", result: "spinodal.graphs.Equilibria") -> dict[str, Any]:
    """The dictionary of --json."""
    rows = [e._asdict() | {"state": e.state.tolist()} for e in result.found]
    sizes = {"betti": result.betti, "dimension": result.dimension, "dimension_bound": result.bound}
    return {"vertices": system.graph.names, "equilibria": rows, **sizes, "unseen": result.unseen}


def show_equilibria(result: "spinodal.graphs.Equilibria") -> None:
    table = Table("energy", "index", "nullity", "dimension", "stability", "state")
    for e in result.found:
        kind = e.stability + (", asymptotic" if e.asymptotic and e.stability != "linear" else "")
        state = " ".join(f"{v:.4f}" for v in e.state[:8]) + (" ..." if len(e.state) > 8 else "")
        table.add_row(f"{e.energy:.10g}", str(e.index), str(e.nullity), str(e.dimension), kind, state)
    console.print(table)
    console.print(
        f"{len(result.found)} equilibria; Betti number {result.betti}, dimension {result.dimension} "
        f"(the graph allows {result.bound})",
        highlight=False,
    )
    if result.unseen:
        console.print(
            f"about {result.unseen:.1%} of further searches would find another: more --starts",
            highlight=False,
        )


@group.command("flow")
def flow_command(
    graph: GraphName,
    coupling_text: CouplingText = "sin",
    set_: Values = None,
    anchor: Anchor = "0",
    drive: Drive = "0",
    start: StartText = "random",
    time: Annotated[float, typer.Option(help="How long it flows.")] = 20.0,
    points: Annotated[int, typer.Option(help="How many states are kept.")] = 201,
    seed: Seed = 0,
    out: Out = None,
    overwrite: Overwrite = False,
):
    """Let a state descend its energy: `spinodal graph flow --graph cycle:12 --start twisted:2 --out runs/flow`.

    With --out: flow.npz (times, states, energies), state.npy (the last one), energy.png and run.json.
    """
    checked(out, overwrite, points=points - 1, seed=seed)
    if not (np.isfinite(time) and time > 0):
        raise InputError(f"--time {time:g}: must be above 0")
    system = system_of(graph, coupling_text, set_, anchor, drive)
    flow = graphs.gradient_flow(system, start_of(system, start, seed), np.linspace(0, time, points))
    last = flow.states[-1]
    residual = float(np.abs(system.gradient(last)).max())
    measured = {
        "energy at the start": float(flow.energies[0]), "energy at the end": float(flow.energies[-1]),
        "largest rise": float(np.diff(flow.energies).max()), "|grad E| at the end": residual,
    }  # fmt: skip
    show(measured)
    if out:
        from spinodal.figures.graphs import energies_over_time

        config = {
            "graph": graph,
            "coupling": coupling_text,
            "set": set_ or [],
            "anchor": anchor,
            "drive": drive,
        }
        config |= {"start": start, "time": time, "points": points}
        picture = energies_over_time(
            {coupling_text: (flow.times, flow.energies)}, x="time", title=f"energy on {graph}", log=False
        )
        save(out, config, seed, measured, flow._asdict() | {"state": last}, {"energy.png": picture})


@group.command("continue")
def continue_command(
    graph: GraphName,
    parameter: Annotated[
        str, typer.Option(help="Of the coupling, or mu (times the drive) or gamma (times the anchor).")
    ],
    first: Annotated[float, typer.Option("--from", help="Its first value.")],
    last: Annotated[float, typer.Option("--to", help="The value at which the curve ends.")],
    coupling_text: CouplingText = "sin",
    set_: Values = None,
    anchor: Anchor = "0",
    drive: Drive = "0",
    start: StartText = "zero",
    points: Annotated[int, typer.Option(help="Most points of the curve.")] = 2000,
    seed: Seed = 0,
    out: Out = None,
    overwrite: Overwrite = False,
):
    """Follow an equilibrium through a parameter, around its folds.

    `spinodal graph continue --graph path:4 --drive=1,.5,-.5,-1 --parameter mu --from 0 --to 1` finds the fold
    at mu = 0.66666667. Modes that cross at once are refused: listed, and not classified.
    """
    checked(out, overwrite, points=points - 1, seed=seed)
    names = parameters(set_)
    if parameter not in ("mu", "gamma"):
        names[parameter] = first
    system = built(graph, coupling_text, names, anchor, drive)
    family = graphs.Family(system, parameter)
    bounds = (first, last)
    if not (np.isfinite(bounds).all() and first != last):
        raise InputError(f"--from {first:g} --to {last:g}: two different finite numbers")
    begin = graphs.started(family, start_of(system, start, seed), bounds)
    with progress(parameter) as bar:
        branch = graphs.continued(
            family,
            begin,
            bounds,
            points=points,
            progress=lambda l: bar.update(bar.task_ids[0], description=f"{l:.6g}"),
        )
    table = Table("kind", parameter, "digits", "note")
    for point in branch.singular:
        digits = min(15, max(0, int(-np.log10(point.error / (1 + abs(point.value)) + 1e-16))))
        table.add_row(point.kind, f"{point.value:.12g}", str(digits), point.note)
    console.print(table)
    console.print(
        f"{len(branch.values)} points; {branch.end}; index {branch.indices[0]} at first, {branch.indices[-1]} at last",
        highlight=False,
    )
    if out:
        from spinodal.figures.graphs import Curve, bifurcation_diagram

        config = {
            "graph": graph,
            "coupling": coupling_text,
            "set": set_ or [],
            "anchor": anchor,
            "drive": drive,
        }
        config |= {"parameter": parameter, "from": first, "to": last, "start": start, "points": points}
        rows = [
            {"kind": p.kind, "value": p.value, "error": p.error, "note": p.note, "state": p.state.tolist()}
            for p in branch.singular
        ]
        arrays = {name: getattr(branch, name) for name in ("values", "states", "energies", "indices")}
        heights = np.linalg.norm(branch.states - branch.states.mean(1, keepdims=True), axis=1)
        marks = [(p.value, float(np.linalg.norm(p.state - p.state.mean())), p.kind) for p in branch.singular]
        picture = bifurcation_diagram(
            [Curve(branch.values, heights, branch.indices)], marks, parameter=parameter, height="|x - mean|",
            title=f"{coupling_text} on {graph}; full lines are stable",
        )  # fmt: skip
        save(out, config, seed, {"singular": rows, "end": branch.end}, arrays, {"branch.png": picture})


@group.command("stability")
def stability_command(
    state: Annotated[Path, typer.Argument(help="STATE.npy, one number a vertex.")],
    graph: GraphName,
    coupling_text: CouplingText = "sin",
    set_: Values = None,
    anchor: Anchor = "0",
    drive: Drive = "0",
    refine: Annotated[
        bool, typer.Option("--refine", help="Newton's method first, for a state near one.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON on the standard output, and nothing else.")
    ] = False,
    seed: Seed = 0,
):
    """Is an equilibrium stable, and in which sense: `spinodal graph stability runs/flow/state.npy --graph cycle:12`.

    Index, nullity, the three notions of stability, the dimension of the equilibria around it, and the tests
    that need no eigenvalue: all slopes positive, a cut with a negative sum, one negative edge.
    """
    if seed < 0:
        raise InputError(f"--seed {seed}: must be 0 or more")
    system = system_of(graph, coupling_text, set_, anchor, drive)
    x = read_state(state, system.graph.n)
    if refine:
        x = graphs.refined(system, x[None])[0][0]
    s = graphs.stability(system, x, seed=seed)
    w = system.edgewise(x, 1)
    measured: dict[str, Any] = {
        "energy": float(system.energy(x)), "stability": s.name, "linear": s.linear, "asymptotic": s.asymptotic,
        "lyapunov": s.lyapunov, "index": s.index, "nullity": s.nullity, "dimension": s.dimension,
        "lowest eigenvalue": float(graphs.spectrum(system, x).min(initial=np.inf)),
        "all slopes positive": graphs.positive_test(system, x),
    }  # fmt: skip
    if system.free:
        cut = graphs.negative_cut(system.graph, w)
        measured["a cut with a negative sum"] = None if cut is None else np.flatnonzero(cut).tolist()
        if (w < 0).sum() == 1:
            measured["|w| R of the one negative edge (stable below 1)"] = graphs.single_negative_edge(
                system.graph, w
            )
    if as_json:
        print(json.dumps(measured))
    else:
        show(measured)


@contextlib.contextmanager
def progress(name: str) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(name, total=None)
        yield bar


def show(measured: dict[str, Any]) -> None:
    for name, value in measured.items():
        console.print(
            f"{name}: {value:.10g}" if isinstance(value, float) else f"{name}: {value}", highlight=False
        )
