"""Rows 1 to 5, 8, 9 and 12 of the specification: graphs, energies, forces, and what they conserve."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, eye_array

from spinodal import graphs
from spinodal.errors import InputError
from spinodal.graphs import (
    System,
    coupling,
    edge_list,
    equilibria,
    from_adjacency,
    from_networkx,
    named_graph,
    onsite,
)

RNG = np.random.default_rng(0)


def random_adjacency(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    A = rng.uniform(0, 1, (n, n)) * (rng.uniform(size=(n, n)) < 0.6)
    A = np.triu(A, 1)
    return A + A.T


def torch_energy(A, x, F, onsite=None):
    """E as row 3 writes it, 1/2 sum_jk over all pairs, with autograd."""
    E = 0.5 * (A * F(x[None] - x[:, None])).sum()
    if onsite is not None:
        gamma, v, b = map(torch.from_numpy, (onsite.stiffness, onsite.centre, onsite.drive))
        E = E + (0.5 * gamma * (x - v) ** 2 - b * x).sum()
    return E


@pytest.mark.parametrize(
    ("text", "F"),
    [
        ("sin", lambda y: 1 - y.cos()),
        ("tanh", lambda y: y.cosh().log()),
        ("y**3 - y", lambda y: y**4 / 4 - y**2 / 2),
        ("sin(y) - 0.5*sin(2*y)", lambda y: (1 - y.cos()) - 0.25 * (1 - (2 * y).cos())),
    ],
)
def test_autograd_of_the_energy_is_minus_the_right_hand_side(text, F):
    """Row 3, and the Hessian as the derivative of the gradient."""
    n = 7
    A = random_adjacency(n)
    sites = onsite(n, stiffness=RNG.uniform(0, 2, n), centre=RNG.normal(size=n), drive=RNG.normal(size=n))
    system = System(from_adjacency(A), coupling(text), sites)
    x = RNG.normal(size=n)
    z = torch.tensor(x, requires_grad=True)
    E = torch_energy(torch.from_numpy(A), z, F, sites)
    (gradient,) = torch.autograd.grad(E, z)
    assert float(system.energy(x)) == pytest.approx(E.item(), rel=1e-12)
    np.testing.assert_allclose(system.force(x), -gradient.numpy(), atol=1e-12)
    H = torch.autograd.functional.hessian(
        lambda s: torch_energy(torch.from_numpy(A), s, F, sites), z.detach()
    )
    np.testing.assert_allclose(system.hessian(x), np.asarray(H), atol=1e-12)
    v = RNG.normal(size=n)
    h = 1e-5
    T = (system.hessian(x + h * v) - system.hessian(x - h * v)) / (2 * h)
    np.testing.assert_allclose(system.third(x, v), T, atol=1e-7)
    Q = (system.third(x + h * v, v) - system.third(x - h * v, v)) / (2 * h)
    assert system.fourth(x, v) == pytest.approx(v @ Q @ v, rel=1e-6)


@given(st.integers(0, 1000))
def test_translations_sums_and_reflections(seed: int):
    """Rows 3 and 5: E(x + c1) = E(x), the sum of x is conserved, -x moves like x."""
    rng = np.random.default_rng(seed)
    system = System(from_adjacency(random_adjacency(6, seed)), coupling("y**3 - y + sin(y)"))
    x = rng.normal(size=6)
    assert float(system.energy(x + 3.0)) == pytest.approx(float(system.energy(x)), rel=1e-10, abs=1e-10)
    assert abs(system.force(x).sum()) < 1e-11
    np.testing.assert_array_equal(system.force(-x), -system.force(x))
    batch = np.stack([x, -x, x + 3])
    np.testing.assert_allclose(system.hessian(batch)[1], system.hessian(-x))
    np.testing.assert_allclose(system.gradient(batch)[0], system.gradient(x), atol=1e-14)


def test_the_hessian_is_a_laplacian_of_slopes():
    graph = from_adjacency(random_adjacency(6))
    system = System(graph, coupling("sin"))
    x = RNG.normal(size=6)
    B = graph.incidence.toarray()
    w = graph.weights * np.cos(B.T @ x)
    np.testing.assert_allclose(system.hessian(x), B @ np.diag(w) @ B.T, atol=1e-14)


def test_row_1_attention_weights_are_symmetric_and_their_softmax_is_reversible():
    n, c = 6, 4
    q, k = RNG.normal(size=(2, n, c))
    mask = RNG.uniform(size=(n, n)) < 0.7
    mask &= mask.T
    A = graphs.attention_weights(q, k, mask)
    np.testing.assert_array_equal(A, A.T)
    assert (A[~mask] == 0).all()
    assert (A[mask] > 0).all()
    naive = np.array(
        [[np.exp((q[i] @ k[j] + q[j] @ k[i]) / (2 * c**0.5)) for j in range(n)] for i in range(n)]
    )
    np.testing.assert_allclose(A, np.where(mask, naive, 0), rtol=1e-13)
    P, d = graphs.row_softmax(A), A.sum(1)
    np.testing.assert_allclose(d[:, None] * P, (d[:, None] * P).T, atol=1e-14)
    np.testing.assert_allclose(P.sum(1)[d > 0], 1)
    assert (graphs.row_softmax(np.zeros((2, 2))) == 0).all()
    with pytest.raises(InputError, match="not symmetric"):
        graphs.attention_weights(q, k, np.tril(np.ones((n, n), dtype=bool)))
    with pytest.raises(InputError, match="overflows"):
        graphs.attention_weights(100 * q, 100 * k, np.ones((n, n), dtype=bool))


@pytest.mark.parametrize("symmetric", [True, False])
def test_row_2_the_jacobian_is_symmetric_iff_a_is(symmetric: bool):
    n = 5
    A = RNG.uniform(0.1, 1, (n, n))
    A = A + A.T if symmetric else A
    x = RNG.normal(size=n)
    rate = lambda z: graphs.vertex_rate(z, A, lambda s: -(s**3), lambda a, b: np.sin(b - a))
    h = 1e-6
    J = np.stack([(rate(x + h * e) - rate(x - h * e)) / (2 * h) for e in np.eye(n)], 1)
    assert (np.abs(J - J.T).max() < 1e-8) == symmetric
    if symmetric:
        system = System(from_adjacency(A - np.diag(np.diag(A))), coupling("sin"))
        np.testing.assert_allclose(rate(x) + x**3, system.force(x), atol=1e-13)


def test_row_8_powers_vanish_and_flows_circulate_at_every_equilibrium():
    for name, text in (("diamond", "y**3 - y"), ("cycle:5", "sin"), ("complete:4", "y**3 - y")):
        graph = named_graph(name)
        f = coupling(text)
        found = equilibria(System(graph, f)).entries
        assert len(found) > 5
        for e in found:
            y = graph.differences(e.state)
            assert np.abs(graph.divergence(np.asarray(f(y)))).max() < 1e-9
            assert abs((y * f(y)).sum()) < 1e-8


def test_row_12_levels_are_a_partition_of_unity():
    n, m, reach = 30, 10, 4
    rows = np.repeat(np.arange(m), reach)
    columns = (3 * rows + np.tile(np.arange(reach), m)) % n
    w = csr_array((RNG.uniform(0.1, 1, m * reach), (rows, columns)), shape=(m, n))
    np.testing.assert_allclose(graphs.level_average(np.ones((n, 2)), w), 1, rtol=1e-14)
    O = RNG.normal(size=(n, 3))
    naive = np.stack(
        [sum(w[v, u] * O[u] for u in range(n)) / sum(w[v, u] for u in range(n)) for v in range(m)]
    )
    np.testing.assert_allclose(graphs.level_average(O, w), naive, atol=1e-13)
    np.testing.assert_array_equal(graphs.level_average(O, csr_array(eye_array(n))), O)
    empty = csr_array((2, n))
    assert (graphs.level_average(O, empty) == 0).all()
    with pytest.raises(InputError, match="not negative"):
        graphs.level_average(O, -w)


def test_graphs_by_name_and_from_networkx(tmp_path):
    sizes = {"cycle:8": (8, 8, 1), "complete:5": (5, 10, 6), "path:4": (4, 3, 0), "star:6": (6, 5, 0)}
    sizes |= {"bowtie": (5, 6, 2), "diamond": (4, 5, 2), "cube": (8, 12, 5)}
    for name, (n, m, betti) in sizes.items():
        graph = named_graph(name)
        assert (graph.n, graph.m, graph.betti) == (n, m, betti)
    other = nx.Graph()
    other.add_weighted_edges_from([("a", "b", 2.0), ("b", "c", 0.5)])
    other.add_node("alone")
    nx.write_graphml(other, tmp_path / "g.graphml")
    graph = named_graph(str(tmp_path / "g.graphml"))
    assert graph.names == ("a", "b", "c", "alone")
    np.testing.assert_array_equal(graph.weights, [2, 0.5])
    assert graph.components.tolist() == [0, 0, 0, 1]
    assert graph.betti == 0
    assert nx.utils.graphs_equal(graph.networkx(), nx.convert_node_labels_to_integers(other))
    A = random_adjacency(5)
    np.testing.assert_array_equal(nx.to_numpy_array(from_adjacency(A).networkx()), A)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (nx.DiGraph([(0, 1)]), "directed"),
        (nx.MultiGraph([(0, 1), (0, 1)]), "parallel"),
        (nx.Graph([(0, 0)]), "to itself"),
        (nx.Graph([(0, 1, {"weight": -1.0})]), "weight -1"),
        (nx.Graph([(0, 1, {"weight": "x"})]), "no number"),
        (nx.Graph(), "no vertex"),
    ],
)
def test_graphs_that_have_no_energy_are_refused(other, said):
    with pytest.raises(InputError, match=said):
        from_networkx(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: named_graph("cycle:2"),
        lambda: named_graph("cycle:x"),
        lambda: named_graph("torus:3"),
        lambda: named_graph("nowhere.graphml"),
        lambda: edge_list(3, [(0, 1), (1, 0)]),
        lambda: edge_list(2, [(0, 2)]),
        lambda: from_adjacency(np.array([[0.0, 1], [0.5, 0]])),
        lambda: onsite(3, stiffness=-1.0),
        lambda: onsite(3, drive=np.array([1.0, 2])),
        lambda: onsite(2, drive=np.nan),
        lambda: System(named_graph("path:3"), coupling("sin"), onsite(2)),
        lambda: System(named_graph("path:3"), coupling("sin")).with_parameter("mu", 1.0),
    ],
)
def test_wrong_input_is_named(make):
    with pytest.raises(InputError):
        make()
