"""The linear phase and its forecasts, noise, what a record says, and finitely many tokens."""

import numpy as np
import pytest
from marks import slow_but
from scipy.optimize import brentq
from scipy.special import ive
from typed import array

from spinodal.errors import ConvergenceError, InputError
from spinodal.meanfield import (
    SATURATED,
    Circle,
    CircleModes,
    Fourier,
    Gegenbauer,
    Sphere,
    ZonalModes,
    branch_curvature,
    circle_noise,
    circle_values,
    clustering_rate,
    clusters,
    critical_kappa,
    distance,
    drift_law,
    forecast,
    measured_rates,
    propagation_of_chaos,
    record_evolution,
    sample_angles,
    sphere_noise,
    stationary_branch,
    tokens,
    winning_probabilities,
)
from spinodal.theory import growth_rate_sa, growth_rate_usa, noise_threshold, tricritical_beta

FOUR = CircleModes(np.full(4, 0.1), np.array([0.0, 1.0, 2.0, 0.5]))
K = np.arange(1, 33)


def winner(beta: float, seed: int) -> tuple[int, int]:
    """(degree forecast from the start, degree that saturated first) on [bpa2024]'s white noise."""
    solver = Circle(drift_law("usa", beta), circle_noise(0.01, np.random.default_rng(seed)), tolerance=1e-6)
    told = forecast(solver.moments(32)[1:], np.full(32, 2.0), array(growth_rate_usa(K, 2, beta))).degree
    while (size := np.sqrt(2) * np.abs(solver.moments(32)[1:])).max() < SATURATED:
        solver.advance(10.0)
    return told, int(np.argmax(size)) + 1


@pytest.mark.parametrize(("beta", "fold"), slow_but([(5.0, 3), (7.0, 4)], (5.0, 3)))
@pytest.mark.slow
def test_white_noise_wins_as_often_as_linear_theory_says(beta, fold):
    told, seen = np.array([winner(beta, seed) for seed in range(10)]).T
    p = winning_probabilities(1e-4, array(growth_rate_usa(K, 2, beta)), np.full(32, 2.0))
    assert np.argmax(p) + 1 == fold
    assert np.count_nonzero(told == seen) >= 9
    expected, spread = 10 * p[fold - 1], np.sqrt(10 * p[fold - 1] * (1 - p[fold - 1]))
    assert abs(np.count_nonzero(seen == fold) - expected) < 2.6 * spread


def test_winning_probabilities_are_frequencies():
    rates = array(growth_rate_usa(K, 2, 7.0))
    p = winning_probabilities(1e-4, rates, np.full(32, 2.0))
    assert p.sum() == pytest.approx(1, abs=1e-6)
    c = 1e-4 * np.sqrt((np.random.default_rng(0).standard_normal((2, 40_000, 32)) ** 2).sum(0))
    first = np.argmin(np.log(SATURATED / c) / rates, 1)
    assert np.bincount(first, minlength=32) / 40_000 == pytest.approx(p, abs=0.01)
    assert not winning_probabilities(1e-4, -rates, np.full(32, 2.0)).any()


def test_forecast_says_where_clusters_will_be():
    start = CircleModes(np.array([0.0, 0.0, 1e-3]), np.array([0.0, 0.0, 1.0]))
    solver = Circle(drift_law("sa", 5.0), start)
    told = forecast(solver.moments(32)[1:], np.full(32, 2.0), array(growth_rate_sa(K, 2, 5.0)))
    assert told.degree == 3
    assert told.positions == pytest.approx((1 + 2 * np.pi * np.arange(3)) / 3)
    assert told.time == pytest.approx(np.log(SATURATED / (1e-3 / np.sqrt(2))) / growth_rate_sa(3, 2, 5.0))
    record = record_evolution(solver, until=1.5 * told.time)
    assert clusters(solver) == 3
    assert np.abs(record.moments[-1, 3]) > 0.5
    assert distance(record.moments, 3, 2).max() < 1e-5
    y, rho = solver.density()
    assert np.abs(np.sin(1.5 * (y.ravel()[np.argmax(rho)] - told.positions))).min() < 0.02
    assert forecast(np.zeros(3, complex), np.full(3, 2.0), np.ones(3)).time == np.inf


@pytest.mark.parametrize("d", [2, 3, 5])
def test_noise_threshold_and_where_the_transition_becomes_a_jump(d):
    law = drift_law("usa", 3.0, d)
    assert critical_kappa(law) == pytest.approx(noise_threshold(d, 3.0), rel=1e-12)
    switch = brentq(lambda beta: branch_curvature(drift_law("usa", beta, d)), 1.0, 4.0)
    assert switch == pytest.approx(tricritical_beta(d), abs=1e-5)


@pytest.mark.parametrize("beta", [0.5, 2.0, 5.0, 20.0])
def test_noisy_sa_never_jumps_on_the_circle(beta):
    """(1 - j) (1/2 + j - q (1 - j) / (2 - 2q)) > 0, j = I_1/I_0 > q = I_2/I_1, by weakly nonlinear expansion."""
    j, q = ive(1, beta) / ive(0, beta), ive(2, beta) / ive(1, beta)
    expected = (1 - j) * (0.5 + j - q * (1 - j) / (2 - 2 * q))
    assert branch_curvature(drift_law("sa", beta)) == pytest.approx(expected, rel=2e-3)
    assert expected > 0


@pytest.mark.parametrize("kind", ["sa", "usa"])
def test_branch_is_where_the_noisy_flow_rests(kind):
    law = drift_law(kind, 2.0, 3)
    found = stationary_branch(law, np.array([0.2, 0.4]))
    solver = Gegenbauer(law, ZonalModes(np.array([0.1]), 3), kappa=found.kappa[1], degrees=64)
    m = np.zeros(65)
    m[: found.moments.shape[1]] = found.moments[1]
    assert np.abs(solver.rates(m)[:20]).max() < 1e-9


@pytest.mark.slow
def test_noisy_flow_ends_on_the_branch():
    law = drift_law("usa", 1.5)
    found = stationary_branch(law, np.array([0.3, 0.6]))
    solver = Fourier(
        law, CircleModes(np.array([0.8]), np.array([2.0])), kappa=found.kappa[1], degrees=32, tolerance=1e-7
    )
    while solver.time < 60:
        solver.advance(60.0)
    assert np.abs(solver.moments(5)) == pytest.approx(np.abs(found.moments[1, :6]), abs=5e-5)
    assert solver.values().min() > 0


def test_uniform_is_stable_below_the_threshold():
    law = drift_law("sa", 3.0)
    for factor, sign in ((0.9, -1), (1.1, 1)):
        kappa = factor * critical_kappa(law)
        solver = Fourier(law, CircleModes(np.array([1e-4]), np.zeros(1)), kappa=kappa)
        while solver.time < 1:
            solver.advance(1.0)
        rate = np.log(abs(solver.m[1]) / 5e-5)
        assert rate == pytest.approx(growth_rate_sa(1, 2, 3.0, kappa=kappa), rel=1e-6)
        assert np.sign(rate) == sign
    with pytest.raises(InputError, match="nothing becomes unstable"):
        critical_kappa(drift_law("sa", 3.0, repulsive=True))


@pytest.mark.parametrize("d", [2, 3])
def test_an_unresolved_eulerian_run_stops_and_says_why(d):
    law = drift_law("sa", 9.0, d)
    solver = (
        Fourier(law, FOUR, degrees=64) if d == 2 else Gegenbauer(law, ZonalModes(np.array([0.1, 0.2]), 3))
    )
    with pytest.raises(ConvergenceError, match=r"no longer resolved by \d+ degrees.*Lagrangian"):
        record_evolution(solver, until=30.0)
    assert solver.time < 12
    assert solver.moments(1)[0] == 1


def test_modes_beyond_the_resolution_are_refused():
    start = CircleModes(np.append(np.zeros(79), 1e-3), np.zeros(80))
    with pytest.raises(InputError, match="degree 80, beyond the resolution of 64"):
        Fourier(drift_law("sa", 5.0), start, degrees=64)
    with pytest.raises(InputError, match="kappa > 0"):
        Fourier(drift_law("sa", 5.0), FOUR, kappa=-1.0)


@pytest.mark.parametrize(("kind", "rate"), [("sa", 1.0), ("usa", np.exp(2.0))])
def test_clustering_rate_near_the_end(kind, rate):
    bump = np.exp(6 * np.cos(2 * np.pi * np.arange(64) / 64) - 6)
    start = circle_values(bump / (2 * np.pi * bump.mean()))
    record = record_evolution(Circle(drift_law(kind, 2.0), start, tolerance=1e-7), until=20 / rate)
    assert clustering_rate(record) == pytest.approx(rate, rel=1e-2)
    assert record.clusters[-1] == 1
    assert record.mass_error.max() < 1e-14
    assert record.inversion.max() < 1e-8
    assert np.nanmin(record.minimum) > 0


def test_measured_rates_beside_theory():
    record = record_evolution(
        Circle(drift_law("sa", 5.0), circle_noise(0.01, np.random.default_rng(1))), until=3.0
    )
    assert measured_rates(record)[:4] == pytest.approx(growth_rate_sa(K[:4], 2, 5.0), rel=0.01)


def test_clusters_of_tokens_are_counted_by_mass():
    at, w = np.array([0.0, 0.05, 2.0, 4.0]), np.array([0.4, 0.2, 0.399, 0.001])
    assert clusters(tokens(drift_law("sa", 9.0), at, w)) == 2
    even = 2 * np.pi * np.arange(64) / 64
    assert clusters(tokens(drift_law("sa", 9.0), even, np.full(64, 1 / 64))) == 0


def test_clusters_on_the_sphere():
    solver = Sphere(drift_law("sa", 9.0, 3), sphere_noise(0.01, np.random.default_rng(0)), degree=20)
    assert clusters(solver) == 0
    solver.x, solver.weights = np.concatenate([np.eye(3), -np.eye(3)]), np.full(6, 1 / 6)
    assert clusters(solver) == 6


def test_tokens_drawn_from_a_density_follow_it():
    rng = np.random.default_rng(0)
    theta = sample_angles(FOUR, 40_000, rng)
    m = np.exp(1j * K[:6, None] * theta).mean(1)
    assert m == pytest.approx(np.append(FOUR.moments, [0, 0]), abs=0.015)
    found = propagation_of_chaos(drift_law("sa", 2.0), FOUR, np.array([16, 256]), until=0.2, samples=10)
    assert found.slope == pytest.approx(-0.5, abs=0.2)
