"""Options of all that `spinodal graph` does, and the system that they mean."""

from pathlib import Path
from typing import Annotated, Any

import typer

from spinodal import graphs
from spinodal.cli._defaults import default
from spinodal.cli._values import number
from spinodal.errors import InputError

COUPLING = default("graphs.build_system.f")
WEIGHT = default("graphs.named_graph.weight")
ANCHOR, DRIVE = (f"{default(f'graphs.build_system.{name}'):g}" for name in ("stiffness", "drive"))

GraphName = Annotated[
    str,
    typer.Option(
        "--graph",
        help="cycle:N, complete:N, path:N, star:N, bowtie, diamond, cube, or a file: .graphml, .gml, a table "
        ".csv or .tsv of source, target, weight, or a list of edges .edges, .edgelist, .txt (u v weight).",
    ),
]
Weight = Annotated[
    str,
    typer.Option("--weight", help="The attribute or column of a file that holds the weights of its edges."),
]
Undirected = Annotated[
    bool, typer.Option("--undirected", help="Read a directed file without its directions: a_ij = a_ji.")
]
CouplingText = Annotated[
    str,
    typer.Option(
        "--coupling",
        help='sin, tanh, identity, or a formula: "y**3 - lam*y", "sin(y) + 0.5*sin(2*y)", "y/(1 + y**2)", "sin(y)**3".',
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
Json = Annotated[bool, typer.Option("--json", help="JSON on the standard output, and nothing else.")]


def system_of(
    graph: "graphs.Graph", text: str, values: list[str] | None, anchor: str, drive: str, **more: float
) -> "graphs.System":
    """The system of the options; `more` are parameters of the coupling beside those of --set."""
    f = graphs.coupling(text, **(parameters(values) | more))
    return graphs.build_system(graph, f, stiffness=numbers("anchor", anchor), drive=numbers("drive", drive))


def parameters(values: list[str] | None) -> dict[str, float]:
    pairs = [text.partition("=") for text in values or []]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise InputError(f"`set` {wrong[0]}: NAME=VALUE", field="set")
    return {name.strip(): number("set", value) for name, _, value in pairs}


def numbers(option: str, text: str) -> Any:
    """A number, or an array of those between commas."""
    import numpy as np

    parts = [number(option, part) for part in text.split(",")]
    return parts[0] if len(parts) == 1 else np.array(parts)
