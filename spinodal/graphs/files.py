r"""Graphs by name: those of a shape, and those that a file holds.

    cycle:N, complete:N, path:N, star:N      n vertices
    bowtie, diamond, cube                    of the literature
    FILE.graphml, FILE.gml                   an attribute of the edges as their weights
    FILE.csv, FILE.tsv                       a row an edge: two vertices and a weight, under a line of names or none
    FILE.edges, FILE.edgelist, FILE.txt      a line an edge: two vertices and a weight, with spaces between them

The extension may be in any case. A line that begins with # is a comment.
"""

import csv
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import networkx as nx

from spinodal.errors import InputError
from spinodal.graphs.graph import Graph, edge_weight, from_networkx
from spinodal.graphs.states import whole_number

SHAPES = {
    "cycle": nx.cycle_graph,
    "complete": nx.complete_graph,
    "path": nx.path_graph,
    "star": lambda n: nx.star_graph(n - 1),
}
NAMED = {
    "bowtie": lambda: nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 2)]),
    "diamond": nx.diamond_graph,
    "cube": nx.cubical_graph,
}
SMALLEST = {"cycle": 3, "complete": 1, "path": 1, "star": 2}
LARGEST = {"complete": 2000}  # 2 million edges


def read_gml(path: Path) -> nx.Graph:
    """Vertices by their labels, or by their numbers where labels are missing or not unique."""
    found = nx.read_gml(path, label=None)  # pyright: ignore[reportArgumentType]
    labels = nx.get_node_attributes(found, "label")
    return nx.relabel_nodes(found, labels) if len(set(labels.values())) == len(found) else found


READERS = {
    ".graphml": ("GraphML", nx.read_graphml),
    ".gml": ("GML", read_gml),
}
TABLES = {".csv": ",", ".tsv": "\t", ".edges": None, ".edgelist": None, ".txt": None}  # what parts columns
ENDS = [("source", "target"), ("from", "to"), ("tail", "head"), ("u", "v")]  # names of columns


def named_graph(text: str, *, weight: str = "weight", undirected: bool = False) -> Graph:
    """The graph of a name: cycle:8, complete:5, path:4, star:6 (n vertices), bowtie, diamond, cube, or of a file.

    Files are FILE.graphml, FILE.gml, tables FILE.csv and FILE.tsv, and lists of edges FILE.edges, FILE.edgelist and
    FILE.txt. `weight` names the attribute or the column that holds the weights; with `undirected` the directions of a
    directed file are left out, which is needed unless both directions of every edge have equal weights. InputError for
    a name that is none of these, and for a file that cannot be read.
    """
    shape, colon, size = text.partition(":")
    if text in NAMED:
        return replace(from_networkx(NAMED[text]()), name=text)
    if colon and shape in SHAPES:
        n, most = whole_number(size), LARGEST.get(shape, 100_000)
        if n is None or not SMALLEST[shape] <= n <= most:
            raise InputError(
                f"`graph` {text!r}: {shape}:N with N a whole number from {SMALLEST[shape]} to {most}",
                field="graph",
            )
        return replace(from_networkx(SHAPES[shape](n)), name=text)
    extension = Path(text).suffix.lower()
    if extension not in READERS | TABLES:
        raise InputError(
            f"`graph` {text!r} is none of {', '.join(f'{s}:N' for s in SHAPES)}, {', '.join(NAMED)}, "
            f"{', '.join(f'FILE{e}' for e in (*READERS, *TABLES))}",
            field="graph",
        )
    path = Path(text)
    if not path.is_file():
        raise InputError(f"`graph` {text}: there is no such file", field="graph")
    read = read_network if extension in READERS else read_table
    try:
        found = from_networkx(
            without_directions(read(path, extension, weight), weight, undirected), weight=weight
        )
    except InputError as error:
        raise InputError(f"`graph` {text}: {error}", field=("graph", *error.fields)) from None
    return replace(found, name=text)


def read_network(path: Path, extension: str, weight: str) -> nx.Graph:
    """The graph of a GraphML or GML file; warns where its edges have numbers and none is read as weights."""
    name, reader = READERS[extension]
    try:
        found = reader(path)
    except Exception as error:  # the parsers' own errors have no common class
        raise InputError(f"it is no {name}: {error}") from None
    numbers = numeric_attributes(found)
    if (
        weight == "weight"
        and numbers
        and weight not in numbers
        and weight not in found.graph.get("edge_default", {})
    ):
        warnings.warn(
            f"{path}: the edges have no `weight`, so that all weigh 1; their numbers are {', '.join(numbers)}",
            stacklevel=2,
        )
    return found


def numeric_attributes(other: nx.Graph) -> list[str]:
    """The attributes of edges whose values are numbers, without identifiers."""
    found = {
        str(key)
        for *_, data in other.edges.data()
        for key, value in data.items()
        if isinstance(value, int | float)
    }
    return sorted(found - {"id", "key"})


def read_table(path: Path, extension: str, weight: str) -> nx.Graph:
    """The graph of a table of edges; InputError for a row that has not two vertices and at most one weight to read."""
    rows = list(table_rows(path, TABLES[extension]))
    names = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    ends = next((pair for pair in ENDS if set(pair) <= set(names)), None)
    if ends:
        columns, rows = [names.index(end) for end in ends], rows[1:]
        third = names.index(weight.lower()) if weight.lower() in names else None
    else:
        columns, third = [0, 1], 2
        require_no_unknown_names(rows)
    if weight != "weight" and (ends is None or third is None):
        known = ", ".join(name for name in names if ends and name not in ends)
        raise InputError(
            f"`weight` {weight}: the table has no such column; it has {known or 'no line of names'}",
            field="weight",
        )
    graph = nx.MultiGraph()
    for line, row in rows:
        if len(row) <= max(columns) or (ends is None and len(row) > 3):
            raise InputError(
                f"line {line}: two vertices and a weight, or two vertices, are needed; it has {len(row)}"
            )
        u, v = (row[k].strip() for k in columns)
        data = {}
        if third is not None and len(row) > third and row[third].strip():
            data = {weight: edge_weight(u, v, row[third], weight)}
        graph.add_edge(u, v, **data)
    if not graph:
        raise InputError("it holds no edge")
    return graph


def require_no_unknown_names(rows: list[tuple[int, list[str]]]) -> None:
    """InputError where the first line alone has no number in it: it names columns, and is no edge."""
    first, *others = [[cell.strip() for cell in row] for _, row in rows] or [[]]
    numbered = all(cell.lstrip("-").isdecimal() for row in others for cell in row[:2])
    if others and numbered and not any(cell.lstrip("-").isdecimal() for cell in first[:2]):
        known = ", ".join(" and ".join(pair) for pair in ENDS)
        raise InputError(
            f"line {rows[0][0]}: {', '.join(first)} are no vertices like those below, and no known names of columns "
            f"({known}): rename them, or leave the line out"
        )


def table_rows(path: Path, separator: str | None) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of every line that is neither empty nor a comment."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"it is no text in UTF-8 ({error.reason} at byte {error.start})") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.split() if separator is None else next(csv.reader([line], delimiter=separator))


def without_directions(found: nx.Graph, weight: str, undirected: bool) -> nx.Graph:
    """An undirected graph without parallel edges; InputError where directions matter, or an edge comes twice."""
    plain = nx.Graph()
    plain.graph.update(found.graph)
    plain.add_nodes_from(found)
    seen: dict[tuple, dict] = {}
    for u, v, data in found.edges.data():
        back = seen.get((v, u))
        if (u, v) in seen or (back is not None and not found.is_directed()):
            raise InputError(f"edge {u}-{v} is there twice: give it once, with the sum of its weights")
        if back is not None and data.get(weight) != back.get(weight):
            raise InputError(
                f"edge {u}-{v} weighs {data.get(weight)} and backwards {back.get(weight)}: "
                "a directed graph has no energy"
            )
        seen[u, v] = data
        plain.add_edge(u, v, **{str(key): value for key, value in data.items()})
    one_way = next(((u, v) for u, v in seen if (v, u) not in seen), None) if found.is_directed() else None
    if one_way and not undirected:
        raise InputError(
            f"the graph is directed (edge {one_way[0]}-{one_way[1]} has one direction), and a directed graph has no "
            "energy; `undirected` leaves the directions out",
            field="undirected",
        )
    return plain
