"""Three notions of stability, nullity and dimension, and the tests that need no eigenvalue."""

import math

import numpy as np
import pytest

from spinodal import graphs
from spinodal.errors import InputError
from spinodal.graphs import (
    System,
    basins,
    coupling,
    edge_list,
    named_graph,
    onsite,
    spectrum,
    stability,
    twisted_state,
)

SINE = coupling("sin")
RNG = np.random.default_rng(2)


def lone(text: str) -> System:
    return System(named_graph("path:2"), coupling(text))


@pytest.mark.parametrize(
    ("text", "notions"),
    [
        ("y", (True, True, True)),
        ("y**3", (False, True, True)),
        ("y**7", (False, True, True)),
        ("-y", (False, False, False)),
        ("-y**3", (False, False, False)),
        ("y**5 - y**7", (False, True, True)),
    ],
)
def test_on_one_edge_the_first_power_decides(text, notions):
    s = stability(lone(text), np.zeros(2))
    assert (s.linear, s.asymptotic, s.lyapunov) == notions
    assert s.dimension == 0


def test_a_degenerate_saddle_of_two_modes_is_found():
    """On a path with cubic forces of both signs E rises one way and falls the other; H is zero."""
    system = System(named_graph("path:3"), coupling("y**3"))
    assert stability(system, np.zeros(3)).asymptotic
    mixed = System(named_graph("path:2"), coupling("y**3"), onsite(2))
    assert stability(mixed, np.zeros(2)).asymptotic
    star = System(named_graph("cycle:4"), SINE)
    s = stability(star, twisted_state(4, 1))  # E - 4 changes sign with every cubic term
    assert (s.index, s.nullity, s.lyapunov, s.dimension) == (0, 3, False, 1)


@pytest.mark.parametrize(("n", "q"), [(8, 1), (9, 2), (12, 2), (12, 4), (13, 3)])
def test_twisted_states(n: int, q: int):
    """y = 2 pi q / n, eigenvalues 2 cos(2 pi q / n) (1 - cos(2 pi k / n)), stable iff |q| < n / 4."""
    system = System(named_graph(f"cycle:{n}"), SINE)
    x = twisted_state(n, q)
    assert np.abs(system.gradient(x)).max() < 1e-12
    k = np.arange(1, n)
    known = 2 * math.cos(2 * math.pi * q / n) * (1 - np.cos(2 * math.pi * k / n))
    np.testing.assert_allclose(spectrum(system, x), np.sort(known), atol=1e-12)
    assert stability(system, x).linear == (abs(q) < n / 4)


def test_crossings_have_more_nullity_than_dimension():
    """Y = pi / 2 everywhere on C8: the Hessian vanishes, 35 circles cross."""
    s = stability(System(named_graph("cycle:8"), SINE), twisted_state(8, 2))
    assert (s.nullity, s.dimension, s.name) == (7, 1, "unstable")


def test_the_triangles_circle_holds_its_neighbours_and_does_not_call_them_back():
    system = System(named_graph("cycle:3"), coupling("y**3 - y"))
    radius = math.sqrt(2 / 3)  # sum y^2 = 3 |x|^2
    x = radius * np.array([1, -1, 0]) / math.sqrt(2)
    s = stability(system, x)
    assert (s.linear, s.asymptotic, s.lyapunov, s.nullity, s.dimension) == (False, False, True, 1, 1)
    turned = radius * (
        math.cos(0.1) * np.array([1, -1, 0]) / 2**0.5 + math.sin(0.1) * np.array([1, 1, -2]) / 6**0.5
    )
    end = graphs.descent(system, 1.05 * turned)
    assert end.converged
    assert np.linalg.norm(end.state - turned) < 1e-6
    assert np.linalg.norm(end.state - x) == pytest.approx(2 * radius * math.sin(0.05), rel=1e-4)


def test_newtons_accuracy_at_degenerate_points_is_within_the_tolerance():
    """Newton converges linearly to y = 0 of y^3 and stops some 1e-6 away: nullity is seen all the same."""
    states, _ = graphs.refine_states(lone("y**3"), np.array([[0.3, -0.2]]))
    assert 0 < abs(states[0, 1] - states[0, 0]) < 1e-4
    assert stability(lone("y**3"), states[0]).nullity == 1


def test_positive_slopes_suffice_and_a_negative_cut_kills():
    graph = named_graph("cube")
    for seed in range(40):
        w = np.random.default_rng(seed).normal(0.7, 0.8, graph.m)
        eigenvalues = np.linalg.eigvalsh(graph.laplacian(w))
        cut = graphs.negative_cut(graph, w)
        if cut is not None:
            assert w[cut[graph.tails] != cut[graph.heads]].sum() < 0
            assert eigenvalues[0] < 0
        if (w > 0).all():
            assert cut is None
    big = named_graph("cycle:40")
    w = np.ones(40)
    w[7] = -2.0
    found = graphs.negative_cut(big, w)
    assert found is not None
    assert w[found[big.tails] != found[big.heads]].sum() < 0
    system = System(graph, SINE)
    assert graphs.positive_test(system, np.zeros(8))
    assert stability(system, np.zeros(8)).linear


@pytest.mark.parametrize("w_e", [-0.1, -0.4, -0.45, -0.5, -0.6, -1.0, -3.0])
def test_one_negative_edge_is_stable_iff_its_resistance_says_so(w_e: float):
    """|w_e| R_eff < 1; on the diamond without its chord, R of the chord's ends is 1."""
    for name in ("diamond", "cube", "complete:5"):
        graph = named_graph(name)
        for e in range(graph.m):
            w = np.random.default_rng(e).uniform(0.5, 2, graph.m)
            w[e] = w_e
            stable = (
                np.linalg.eigvalsh(graph.laplacian(w))[1] > 0
                and np.linalg.eigvalsh(graph.laplacian(w))[0] > -1e-12
            )
            assert (graphs.single_negative_edge(graph, w) < 1) == stable
    bridge = np.ones(3)
    bridge[1] = w_e
    assert graphs.single_negative_edge(named_graph("path:4"), bridge) == math.inf


def test_effective_resistances_of_series_and_parallel():
    square = named_graph("cycle:4")
    assert graphs.effective_resistance(square, np.ones(4), 0, 2) == pytest.approx(1)
    assert graphs.effective_resistance(
        named_graph("path:5"), np.array([1.0, 2, 4, 8]), 0, 4
    ) == pytest.approx(1.875)
    with pytest.raises(InputError, match="negative"):
        graphs.effective_resistance(square, -np.ones(4), 0, 2)
    with pytest.raises(InputError, match="0 edges"):
        graphs.single_negative_edge(square, np.ones(4))


def test_what_is_no_equilibrium_has_no_stability():
    with pytest.raises(InputError, match="no equilibrium"):
        stability(lone("sin"), np.array([0.0, 1]))
    with pytest.raises(InputError, match="2 finite numbers"):
        stability(lone("sin"), np.zeros(3))


def test_basins_of_two_wells_are_the_shares_of_the_starts():
    """P2, y^3 - y: y goes to the sign it starts with; uniform on [-1, 3] that is 1/4 and 3/4."""
    y = RNG.uniform(-1, 3, 4000)
    result = basins(lone("y**3 - y"), np.stack([-y / 2, y / 2], 1))
    right, left = result.entries
    assert right.share == (y > 0).mean()
    assert right.share == pytest.approx(0.75, abs=4 * right.error)
    assert right.attractor.state[1] - right.attractor.state[0] == pytest.approx(1, abs=1e-9)
    assert left.share == 1 - right.share
    assert result.unsettled == 0


def winding(x: np.ndarray) -> int:
    """How often the states turn once around the ring."""
    y = np.diff(np.append(x, x[0]))
    return round((y - 2 * np.pi * np.round(y / (2 * np.pi))).sum() / (2 * np.pi))


@pytest.mark.slow
def test_basins_of_a_ring_are_those_of_the_accurate_flow():
    """C8 has windings -1, 0 and 1 that are stable; each start is followed to its end with eighth order too."""
    system = System(named_graph("cycle:8"), SINE)
    starts = RNG.uniform(-np.pi, np.pi, (14, 8))
    result = basins(system, starts)
    assert {b.attractor.stability for b in result.entries} == {"linear"}
    flows = [graphs.gradient_flow(system, x, np.array([0, 40.0]), accuracy=1e-6).states[-1] for x in starts]
    values, met = np.unique([winding(x) for x in flows], return_counts=True)
    counts = {winding(b.attractor.state): round(14 * b.share) for b in result.entries}
    assert counts == dict(zip(values.tolist(), met.tolist(), strict=True))
    assert set(counts) <= {-1, 0, 1}
    assert len(counts) > 1


def test_edge_order_does_not_matter():
    one = System(edge_list(3, [(0, 1), (1, 2)]), SINE)
    other = System(edge_list(3, [(2, 1), (1, 0)]), SINE)
    x = RNG.normal(size=3)
    np.testing.assert_allclose(one.force(x), other.force(x), atol=1e-15)
