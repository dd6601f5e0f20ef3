"""Optimal points by minimising the energy, and Wendel's probability by counting."""

from math import comb

import numpy as np
import pytest
from scipy.optimize import minimize
from typed import array

from spinodal.errors import InputError
from spinodal.theory import hemisphere_probability, optimal_overlaps


@pytest.mark.parametrize(("n", "d"), [(2, 3), (4, 3), (5, 4), (6, 3), (12, 3), (5, 2), (8, 2), (8, 4)])
@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_repulsion_ends_at_the_optimal_points(n, d, beta):
    upper = np.triu_indices(n, 1)

    def energy(flat):
        x = flat.reshape(n, d)
        length = np.linalg.norm(x, axis=1, keepdims=True)
        u = x / length
        W = np.exp(beta * u @ u.T)
        gradient = 2 * beta * W @ u / length
        return W.sum(), (gradient - np.sum(gradient * u, 1, keepdims=True) * u).ravel()

    rng = np.random.default_rng(0)
    runs = [minimize(energy, rng.normal(size=n * d), jac=True, method="BFGS", tol=1e-10) for _ in range(6)]
    x = min(runs, key=lambda run: run.fun).x.reshape(n, d)
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = (u @ u.T)[upper]
    distance = np.abs(found[:, None] - optimal_overlaps(n, d))
    assert distance.min(axis=1).max() < 1e-5  # every pair has one of the inner products,
    assert distance.min(axis=0).max() < 1e-5  # and every inner product occurs


def test_values_of_the_figures():
    np.testing.assert_allclose(optimal_overlaps(2, 3), [-1])
    np.testing.assert_allclose(optimal_overlaps(5, 4), [-1 / 4])
    np.testing.assert_allclose(optimal_overlaps(6, 3), [-1, 0])
    np.testing.assert_allclose(optimal_overlaps(12, 3), [-1, -0.4472, 0.4472], atol=2e-5)
    with pytest.raises(InputError, match="n = 7, d = 3"):
        optimal_overlaps(7, 3)


def test_wendel():
    for n, d in [(1, 2), (3, 3), (5, 2), (10, 3), (64, 3), (32, 128)]:
        closed = sum(comb(n - 1, k) for k in range(d)) / 2 ** (n - 1)
        assert hemisphere_probability(n, d) == pytest.approx(closed, rel=1e-12)
    n = np.arange(1, 9)
    assert array(hemisphere_probability(n, n)).tolist() == [1.0] * 8


def test_wendel_by_chance_on_the_circle():
    """Points lie in a half circle iff some gap between neighbours exceeds pi."""
    n, samples = 5, 20_000
    theta = np.sort(np.random.default_rng(1).uniform(0, 2 * np.pi, (samples, n)), axis=1)
    gaps = np.diff(theta, append=theta[:, :1] + 2 * np.pi, axis=1)
    p = float(hemisphere_probability(n, 2))
    assert np.mean(gaps.max(1) > np.pi) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / samples))
