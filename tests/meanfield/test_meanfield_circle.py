"""Densities on the circle: closed forms, linear theory, tokens, and the way through Diracs to one."""

import numpy as np
import pytest
from rates import growth
from scipy.optimize import brentq

from spinodal.errors import InputError
from spinodal.flows import AttentionField
from spinodal.flows.time import Adaptive, simulate
from spinodal.meanfield import Circle, CircleModes, Fourier, circle_noise, circle_values, drift_law, tokens
from spinodal.meanfield.panels import (
    Rule,
    halve_panels,
    merge_atoms,
    node_labels,
    refine_line,
    uniform_panels,
)
from spinodal.theory import fastest_degree, growth_rate_sa, growth_rate_usa

FOUR = CircleModes(np.full(4, 0.1), np.array([0.0, 1.0, 2.0, 0.5]))
RATES = {"sa": growth_rate_sa, "usa": growth_rate_usa}


def moved(solver, until):
    while solver.time < until:
        solver.advance(until)
    return solver


def single(degree: int, amplitude: float) -> CircleModes:
    turned = 0.0 if amplitude > 0 else np.pi
    return CircleModes(np.eye(degree)[-1] * abs(amplitude), np.full(degree, turned))


def test_kuramoto_keeps_the_poisson_kernel():
    """beta = 0: m_k = r^k stays so, and r' = r (1 - r^2) / 2 (Ott and Antonsen)."""
    k = np.arange(1, 41)
    solver = moved(Circle(drift_law("sa", 0.0), CircleModes(2 * 0.3**k, np.zeros(40)), tolerance=1e-10), 3.0)
    odds = 0.09 / 0.91 * np.exp(3.0)
    r = np.sqrt(odds / (1 + odds))
    assert solver.moments(10) == pytest.approx(r ** np.arange(11), abs=2e-8)


@pytest.mark.parametrize(
    ("kind", "beta", "degree"), [("sa", 5.0, 3), ("sa", 1.0, 1), ("usa", 9.0, 4), ("usa", 5.0, 2)]
)
def test_growth_rates(kind, beta, degree):
    rate = RATES[kind](degree, 2, beta)
    time = 0.4 / float(RATES[kind](int(fastest_degree(2, beta)), 2, beta))
    law = drift_law(kind, beta)
    assert growth(lambda a: Circle(law, single(degree, a), tolerance=1e-14), degree, time) == pytest.approx(
        rate, rel=1e-8
    )
    spectral = growth(lambda a: Fourier(law, single(degree, a), tolerance=1e-11), degree, time)
    assert spectral == pytest.approx(rate, rel=1e-8)


def test_repulsion_decays_at_the_same_rate():
    law = drift_law("sa", 5.0, repulsive=True)
    rate = growth(lambda a: Circle(law, single(3, a), tolerance=1e-14), 3, 0.5)
    assert rate == pytest.approx(-growth_rate_sa(3, 2, 5.0), rel=1e-8)


def test_agrees_with_tokens_by_the_definition():
    """n tokens at equal steps of the distribution function are spectrally accurate while the map is smooth."""
    n, beta, h = 300, 9.0, 0.02
    cdf = lambda a, s: (
        a / (2 * np.pi)
        + sum(0.1 / k * (np.sin(k * a - p) + np.sin(p)) for k, p in enumerate(FOUR.phases, 1)) / (2 * np.pi)
        - s
    )
    theta = np.array([brentq(cdf, 0, 2 * np.pi, args=((j + 0.5) / n,), xtol=1e-14) for j in range(n)])

    def drift(theta):
        gap = theta - theta[:, None]
        weight = np.exp(beta * (np.cos(gap) - 1))
        return (weight * np.sin(gap)).sum(1) / weight.sum(1)

    for _ in range(50):
        a = drift(theta)
        b = drift(theta + h / 2 * a)
        c = drift(theta + h / 2 * b)
        theta = theta + h / 6 * (a + 2 * b + 2 * c + drift(theta + h * c))
    k = np.arange(11)[:, None]
    solver = moved(Circle(drift_law("sa", beta), FOUR, tolerance=1e-11), 1.0)
    assert solver.moments(10) == pytest.approx(np.exp(1j * k * theta).mean(1), abs=1e-8)


@pytest.mark.slow
def test_rotates_with_its_start():
    turned = CircleModes(FOUR.amplitudes, FOUR.phases + 0.7 * np.arange(1, 5))
    a = moved(Circle(drift_law("sa", 9.0), FOUR), 8.0).moments(10)
    b = moved(Circle(drift_law("sa", 9.0), turned), 8.0).moments(10)
    assert b == pytest.approx(a * np.exp(0.7j * np.arange(11)), abs=2e-6)


@pytest.mark.slow
def test_through_diracs_to_the_tolerance():
    """beta = 9 to T = 30, as in the benchmark: an error that falls with the tolerance, and a mass that is exact."""
    exact = moved(Circle(drift_law("sa", 9.0), FOUR, tolerance=1e-9), 30.0).moments(10)
    error = []
    for tolerance in (1e-6, 1e-8):
        solver = moved(Circle(drift_law("sa", 9.0), FOUR, tolerance=tolerance), 30.0)
        assert solver.diracs
        assert abs(solver.weights.sum() - 1) < 1e-14
        error.append(np.abs(solver.moments(10) - exact).max())
    assert error[1] < 1e-6
    assert error[1] < error[0] / 50


@pytest.mark.slow
def test_consensus_after_1e20():
    solver = Circle(drift_law("sa", 25.0), FOUR, tolerance=1e-7)
    while not solver.consensus:
        solver.advance(np.inf)
    assert solver.time == pytest.approx(6.6254e20, rel=1e-4)
    assert solver.weights == pytest.approx([1.0], abs=1e-14)


@pytest.mark.slow
def test_the_particle_integrator_goes_on_from_atoms():
    solver = Circle(drift_law("sa", 5.0), FOUR, tolerance=1e-7)
    while not solver.diracs:
        solver.advance(np.inf)
    x, w = solver.tokens()
    run = simulate(AttentionField(5.0), x, 100.0, weights=w, method=Adaptive(tolerance=1e-7))
    moved(solver, solver.time + 100.0)
    end = run.tokens[-1]
    theta = np.arctan2(end[:, 1], end[:, 0])
    assert solver.moments(10) == pytest.approx(np.exp(1j * np.arange(11)[:, None] * theta) @ w, abs=1e-5)


def test_density_follows_the_map():
    """Along the way the density is what Fourier's solver finds at the same points."""
    line = moved(Circle(drift_law("sa", 5.0), FOUR, tolerance=1e-10), 1.5)
    spectral = moved(Fourier(drift_law("sa", 5.0), FOUR), 1.5)
    y, rho = line.density()
    k = np.arange(spectral.degrees + 1)[:, None]
    weights = np.where(k > 0, 2.0, 1.0)
    there = (weights * np.real(spectral.m.conj()[:, None] * np.exp(1j * k * y.ravel()))).sum(0)
    assert rho.ravel() == pytest.approx(there, rel=1e-6)


def test_panels_split_collapse_dissolve_and_merge():
    rule = Rule(1e-8, 0.3, 10.0)
    line = uniform_panels(lambda a: np.full_like(a, 1 / (2 * np.pi)), (0.0, 2 * np.pi), rule)
    steep = line._replace(y=line.y + np.tanh(2 * (line.y - 3.0)))
    while (finer := refine_line(steep, np.ones_like, rule)) is not steep:
        a = node_labels(finer.left, finer.right)
        assert finer.weights.sum() == pytest.approx(1, abs=1e-15)
        steep = finer._replace(y=a + np.tanh(2 * (a - 3.0)))
    assert len(steep.y) > len(line.y)
    middle = (steep.left + steep.right) / 2
    child = halve_panels(steep, middle > 2.5, np.ones_like)
    a = node_labels(*child[:2])
    assert child[2] == pytest.approx(a + np.tanh(2 * (a - 3.0)), abs=2e-7)
    flat = refine_line(line._replace(y=1.0 + 1e-9 * line.y), np.ones_like, rule)
    assert not len(flat.y)
    one = merge_atoms(flat, rule, 2 * np.pi)
    assert one.atoms % (2 * np.pi) == pytest.approx([1.0], abs=1e-8)
    assert one.masses == pytest.approx([1.0], abs=1e-15)


def test_atoms_meet_across_the_period_with_their_own_masses():
    rule = Rule(1e-8, 0.3, 10.0)
    solver = tokens(
        drift_law("sa", 5.0), np.array([1.0, 2 * np.pi - 1e-9, 1e-9, 3.0]), np.array([0.1, 0.3, 0.2, 0.4])
    )
    line = merge_atoms(solver.line, rule, 2 * np.pi)
    order = np.argsort(np.cos(line.atoms))
    assert line.masses[order] == pytest.approx([0.4, 0.1, 0.5])
    assert np.cos(line.atoms[order]) == pytest.approx(np.cos([3.0, 1.0, 0.0]), abs=1e-8)


def test_bad_starts_are_refused():
    with pytest.raises(InputError, match=r"density is -0\.5 at theta = 3\.14"):
        CircleModes(np.array([1.5]), np.zeros(1))
    with pytest.raises(InputError, match="beyond the resolution of a start"):
        CircleModes(np.full(2000, 1e-6), np.zeros(2000))
    with pytest.raises(InputError, match=r"integrates to 2, not to one"):
        circle_values(np.full(10, 1 / np.pi))
    with pytest.raises(InputError, match="not finite"):
        CircleModes(np.array([np.nan]), np.zeros(1))
    with pytest.raises(InputError, match="noise 0 must lie"):
        circle_noise(0.0, np.random.default_rng(0))
    with pytest.raises(InputError, match="use Zonal or Sphere"):
        Circle(drift_law("sa", 5.0, 3), FOUR)
    with pytest.raises(InputError, match="simulate particles"):
        drift_law("sa", 1e5)
    with pytest.raises(InputError, match="overflows"):
        drift_law("usa", 800.0)


def test_values_on_a_grid_are_the_modes_that_made_them():
    theta = 2 * np.pi * np.arange(40) / 40
    start = circle_values(FOUR.density(theta) / (2 * np.pi))
    at = np.linspace(0, 6, 17)
    assert start.density(at) == pytest.approx(FOUR.density(at), abs=1e-14)


def test_high_moments_of_a_coarse_mesh_are_exact():
    start = CircleModes(np.array([0.3, 0.0, 0.1]), np.array([0.5, 0.0, 1.0]))
    solver = Circle(drift_law("sa", 9.0), start)
    assert abs(solver.weights @ np.exp(64j * solver.points)) > 1e-3  # the solver's own nodes alias
    expected = np.zeros(65, complex)
    expected[0], expected[1:4] = 1, start.moments
    np.testing.assert_allclose(solver.moments(64), expected, atol=1e-13)
