"""Sums over harmonics of d variables, for tokens that are spread."""

import numpy as np
import pytest
from engine_reference import cloud
from scipy.special import eval_gegenbauer

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows import Problem
from spinodal.flows.engines import direct, harmonics
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import law


@pytest.mark.parametrize(("d", "degree"), [(3, 30), (4, 40), (5, 9), (8, 5)])
def test_the_functions_of_a_degree_sum_to_a_gegenbauer_polynomial(d: int, degree: int):
    """sum_f f(x) f(y) = dim_l C_l(<x, y>) / C_l(1) is the addition theorem; it holds at poles and where x = y too."""
    x = np.concatenate([sphere.uniform(6, d, seed=d), np.eye(d)[[0, 1, -1, -1]], -np.eye(d)[-1:]])
    sums = np.zeros((degree + 1, len(x), len(x)))
    for m, q, h in harmonics.functions(x, degree):
        for j, radial in enumerate(q):
            f = radial * h
            sums[m + j] += f.T @ f
    cosines, v = np.clip(x @ x.T, -1, 1), d / 2 - 1
    for l, found in enumerate(sums):
        count = harmonics.number_of_functions(l, d) - harmonics.number_of_functions(l - 1, d) if l else 1
        expected = count * eval_gegenbauer(l, v, cosines) / eval_gegenbauer(l, v, 1.0)
        assert found == pytest.approx(expected, abs=1e-12 * count)


@pytest.mark.parametrize(
    ("d", "beta"), [(3, 60.0), (4, 0.0), (4, 1e-300), (4, 1.0), (4, 20.0), (6, 2.0), (8, 0.5)]
)
def test_eigenvalues_are_those_of_the_kernel(d: int, beta: float):
    """sum_l mu_l dim_l C_l(c) / C_l(1) = e^{b (c - 1)}."""
    mu, c, v = harmonics.eigenvalues(beta, d), np.linspace(-1, 1, 41), d / 2 - 1
    counts = np.diff([harmonics.number_of_functions(l, d) for l in range(len(mu))], prepend=0)
    found = sum(
        m * k * eval_gegenbauer(l, v, c) / eval_gegenbauer(l, v, 1.0)
        for l, (m, k) in enumerate(zip(mu, counts, strict=True))
    )
    assert found == pytest.approx(np.exp(beta * (c - 1)), abs=2e-13)


@pytest.mark.parametrize(
    ("d", "beta", "n"), [(4, 25.0, 1500), (5, 5.0, 1200), (6, 3.0, 1100), (8, 0.5, 1100)]
)
def test_the_average_is_that_over_every_pair(d: int, beta: float, n: int):
    x, weights = cloud("uniform", n, d, seed=d)
    mean = harmonics.average(Kernel(beta), x, weights)
    exact = direct.average(Kernel(beta), x, weights)
    error = np.linalg.norm(mean.shift - exact.shift, axis=1)
    assert (error <= mean.error_bound).all()
    assert np.median(mean.error_bound) < 1e-9
    assert mean.log_partition == pytest.approx(exact.log_partition, abs=1e-11)


@pytest.mark.parametrize(
    ("n", "d", "beta", "first"),
    [
        (200_000, 4, 5.0, "harmonics"),
        (200_000, 5, 3.0, "harmonics"),
        (10**6, 4, 25.0, "harmonics"),
        (10**6, 8, 0.5, "harmonics"),
        (2000, 4, 5.0, "direct"),
        (10**5, 8, 25.0, "direct"),
        (10**5, 9, 0.1, "direct"),
    ],
)
def test_it_is_chosen_where_it_is_the_cheapest(n: int, d: int, beta: float, first: str):
    names = [engine.name for engine in flows.choose_engines(Problem(n, d, beta)) if engine.name != "lowrank"]
    assert names[0] == first


def test_it_gives_up_where_tokens_hardly_move():
    """Two tight clusters far from each other: all drifts are below its rounding."""
    x = sphere.normalise(
        np.repeat(np.eye(4)[:2], 600, 0) + 1e-9 * np.random.default_rng(0).standard_normal((1200, 4))
    )
    weights = np.full(1200, 1 / 1200)
    assert harmonics.attempt(Kernel(30.0), x, weights) is None
    assert harmonics.attempt(Kernel(3.0), sphere.uniform(1200, 4, seed=0), weights) is not None
    assert harmonics.ENGINE(x, weights, law("sa", 30.0), automatic=True) is None


def test_what_it_does_not_serve_is_refused():
    x = sphere.uniform(40, 8, seed=0)
    with pytest.raises(
        InputError, match="engine 'harmonics' would need more than 250000 functions for d = 8, beta = 25"
    ):
        flows.field(x, np.full(40, 1 / 40), beta=25.0, engine="harmonics")
    with pytest.raises(InputError, match="engine 'harmonics' needs d >= 3, the tokens have d = 2"):
        flows.field(
            x[:, :2] / np.linalg.norm(x[:, :2], axis=1)[:, None],
            np.full(40, 1 / 40),
            beta=1.0,
            engine="harmonics",
        )
