"""Graphs of more than 500 vertices: sparse inertia, lowest eigenvalues and Newton's method against closed forms."""

import networkx as nx
import numpy as np
import pytest
from marks import slow_but

from spinodal.errors import ConvergenceError, InputError
from spinodal.graphs import (
    StabilityAnalysis,
    System,
    analyse_stability,
    coupling,
    edge_list,
    effective_resistance,
    equilibria,
    from_networkx,
    index_and_nullity,
    lowest_eigenvalue,
    named_graph,
    negative_cut,
    onsite,
    refine_states,
    stability,
    twisted_state,
)
from spinodal.graphs.sparse import sparse_hessian

SINE = coupling("sin")


def ring(n: int) -> System:
    return System(named_graph(f"cycle:{n}"), SINE)


def random_system(n: int, seed: int) -> tuple[System, np.ndarray]:
    """A random graph with anchors on a tenth of its vertices, in two components, and a state on it."""
    rng = np.random.default_rng(seed)
    whole = nx.union(nx.random_regular_graph(3, n - 100, seed=seed), nx.path_graph(range(n, n + 100)))
    stiffness = np.where(rng.uniform(size=n) < 0.1, rng.uniform(0.1, 2, n), 0.0)
    stiffness[n - 100 :] = 0
    return System(from_networkx(whole), SINE, onsite(n, stiffness=stiffness)), rng.normal(size=n)


@pytest.mark.parametrize(
    ("n", "q", "index"),
    slow_but(
        [(600, 0, 0), (601, 100, 0), (601, 140, 0), (601, 200, 600), (602, 301, 601)],
        (600, 0, 0),
        (601, 200, 600),
    ),
)
def test_the_index_of_twisted_states(n: int, q: int, index: int):
    """C_n, sin, y = 2 pi q / n: eigenvalues 2 cos(y) (1 - cos(2 pi k / n)), stable iff |q| < n / 4."""
    system, x = ring(n), twisted_state(n, q)
    y, k = 2 * np.pi * q / n, np.arange(1, n)
    known = 2 * np.cos(y) * (1 - np.cos(2 * np.pi * k / n))
    assert index_and_nullity(system, x) == (index, 0)
    assert lowest_eigenvalue(system, x) == pytest.approx(known.min(), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_inertia_and_lowest_eigenvalues_against_full_matrices(seed: int):
    system, x = random_system(600, seed)
    eigenvalues = np.linalg.eigvalsh(system.basis.T @ system.hessian(x) @ system.basis)
    H = sparse_hessian(system, x, 1e-9)
    np.testing.assert_allclose(H.matrix.toarray(), system.hessian(x), atol=1e-14)
    assert H.index_and_nullity() == ((eigenvalues < 0).sum(), 0)
    value, v = H.lowest_pair()
    assert value == pytest.approx(eigenvalues[0], abs=1e-9)
    assert np.abs(H.matrix @ v - value * v).max() < 1e-7
    assert abs(v[500:].sum()) < 1e-9  # off the translations of the component that floats
    for shift in (-1.0, -0.1, 0.2):
        floating = 0 if shift < 0 else 1
        assert H.count_below(shift) == (eigenvalues < shift).sum() + floating


def test_a_circle_of_minima_in_a_large_graph():
    """A triangle with y^3 - y on its circle sum y^2 = 2, and a path of n - 3 edges with y = 1 behind it."""
    n, f = 600, coupling("y**3 - y")
    edges = [(0, 1), (1, 2), (2, 0), *((k, k + 1) for k in range(2, n - 1))]
    circle = refine_states(System(named_graph("cycle:3"), f), np.array([[-0.6, 0.1, 0.5]]))[0][0]
    x = np.concatenate([circle, circle[2] + np.arange(1, n - 2)])
    found = stability(System(edge_list(n, edges), f), x)
    assert (found.index, found.nullity, found.dimension, found.name) == (0, 1, 1, "lyapunov")
    assert not found.asymptotic


def test_the_dimension_in_a_block_of_hundreds_of_vertices():
    """C_n, sin, y = alpha and pi - alpha in turn: a curve of equilibria, n / 2 slopes of either sign, sum 1 / w = 0."""
    n, alpha = 600, 0.7
    x = np.concatenate([[0.0], np.cumsum(np.tile([alpha, np.pi - alpha], n // 2))[:-1]])
    found = stability(ring(n), x)
    assert (found.nullity, found.dimension, found.name) == (1, 1, "unstable")
    assert found.index == n // 2 - 1


@pytest.mark.parametrize(
    ("text", "y", "name", "asymptotic"),
    [
        pytest.param("y*(y**2 - 1)*(y**2 - 2)**3", np.sqrt(2), "lyapunov", True, marks=pytest.mark.slow),
        ("y*(y**2 - 1)**2", 1.0, "unstable", False),
    ],
)
def test_a_kernel_that_the_energy_decides_in_a_large_graph(text: str, y: float, name: str, asymptotic: bool):
    """One edge of a path at a triple zero of f, where the energy has a minimum, or at a double one without any."""
    n = 600
    x = np.where(np.arange(n) < 300, 0.0, y)
    found = stability(System(named_graph(f"path:{n}"), coupling(text)), x)
    assert (found.index, found.nullity, found.dimension) == (0, 1, 0)
    assert (found.name, found.asymptotic) == (name, asymptotic)


def test_a_kernel_of_hundreds_of_dimensions_is_not_examined():
    with pytest.raises(ConvergenceError, match=r"599 zero eigenvalues at 600 vertices"):
        stability(ring(600), twisted_state(600, 150))


@pytest.mark.slow
def test_equilibria_of_a_large_cycle():
    """C_n, sin: y is alpha on n - k edges and pi - alpha on k, with sum 0 modulo 2 pi; the index follows from k."""
    result = equilibria(ring(501), starts=3)
    assert len(result.entries) >= 3
    assert 0 < result.unseen <= 1
    system = ring(501)
    for e in result.entries:
        assert np.abs(system.gradient(e.state)).max() < 1e-10
        slopes = np.cos(system.graph.differences(e.state))
        np.testing.assert_allclose(np.abs(slopes), np.abs(slopes[0]), atol=1e-8)
        eigenvalues = np.linalg.eigvalsh(system.hessian(e.state))
        assert e.index == (eigenvalues < -1e-9).sum()


@pytest.mark.slow
def test_a_large_tree_has_one_equilibrium_or_too_many_to_list():
    (only,) = equilibria(System(named_graph("path:1500"), coupling("tanh"))).entries
    assert (only.stability, only.asymptotic, only.energy, np.abs(only.state).max()) == ("linear", True, 0, 0)
    with pytest.raises(InputError, match=r"about 10\^451 equilibria, 2 on each of 1499 bridges"):
        equilibria(System(named_graph("path:1500"), SINE))


def test_anchors_that_are_strong_leave_one_equilibrium_of_a_large_graph():
    system = System(named_graph("star:700"), SINE, onsite(700, stiffness=1500.0, centre=np.arange(700) / 700))
    (only,) = equilibria(system, starts=2).entries
    assert (only.stability, only.dimension) == ("linear", 0)


def test_one_negative_edge_of_a_large_cycle():
    """C_n, y = a = pi / (n - 2) on all edges but one, pi - a there: |w| R = n - 1; every cut has sum >= 0."""
    n = 800
    a = np.pi / (n - 2)
    x = np.concatenate([[0.0], np.pi - a + a * np.arange(n - 1)])
    report = analyse_stability(StabilityAnalysis(ring(n), x))
    assert report.resistance == pytest.approx(n - 1, rel=1e-9)
    assert (report.stability.index, report.cut, report.all_slopes_positive) == (1, None, False)


def test_a_bridge_has_the_resistance_of_its_weight_in_a_large_tree():
    graph = named_graph("path:5000")
    w = np.linspace(1, 2, graph.m)
    assert effective_resistance(graph, w, 10, 20) == pytest.approx((1 / w[10:20]).sum(), rel=1e-12)
    assert effective_resistance(graph, np.where(np.arange(graph.m) == 12, 0, w), 10, 20) == np.inf
    assert effective_resistance(graph, w, 7, 7) == 0


def test_a_negative_cut_of_a_large_graph_is_one():
    graph = from_networkx(nx.convert_node_labels_to_integers(nx.grid_2d_graph(30, 30)))
    w = np.ones(graph.m)
    assert negative_cut(graph, w) is None
    left = np.arange(900) % 30 < 15
    crossing = left[graph.tails] != left[graph.heads]
    w[crossing] = -0.5
    cut = negative_cut(graph, w)
    assert cut is not None
    assert w[cut[graph.tails] != cut[graph.heads]].sum() < 0


@pytest.mark.slow
def test_ten_thousand_vertices():
    """A path of 10,000 at rest: the lowest eigenvalue is 2 - 2 cos(pi / n), 1e-7, and it is not zero."""
    n = 10_000
    system = System(named_graph(f"path:{n}"), SINE)
    assert index_and_nullity(system, np.zeros(n)) == (0, 0)
    assert lowest_eigenvalue(system, np.zeros(n)) == pytest.approx(2 - 2 * np.cos(np.pi / n), rel=1e-5)
