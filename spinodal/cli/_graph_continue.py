"""graph continue: an equilibrium followed through a parameter."""

from math import log10
from typing import Annotated

import typer
from rich.table import Table

from spinodal import graphs
from spinodal.cli._defaults import default
from spinodal.cli._graph_files import run_folder, start_of
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
from spinodal.cli._output import console, drawing, progress_bar, save_figures
from spinodal.limits import ROWS, require_at_most


def continue_command(
    graph: GraphName,
    parameter: Annotated[
        str, typer.Option(help="Of the coupling, or mu (times the drive) or gamma (times the anchor).")
    ],
    first: Annotated[float, typer.Option("--from", help="Its first value.")],
    last: Annotated[float, typer.Option("--to", help="The value at which the curve ends.")],
    weight: Weight = WEIGHT,
    undirected: Undirected = False,
    coupling_text: CouplingText = COUPLING,
    set_: Values = None,
    anchor: Anchor = ANCHOR,
    drive: Drive = DRIVE,
    start: StartText = default("graphs.Continuation.start"),
    points: Annotated[int, typer.Option(help="Most points of the curve.")] = default(
        "graphs.Continuation.points"
    ),
    seed: Seed = default("graphs.Continuation.seed"),
    out: Out = None,
    overwrite: Overwrite = False,
    format: Format = None,
    style: Style = None,
    columns: Columns = None,
    unlimited: Unlimited = False,
):
    """Follow an equilibrium through a parameter, around its folds.

    `spinodal graph continue --graph path:4 --drive=1,.5,-.5,-1 --parameter mu --from 0 --to 1` finds the fold
    at mu = 0.66666667. Modes that cross at once are refused: listed, and not classified.
    """
    from spinodal.runs import picture_files

    require_at_most(ROWS, points, "points", "points")
    shape = graphs.named_graph(graph, weight=weight, undirected=undirected)
    free = {} if parameter in ("mu", "gamma") else {parameter: first}
    system = system_of(
        shape,
        coupling_text,
        set_,
        anchor,
        drive,
        **free,
    )
    experiment = graphs.Continuation(system, parameter, first, last, start_of(start), points, seed)
    with run_folder(
        out, "graph-continue", experiment, *picture_files("branch"), overwrite=overwrite
    ) as folder:
        with progress_bar(parameter) as bar:
            branch = graphs.follow_branch(
                experiment, progress=lambda far, of: bar.update(bar.task_ids[0], completed=far, total=of)
            )
        show_branch(parameter, branch)
        if folder:
            from spinodal.figures import draw

            folder.finish(branch)
            with drawing(folder):
                save_figures(folder, draw(branch))


def show_branch(parameter: str, branch: "graphs.Branch") -> None:
    table = Table("kind", parameter, "digits", "note")
    for point in branch.singular:
        digits = min(15, max(0, int(-log10(point.error / (1 + abs(point.value)) + 1e-16))))
        table.add_row(point.kind, f"{point.value:.12g}", str(digits), point.note)
    console.print(table)
    console.print(
        f"{len(branch.values)} points; {branch.end}; index {branch.indices[0]} at first, {branch.indices[-1]} at last",
        highlight=False,
    )
