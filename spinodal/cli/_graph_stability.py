"""graph stability: in which sense an equilibrium is stable."""

from pathlib import Path
from typing import Annotated, Any

import typer

from spinodal import graphs
from spinodal.cli._defaults import default
from spinodal.cli._graph_options import (
    ANCHOR,
    COUPLING,
    DRIVE,
    WEIGHT,
    Anchor,
    CouplingText,
    Drive,
    GraphName,
    Json,
    Seed,
    Undirected,
    Values,
    Weight,
    system_of,
)  # fmt: skip
from spinodal.cli._output import print_json, show_measures


def stability_command(
    state: Annotated[Path, typer.Argument(help="STATE.npy, one number a vertex.")],
    graph: GraphName,
    weight: Weight = WEIGHT,
    undirected: Undirected = False,
    coupling_text: CouplingText = COUPLING,
    set_: Values = None,
    anchor: Anchor = ANCHOR,
    drive: Drive = DRIVE,
    refine: Annotated[
        bool, typer.Option("--refine", help="Newton's method first, for a state near one.")
    ] = default("graphs.StabilityAnalysis.refine"),
    as_json: Json = False,
    seed: Seed = default("graphs.StabilityAnalysis.seed"),
):
    """Is an equilibrium stable, and in which sense: `spinodal graph stability runs/flow/state.npy --graph cycle:12`.

    Index, nullity, the three notions of stability, the dimension of the equilibria around it, and the tests
    that need no eigenvalue: all slopes positive, a cut with a negative sum, one negative edge.
    """
    from spinodal.cli._arrays import read_array

    shape = graphs.named_graph(graph, weight=weight, undirected=undirected)
    system = system_of(shape, coupling_text, set_, anchor, drive)
    report = graphs.analyse_stability(
        graphs.StabilityAnalysis(system, read_array(state, option="state"), refine, seed)
    )
    measured = table_of(report, free=system.free)
    if as_json:
        print_json(measured)
    else:
        show_measures(measured)


def table_of(report: "graphs.StabilityReport", *, free: bool) -> dict[str, Any]:
    s = report.stability
    measured = {
        "energy": report.energy, "stability": s.name, "linear": s.linear, "asymptotic": s.asymptotic,
        "lyapunov": s.lyapunov, "index": s.index, "nullity": s.nullity, "dimension": s.dimension,
        "lowest eigenvalue": report.lowest_eigenvalue, "all slopes positive": report.all_slopes_positive,
    }  # fmt: skip
    if free:
        measured["a cut with a negative sum"] = report.cut and list(report.cut)
    if report.resistance is not None:
        measured["|w| R of the one negative edge (stable below 1)"] = report.resistance
    return measured
