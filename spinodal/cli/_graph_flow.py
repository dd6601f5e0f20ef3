"""graph flow: a state descends its energy."""

from typing import Annotated

import typer

from spinodal import graphs
from spinodal.cli._defaults import default
from spinodal.cli._graph_files import run_folder, save_state, start_of
from spinodal.cli._graph_options import (
    ANCHOR,
    COUPLING,
    DRIVE,
    WEIGHT,
    Anchor,
    CouplingText,
    Drive,
    GraphName,
    Out,
    Overwrite,
    Seed,
    StartText,
    Undirected,
    Values,
    Weight,
    system_of,
)  # fmt: skip
from spinodal.cli._options import Columns, Format, Style, Unlimited
from spinodal.cli._output import drawing, save_figures, show_measures
from spinodal.limits import ROWS, require_at_most


def flow_command(
    graph: GraphName,
    weight: Weight = WEIGHT,
    undirected: Undirected = False,
    coupling_text: CouplingText = COUPLING,
    set_: Values = None,
    anchor: Anchor = ANCHOR,
    drive: Drive = DRIVE,
    start: StartText = default("graphs.GradientFlow.start"),
    time: Annotated[float, typer.Option(help="How long it flows.")] = default("graphs.GradientFlow.time"),
    points: Annotated[int, typer.Option(help="How many states are kept.")] = default(
        "graphs.GradientFlow.points"
    ),
    seed: Seed = default("graphs.GradientFlow.seed"),
    out: Out = None,
    overwrite: Overwrite = False,
    format: Format = None,
    style: Style = None,
    columns: Columns = None,
    unlimited: Unlimited = False,
):
    """Let a state descend its energy: `spinodal graph flow --graph cycle:12 --start twisted:2 --out runs/flow`.

    With --out: results.npz (times, states, energies), state.npy (the last one), energy.png and run.json.
    """
    from spinodal.runs import picture_files

    require_at_most(ROWS, points, "states", "points")
    shape = graphs.named_graph(graph, weight=weight, undirected=undirected)
    system = system_of(shape, coupling_text, set_, anchor, drive)
    experiment = graphs.GradientFlow(system, start_of(start), time, points, seed)
    owned = ("state.npy", *picture_files("energy"))
    with run_folder(out, "graph-flow", experiment, *owned, overwrite=overwrite) as folder:
        flow = graphs.integrate_flow(experiment)
        show_measures({
            "energy at the start": float(flow.energies[0]), "energy at the end": float(flow.energies[-1]),
            "largest rise": flow.largest_rise, "|grad E| at the end": flow.residual,
        })  # fmt: skip
        if folder:
            from spinodal.figures import draw

            save_state(folder, "state.npy", flow.states[-1])
            folder.finish(flow)
            with drawing(folder):
                save_figures(folder, draw(flow))
