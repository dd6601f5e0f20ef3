"""Densities under Q, K, V, several heads and a perceptron: against closed forms, and against particles."""

import numpy as np
import pytest
from marks import slow_but
from scipy.integrate import solve_ivp

from spinodal import figures, flows
from spinodal.flows import AttentionField, FeedForward, Head
from spinodal.meanfield import CircleModes, DensityExperiment, WhiteNoise, evolve
from spinodal.meanfield.kernel import law_of
from spinodal.meanfield.sphere import Sphere
from spinodal.meanfield.starts import sphere_harmonics
from spinodal.runs import decode, encode, equal

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
WAVES = CircleModes(np.array([0.5, 0.2]), np.array([0.4, -1.0]))
CAP = sphere_harmonics(np.array([1, 2]), np.array([0.0, 1.0]), np.array([0.3, 0.1]))
HALVES = (Head(values=0.5), Head(values=0.5))
GENERAL = np.random.default_rng(0).standard_normal((3, 3, 3))


def moments(angles: np.ndarray, weights: np.ndarray, top: int = 5) -> np.ndarray:
    return np.exp(1j * np.outer(np.arange(top + 1), angles)) @ weights


def test_two_halves_of_a_head_are_the_head_on_the_circle():
    one, two = (
        evolve(DensityExperiment(AttentionField(3.0, kind, heads), WAVES, 0.8))
        for kind, heads in (("sa", (Head(),)), ("sa", HALVES))
    )
    assert two.record.moments[-1] == pytest.approx(one.record.moments[-1], abs=1e-7)
    assert one.growth_rates
    assert (two.growth_rates, two.forecast) == ((), None)
    assert "no forecast: linear theory is of one head" in str(two)
    assert figures.draw(two).keys() == {"amplitudes", "life"}


def test_two_halves_of_a_head_are_the_head_on_the_sphere():
    starts = [
        Sphere(law_of(AttentionField(2.0, heads=heads), 3), CAP, degree=16) for heads in ((Head(),), HALVES)
    ]
    for solver in starts:
        while solver.time < 0.5:
            solver.advance(0.5)
    one, two = starts
    np.testing.assert_allclose(two.x, one.x, atol=1e-6)
    assert two.map_tail() == pytest.approx(one.map_tail(), abs=1e-6)
    assert np.isnan(two.least_density())


@pytest.mark.slow
def test_a_turned_kuramoto_density_stays_a_poisson_kernel():
    """beta = 0, V = a I + b J: r' = a r (1 - r^2) / 2 and psi' = b (1 + r^2) / 2 of m_k = (r e^{i psi})^k."""
    a, b, r, k = 0.8, 1.5, 0.4, np.arange(1, 40)
    start = CircleModes(2 * r**k, np.zeros(len(k)))
    field = AttentionField(0.0, heads=(Head(values=a * np.eye(2) + b * TURN),))
    result = evolve(DensityExperiment(field, start, 1.5))

    def rate(t: float, z: np.ndarray) -> np.ndarray:
        return np.array([a * z[0] * (1 - z[0] ** 2) / 2, b * (1 + z[0] ** 2) / 2])

    at = solve_ivp(rate, (0, 1.5), [r, 0.0], rtol=1e-11, atol=1e-13).y[:, -1]
    expected = (at[0] * np.exp(1j * at[1])) ** np.arange(6)
    assert result.record.moments[-1, :6] == pytest.approx(expected, abs=1e-7)
    assert result.mass_error < 1e-14


def test_a_perceptron_alone_carries_every_token_by_its_own_equation():
    outer, inner, bias = (
        np.random.default_rng(k).standard_normal(s) for k, s in enumerate([(2, 4), (4, 2), 4])
    )
    field = AttentionField(
        1.0, heads=(Head(values=0.0),), feed_forward=FeedForward(outer, inner, bias, "tanh")
    )
    result = evolve(DensityExperiment(field, WAVES, 0.7))
    label = 2 * np.pi * np.arange(512) / 512

    def rate(t: float, at: np.ndarray) -> np.ndarray:
        push = np.tanh(np.stack([np.cos(at), np.sin(at)], 1) @ inner.T + bias) @ outer.T
        return push[:, 1] * np.cos(at) - push[:, 0] * np.sin(at)

    ends = solve_ivp(rate, (0, 0.7), label, rtol=1e-11, atol=1e-13).y[:, -1]
    expected = moments(ends, WAVES.density(label) / len(label))
    assert result.record.moments[-1, :6] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kind", slow_but(["sa", "usa"], "sa"))
def test_the_density_on_the_circle_is_that_of_many_particles(kind: str):
    """Tokens at the labels of a fine grid, with the masses there: spectrally many for a smooth density."""
    Q, K, V = GENERAL[:, :2, :2]
    push = FeedForward(GENERAL[0, :2], GENERAL[1, :, :2], GENERAL[2, 0], "gelu")
    field = AttentionField(1.2, kind, (Head(Q, K, V), Head(values=-0.3)), feed_forward=push)
    result = evolve(DensityExperiment(field, WAVES, 0.6))
    label = 2 * np.pi * np.arange(256) / 256
    weights = WAVES.density(label) / len(label)
    weights = weights / weights.sum()
    run = flows.simulate(field, np.stack([np.cos(label), np.sin(label)], 1), 0.6, weights=weights)
    ends = np.arctan2(run.tokens[-1, :, 1], run.tokens[-1, :, 0])
    assert result.record.moments[-1, :6] == pytest.approx(moments(ends, weights), abs=1e-6)


@pytest.mark.slow
def test_the_density_on_the_sphere_is_that_of_particles_at_its_nodes():
    field = AttentionField(1.0, "sa", (Head(*GENERAL), Head(values=0.4)))
    solver = Sphere(law_of(field, 3), CAP, degree=8)
    run = flows.simulate(field, solver.x, 0.5, weights=solver.weights)
    while solver.time < 0.5:
        solver.advance(0.5)
    np.testing.assert_allclose(solver.x, run.tokens[-1], atol=1e-6)
    moved = evolve(DensityExperiment(field, CAP, 0.5, resolution=8))
    assert moved.tokens == pytest.approx(solver.x, abs=1e-12)
    assert (moved.minimum_density, moved.growth_rates) == (None, ())


def test_a_negative_beta_is_that_of_turned_queries():
    field = AttentionField(-0.5)
    result = evolve(DensityExperiment(field, WAVES, 0.4))
    other = evolve(DensityExperiment(AttentionField(0.5, heads=(Head(queries=-1.0),)), WAVES, 0.4))
    assert result.record.moments[-1] == pytest.approx(other.record.moments[-1], abs=1e-12)


def test_such_an_experiment_comes_back_from_json():
    experiment = DensityExperiment(AttentionField(1.0, heads=(Head(*GENERAL[:, :2, :2]),)), WAVES, 0.1)
    assert equal(decode(DensityExperiment, *encode(experiment)), experiment)
    sphere = DensityExperiment(
        AttentionField(1.0, heads=(Head(*GENERAL),)), WhiteNoise(geometry="sphere"), 0.1
    )
    assert equal(decode(DensityExperiment, *encode(sphere)), sphere)
