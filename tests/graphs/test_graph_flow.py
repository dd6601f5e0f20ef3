"""Rows 4 to 7 and 9: flows conserve and descend, thresholds are proximal maps, the sparse step never rises."""

from typing import Any

import numpy as np
import pytest
from marks import slow_but
from scipy.optimize import minimize_scalar

from spinodal import flows, graphs
from spinodal.errors import ConvergenceError, InputError
from spinodal.flows import law
from spinodal.graphs import System, coupling, descent, edge_list, gradient_flow, l0, l1, named_graph, onsite

RNG = np.random.default_rng(1)
TIMES = np.linspace(0, 4, 81)
COUPLINGS = ["sin", "tanh", "y**3 - y", "sin(y) - 0.3*sin(2*y)"]


@pytest.mark.parametrize("text", slow_but(COUPLINGS, COUPLINGS[-1]))
def test_row_4_energy_falls_at_the_rate_of_the_speed_squared(text):
    system = System(named_graph("cube"), coupling(text))
    x = RNG.normal(size=8)
    flow = gradient_flow(system, x, TIMES)
    assert np.diff(flow.energies).max() <= 1e-12 * (1 + np.abs(flow.energies).max())
    t, h = 1.0, 1e-3
    near = gradient_flow(system, x, np.array([0, t - h, t, t + h]), accuracy=1e-12)
    rate = (near.energies[3] - near.energies[1]) / (2 * h)
    assert rate == pytest.approx(-(system.force(near.states[2]) ** 2).sum(), rel=1e-4, abs=1e-9)
    np.testing.assert_allclose(flow.states.sum(1), x.sum(), atol=1e-8)  # row 5
    mirrored = gradient_flow(system, -x, TIMES)
    np.testing.assert_allclose(mirrored.states, -flow.states, atol=1e-12)


@pytest.mark.slow
def test_row_9_every_mobility_has_the_same_equilibria_and_descends():
    M = RNG.uniform(0.5, 3, 5)
    system = System(
        named_graph("cycle:5"), coupling("sin"), onsite(5, stiffness=0.3, centre=RNG.normal(size=5))
    )
    x = RNG.normal(size=5)
    plain, mobile = descent(system, x), descent(system, x, M=M)
    assert plain.converged
    assert mobile.converged
    np.testing.assert_allclose(mobile.state, plain.state, atol=1e-8)
    flow = gradient_flow(system, x, TIMES, M=M)
    assert np.diff(flow.energies).max() <= 1e-12
    np.testing.assert_allclose(
        gradient_flow(system, plain.state, TIMES, M=M).states[-1], plain.state, atol=1e-7
    )


def test_attractive_couplings_reach_consensus_at_the_rate_of_the_second_eigenvalue():
    graph = named_graph("path:5")
    lambda_2 = np.linalg.eigvalsh(graph.laplacian(graph.weights))[1]
    for text, slope in (("tanh(2*y)", 2.0), ("y**3 + y/2", 0.5), ("y + sin(y)/2", 1.5)):
        system = System(graph, coupling(text))
        assert system.coupling.attractive
        assert [tuple(e.state) for e in graphs.equilibria(system).entries] == [(0, 0, 0, 0, 0)]
        rate = slope * lambda_2
        x = gradient_flow(system, RNG.normal(size=5), np.array([0, 8, 9]) / rate, accuracy=1e-12).states
        spread = np.abs(x - x.mean(1, keepdims=True)).max(1)
        assert np.log(spread[1] / spread[2]) == pytest.approx(1.0, abs=2e-3)
    assert not coupling("y**3 - y").attractive


def test_the_sine_flow_of_the_complete_graph_is_the_circle_at_beta_zero():
    """x_i' = (1/n) sum_j sin(x_j - x_i) is USA on the circle with beta = 0."""
    n = 40
    x = RNG.uniform(-np.pi, np.pi, n)
    pairs = np.argwhere(np.triu(np.ones((n, n)), 1))
    system = System(edge_list(n, pairs, np.full(len(pairs), 1 / n)), coupling("sin"))
    points = np.stack([np.cos(x), np.sin(x)], 1)
    drift = flows.unchecked_drift(points, np.full(n, 1 / n), law("usa", 0.0)).drift
    along = (drift * np.stack([-np.sin(x), np.cos(x)], 1)).sum(1)
    np.testing.assert_allclose(system.force(x), along, atol=2e-15)
    flow = gradient_flow(system, x, TIMES[:3])
    tokens = graphs.trajectory(flow, circle=True).tokens
    assert tokens.shape == (3, 1, n, 2)
    np.testing.assert_allclose(tokens.norm(dim=-1).numpy(), 1, rtol=1e-14)


@pytest.mark.parametrize("tau", [0.3, 1.0])
def test_row_6_thresholds_are_proximal_maps(tau: float):
    x = np.linspace(-2, 2, 41)
    soft, hard = graphs.soft_threshold(x, tau), graphs.hard_threshold(x, tau)
    for k in range(len(x)):
        convex: Any = minimize_scalar(
            lambda z, k=k: (z - x[k]) ** 2 / 2 + tau * abs(z), bounds=(-3, 3), method="bounded"
        )
        assert soft[k] == pytest.approx(convex.x, abs=1e-5)
        cost = lambda z, k=k: (z - x[k]) ** 2 / 2 + tau**2 / 2 * (z != 0)
        assert cost(hard[k]) <= min(cost(0.0), cost(x[k])) + 1e-15


def test_row_6b_a_threshold_after_convergence_raises_the_energy_and_leaves_a_residual():
    system = System(
        named_graph("path:6"), coupling("sin"), onsite(6, stiffness=0.5, centre=RNG.normal(size=6))
    )
    end = descent(system, np.zeros(6))
    assert end.converged
    cut = graphs.threshold_once(system, end.state, 0.2)
    assert np.count_nonzero(cut.state) < 6
    assert cut.rise > 1e-3
    assert cut.residual > 1e-2
    assert cut.rise == pytest.approx(float(system.energy(cut.state) - system.energy(end.state)))


@pytest.mark.parametrize("text", slow_but(COUPLINGS, "tanh", "y**3 - y"))
@pytest.mark.parametrize("penalty", [l1(0.4), l0(0.4)], ids=["l1", "l0"])
def test_row_7_energy_and_penalty_never_rise(text, penalty):
    n = 8
    M = RNG.uniform(0.5, 3, n)
    sites = onsite(n, stiffness=0.7, centre=2 * RNG.normal(size=n))
    system = System(named_graph("cube"), coupling(text), sites)
    end = descent(system, RNG.normal(size=n), penalty=penalty, M=M)
    assert end.converged
    assert len(end.energies) > 5
    assert np.diff(end.energies).max() <= 1e-13 * (1 + np.abs(end.energies).max())


@pytest.mark.slow
def test_row_7_sparsity_does_not_depend_on_the_step_or_the_mobility():
    """With the threshold eta tau / m_i; with eta tau alone M weighs the penalty, with tau alone the step does."""
    n, tau = 12, 0.5
    sites = onsite(n, stiffness=1.0, centre=RNG.normal(size=n))
    system = System(named_graph("cycle:12"), coupling("tanh"), sites)
    L = system.curvature_bound()
    M = np.linspace(1, 4, n)
    ends = [descent(system, np.zeros(n), penalty=l1(tau), eta=eta, M=m).state
            for eta in (1 / L, 0.2 / L) for m in (np.ones(n), M)]  # fmt: skip
    zeros = np.count_nonzero(ends[0] == 0)
    assert 0 < zeros < n
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], atol=1e-8)
        np.testing.assert_array_equal(end == 0, ends[0] == 0)
    # optimality: grad E = -tau sgn(x) where x != 0, and at most tau elsewhere
    g, x = system.gradient(ends[0]), ends[0]
    np.testing.assert_allclose(g[x != 0], -tau * np.sign(x[x != 0]), atol=1e-8)
    assert (np.abs(g[x == 0]) <= tau + 1e-9).all()

    def ended(threshold, eta, m):
        x = np.zeros(n)
        for _ in range(300):
            x = graphs.soft_threshold(x - eta * system.gradient(x) / m, threshold)
        return x

    assert np.abs(ended(tau / L, 1 / L, M) - ends[0]).max() > 0.05
    short, long = ended(0.2 * tau, 0.2 / L, 1.0), ended(0.2 * tau, 1 / L, 1.0)
    assert np.count_nonzero(short) < np.count_nonzero(long)


def test_row_7_as_written_lets_the_plain_penalty_rise_with_a_mobility():
    n, tau = 2, 0.5
    M = np.array([1.0, 30.0])
    system = System(
        named_graph("path:2"), coupling("identity"), onsite(n, stiffness=1.0, centre=np.array([0.0, 1.0]))
    )
    x = descent(system, np.zeros(n), penalty=l1(tau)).state
    assert x[1] > 0
    eta = 1 / system.curvature_bound()
    moved = graphs.soft_threshold(x - eta * system.gradient(x) / M, eta * tau)
    plain = lambda z: float(system.energy(z)) + tau * np.abs(z).sum()
    assert plain(moved) > plain(x) + 1e-3


@pytest.mark.parametrize("text", ["sin", "tanh", "identity", "sin(y) - 0.3*sin(2*y)"])
def test_euler_descends_below_two_over_l_and_not_above(text):
    system = System(named_graph("complete:5"), coupling(text))
    L = system.curvature_bound()
    x = RNG.normal(size=5)
    assert np.diff(descent(system, x, eta=1.99 / L, steps=300).energies).max() <= 1e-15
    top = np.linalg.eigh(system.graph.laplacian(system.graph.weights))[1][:, -1]
    small = 1e-3 * top  # where the bound is attained
    if system.coupling.slope_bound() == pytest.approx(abs(float(system.coupling(0.0, 1)))):
        assert system.energy(small + 2.01 / L * system.force(small)) > system.energy(small)
    with pytest.raises(InputError, match="2 / L"):
        descent(system, x, eta=2 / L)
    with pytest.raises(InputError, match="1 / L with a penalty"):
        descent(system, x, eta=1.5 / L, penalty=l1(0.1))


@pytest.mark.slow
def test_a_hundred_thousand_edges_flow():
    n, m = 20_000, 100_000
    ends = RNG.integers(0, n, (2 * m, 2))
    ends = np.unique(np.sort(ends[ends[:, 0] != ends[:, 1]], 1), axis=0)
    ends = RNG.permutation(ends)[:m]
    system = System(edge_list(n, ends), coupling("sin"))
    flow = gradient_flow(system, RNG.normal(size=n), np.linspace(0, 0.5, 6), accuracy=1e-6)
    assert np.diff(flow.energies).max() < 0
    end = descent(system, flow.states[-1], steps=20)
    assert len(end.energies) == 21
    assert np.diff(end.energies).max() < 0


@pytest.mark.slow
def test_what_cannot_flow_is_told():
    system = System(named_graph("path:3"), coupling("y - y**3"))
    with pytest.raises(ConvergenceError):
        gradient_flow(system, np.array([0.0, 3, -3]), TIMES)
    with pytest.raises(InputError, match="ascend"):
        gradient_flow(system, np.zeros(3), TIMES[::-1])
    with pytest.raises(InputError, match="3 finite numbers"):
        descent(system, np.zeros(4))
    with pytest.raises(InputError, match="positive numbers"):
        descent(system, np.zeros(3), M=np.array([1.0, 0, 1]))
    with pytest.raises(InputError, match="tau"):
        l1(-1.0)
