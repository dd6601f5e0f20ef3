"""graph equilibria: all states of a system that are at rest."""

from typing import Annotated

import typer
from rich.table import Table

from spinodal import graphs
from spinodal.cli._defaults import default
from spinodal.cli._graph_files import run_folder
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
    Out,
    Overwrite,
    Seed,
    Undirected,
    Values,
    Weight,
    system_of,
)  # fmt: skip
from spinodal.cli._options import Unlimited
from spinodal.cli._output import console, print_json, progress_bar
from spinodal.limits import ROWS, require_at_most


def equilibria_command(
    graph: GraphName,
    weight: Weight = WEIGHT,
    undirected: Undirected = False,
    coupling_text: CouplingText = COUPLING,
    set_: Values = None,
    anchor: Anchor = ANCHOR,
    drive: Drive = DRIVE,
    starts: Annotated[
        int | None, typer.Option(help="Most searches in each block; by its size if not given.")
    ] = default("graphs.EquilibriumSearch.starts"),
    as_json: Json = False,
    seed: Seed = default("graphs.EquilibriumSearch.seed"),
    out: Out = None,
    overwrite: Overwrite = False,
    unlimited: Unlimited = False,
):
    """Find all equilibria: `spinodal graph equilibria --graph cycle:3 --coupling "y**3 - y"`.

    States that differ by a translation, or by 2 pi for periodic couplings, are one; a manifold of
    equilibria is shown by one state for each energy, index and nullity.
    """
    require_at_most(ROWS, starts or 0, "searches in each block", "starts")
    shape = graphs.named_graph(graph, weight=weight, undirected=undirected)
    search = graphs.EquilibriumSearch(system_of(shape, coupling_text, set_, anchor, drive), starts, seed)
    with run_folder(out, "graph-equilibria", search, overwrite=overwrite, quiet=as_json) as folder:
        with progress_bar("blocks") as bar:
            result = graphs.find_equilibria(
                search, progress=lambda k, of: bar.update(bar.task_ids[0], completed=k, total=of)
            )
        if as_json:
            print_equilibria(search.system.graph.names, result)
        else:
            show_equilibria(result)
        if folder:
            folder.finish(result)


def print_equilibria(vertices: tuple[str, ...], result: "graphs.Equilibria") -> None:
    rows = [e._asdict() | {"state": e.state.tolist()} for e in result.entries]
    sizes = {"betti": result.betti, "dimension": result.dimension, "dimension_bound": result.bound}
    print_json({"vertices": vertices, "equilibria": rows, **sizes, "unseen": result.unseen})


def show_equilibria(result: "graphs.Equilibria") -> None:
    table = Table("energy", "index", "nullity", "dimension", "stability", "state")
    for e in result.entries:
        kind = e.stability + (", asymptotic" if e.asymptotic and e.stability != "linear" else "")
        state = " ".join(f"{v:.4f}" for v in e.state[:8]) + (" ..." if len(e.state) > 8 else "")
        table.add_row(f"{e.energy:.10g}", str(e.index), str(e.nullity), str(e.dimension), kind, state)
    console.print(table)
    console.print(
        f"{len(result.entries)} equilibria; Betti number {result.betti}, dimension {result.dimension} "
        f"(the graph allows {result.bound})",
        highlight=False,
    )
    if result.unseen:
        console.print(
            f"about {result.unseen:.1%} of further searches would find another: more --starts",
            highlight=False,
        )
