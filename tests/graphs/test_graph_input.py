"""What may be given as a graph and as a state, from files too: read as what it is, or refused in one sentence."""

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from scipy import sparse

from spinodal.errors import InputError
from spinodal.graphs import (
    System,
    build_system,
    coupling,
    edge_list,
    from_adjacency,
    from_networkx,
    gradient_flow,
    initial_state,
    named_graph,
    stability,
    state_vector,
)

GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
 <key id="w" for="edge" attr.name="{name}" attr.type="double"><default>2.5</default></key>
 <graph id="G" edgedefault="{kind}"><node id="a"/><node id="b"/><node id="c"/>
 <edge source="a" target="b"/><edge source="b" target="c"><data key="w">1.0</data></edge>{more}</graph></graphml>"""
RING = [[0, 1, 2, 3], [1, 2, 3, 0]]


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        (np.array(RING), r"shape \(2, 4\).*transpose"),
        (np.array([[0, 1, 2.5], [1, 2, 1.0]]), r"shape \(2, 3\).*transpose"),
        (np.array([[0, 1, 2.5]] * 3), r"shape \(3, 3\).*argument of its own"),
        (np.array([[0, 1], [1, 1.9]]), "holds 1.9"),
        (np.array([[0, 1], [1, np.nan]]), "holds nan"),
        (np.array([0, 1, 1, 2]), r"shape \(4,\)"),
        (np.array([[0, 1], [1, 2j]]), "complex128"),
        (np.array([["a", "b"]]), "real numbers"),
        (np.array([[0, 2**63 + 5]], dtype=np.uint64), "out of range"),
        (np.array([[0, -1]]), "vertex -1 of 4"),
    ],
)
def test_a_table_of_edges_is_rows_of_two_vertices(edges, said: str):
    with pytest.raises(InputError, match=said):
        edge_list(4, edges)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_vertices_may_be_any_whole_numbers(kind):
    graph = edge_list(4, np.array(RING, dtype=kind).T, np.arange(1, 5))
    assert graph.tails.tolist() == [0, 1, 2, 3]
    assert graph.weights.tolist() == [1, 2, 3, 4]
    assert edge_list(4, [(0, 1)], [2.5]).weights.tolist() == [2.5]
    with pytest.raises(InputError, match="real numbers"):
        edge_list(2, [(0, 1)], np.array([1j]))


@pytest.mark.parametrize(
    "form",
    [
        nx.adjacency_matrix,
        nx.to_scipy_sparse_array,
        lambda g: sparse.coo_matrix(nx.to_numpy_array(g)),
        lambda g: nx.to_numpy_array(g) > 0,
        lambda g: nx.to_numpy_array(g).tolist(),
        lambda g: nx.to_numpy_array(g).astype(np.uint8),
        lambda g: nx.to_numpy_array(g).view(np.matrix),
    ],
)
def test_an_adjacency_matrix_comes_in_every_form(form):
    g = nx.path_graph(4)
    graph = from_adjacency(form(g))
    assert list(zip(graph.tails.tolist(), graph.heads.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 3)]
    assert graph.weights.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("A", "said"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (np.zeros(4), "square"),
        (np.array([[0, 1j], [1j, 0]]), "complex128"),
        (sparse.csr_array(np.array([[0, 1j], [1j, 0]])), "complex128"),
        (sparse.csr_array(np.array([[0, 1.0], [0, 0]])), "directed"),
        (np.array([[0, 1], [0, 0]], dtype=np.uint8), "directed"),
        (np.array([[0, np.nan], [np.nan, 0]]), "A_0,1 = nan|weight nan"),
        (np.ma.masked_equal(np.eye(2), 0), "masked"),
    ],
)
def test_an_adjacency_matrix_is_square_real_and_symmetric(A, said: str):
    with pytest.raises(InputError, match=said):
        from_adjacency(A)


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int8, np.float16, np.float32])
def test_a_state_is_computed_in_double_precision(kind):
    """C5, sin: E = 3.75 and not 5.63, which differences of unsigned numbers gave."""
    system, x = build_system("cycle:5"), np.array([0, 2, 0, 1, 0])
    known = (1 - np.cos(2)) * 2 + (1 - np.cos(1)) * 2
    assert float(system.energy(x.astype(kind))) == pytest.approx(known, abs=1e-14)
    for of in (system.gradient, system.hessian, system.graph.differences):
        np.testing.assert_array_equal(of(x.astype(kind)), of(x.astype(float)))
    flow = gradient_flow(system, x.astype(kind), np.linspace(0, 1, 3))
    np.testing.assert_array_equal(
        flow.states, gradient_flow(system, x.astype(float), np.linspace(0, 1, 3)).states
    )


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.array([1j, 0, 0, 0]), "complex128"),
        (np.zeros(5), r"shape \(5,\)"),
        (np.ma.masked_equal(np.zeros(4), 0), "masked"),
    ],
)
def test_a_state_is_real_and_has_a_number_for_each_vertex(x, said: str):
    system = System(named_graph("cycle:4"), coupling("sin"))
    for of in (system.energy, system.gradient, system.hessian, system.graph.differences):
        with pytest.raises(InputError, match=said):
            of(x)
    with pytest.raises(InputError, match=said):
        state_vector(x, 4, field="state")
    with pytest.raises(InputError, match=said):
        stability(system, x)


@pytest.mark.parametrize(
    "text", ["cycle:\u00b2", "cycle:-3", "cycle:1e3", "cycle:", "cycle:" + "9" * 5000, "complete:100000"]
)
def test_a_size_is_a_whole_number_in_plain_digits(text: str):
    with pytest.raises(InputError, match="whole number from"):
        named_graph(text)


@pytest.mark.parametrize("text", ["twisted:\u00b2", "twisted:--1", "twisted:1.5", "twisted:" + "9" * 400])
def test_turns_are_a_whole_number_in_plain_digits(text: str):
    with pytest.raises(InputError, match="whole number Q"):
        initial_state(text, 4)


def test_the_default_weight_of_graphml_holds(tmp_path: Path):
    """An edge without a datum has the default of its key, 2.5; networkx keeps it beside the edges."""
    file = written(tmp_path / "g.GraphML", GRAPHML.format(name="weight", kind="undirected", more=""))
    assert named_graph(file).weights.tolist() == [2.5, 1.0]
    assert from_networkx(nx.read_graphml(file)).weights.tolist() == [2.5, 1.0]


def test_any_attribute_is_the_weight(tmp_path: Path):
    file = written(tmp_path / "g.graphml", GRAPHML.format(name="value", kind="undirected", more=""))
    assert named_graph(file, weight="value").weights.tolist() == [2.5, 1.0]
    with pytest.warns(UserWarning, match="no `weight`, so that all weigh 1; their numbers are value"):
        assert named_graph(file).weights.tolist() == [1.0, 1.0]
    with pytest.raises(
        InputError, match="`weight` conductance: edge a-b has no such attribute; edges have value"
    ):
        named_graph(file, weight="conductance")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.csv", "source,target,weight\na,b,2.5\nb,c,1\n"),
        ("g.CSV", "\ufeffWeight,Source,Target,Type\n2.5,a,b,Undirected\r\n1,b,c,Undirected\r\n"),
        ("g.csv", "a,b,2.5\nb,c\n"),
        ("g.tsv", "from\tto\tweight\na\tb\t2.5\nb\tc\t1\n"),
        ("g.edges", "# a list\na b 2.5\n\nb c 1\n"),
        ("g.EdgeList", "a b 2.5\nb c\n"),
        ("g.txt", "a  b\t2.5\nb c 1.0"),
        (
            "g.GML",
            'graph [ node [ id 0 label "a" ] node [ id 1 label "b" ] node [ id 2 label "c" ]\n'
            "edge [ source 0 target 1 weight 2.5 ] edge [ source 1 target 2 ] ]",
        ),
    ],
)
def test_files_of_every_form(tmp_path: Path, name: str, text: str):
    graph = named_graph(written(tmp_path / name, text))
    assert (graph.names, graph.weights.tolist()) == (("a", "b", "c"), [2.5, 1.0])
    assert (graph.tails.tolist(), graph.heads.tolist()) == ([0, 1], [1, 2])


def test_a_column_of_a_table_is_the_weight(tmp_path: Path):
    file = written(tmp_path / "g.csv", "source,target,weight,value\na,b,1,2.5\nb,c,1,3\n")
    assert named_graph(file, weight="value").weights.tolist() == [2.5, 3]
    with pytest.raises(InputError, match="no such column; it has weight, value"):
        named_graph(file, weight="length")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("g.csv", "node1,node2\n0,1\n1,2\n", "line 1: node1, node2 are no vertices like those below"),
        ("g.csv", "a,b,heavy\n", "edge a-b has the weight 'heavy', which is no number"),
        ("g.csv", "a,b,-1\n", "edge a-b has weight -1"),
        ("g.csv", "a,a,1\n", "vertex a has an edge to itself"),
        ("g.csv", "a\n", "line 1: two vertices"),
        ("g.csv", "a,b,1,2\n", "line 1: two vertices"),
        ("g.edges", "", "it holds no edge"),
        ("g.edges", "a b 1\nb a 1\n", "edge a-b is there twice|edge b-a is there twice"),
        ("g.gml", "to be or not to be", "it is no GML"),
        ("g.graphml", "to be or not to be", "it is no GraphML"),
        ("g.xlsx", "", "FILE.graphml, FILE.gml, FILE.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, said: str):
    with pytest.raises(InputError, match=said) as refusal:
        named_graph(written(tmp_path / name, text))
    assert name in str(refusal.value)


def test_directions_are_left_out_where_that_is_asked_for_or_they_do_not_matter(tmp_path: Path):
    """Programs that mark every file as directed: each edge once needs the option, equal weights both ways do not."""
    once = written(tmp_path / "once.graphml", GRAPHML.format(name="weight", kind="directed", more=""))
    with pytest.raises(InputError, match=r"edge a-b has one direction.*`undirected` leaves"):
        named_graph(once)
    assert named_graph(once, undirected=True).weights.tolist() == [2.5, 1.0]
    back = '<edge source="b" target="a"/><edge source="c" target="b"><data key="w">{}</data></edge>'
    both = GRAPHML.format(name="weight", kind="directed", more=back.format("1.0"))
    assert named_graph(written(tmp_path / "both.graphml", both)).weights.tolist() == [2.5, 1.0]
    unequal = GRAPHML.format(name="weight", kind="directed", more=back.format("3.0"))
    for undirected in (False, True):
        with pytest.raises(InputError, match=r"weighs 3.0 and backwards 1.0"):
            named_graph(written(tmp_path / "unequal.graphml", unequal), undirected=undirected)
