"""The equiangular curve, against its table, its quadrature and the raw n-token flow."""

import numpy as np
import pytest
from marks import slow_but
from scipy.integrate import quad, solve_ivp

from spinodal.errors import InputError
from spinodal.theory import (
    gamma_sa,
    gamma_speed_sa,
    gamma_speed_usa,
    gamma_time_sa,
    gamma_time_usa,
    gamma_usa,
)


def raw_flow(x, beta, softmax):
    """The n-token field, written out: softmax (or e^{beta <x,y>} / n), then project."""
    W = np.exp(beta * x @ x.T)
    m = (W / W.sum(1, keepdims=True) if softmax else W / len(x)) @ x
    return m - np.sum(m * x, axis=1, keepdims=True) * x


@pytest.mark.parametrize(
    ("beta", "time"), [(0, 5.18626), (1, 5.27028), (5, 9.54433), (7, 32.2331), (9, 178.731)]
)
def test_times_to_consensus_of_32_tokens(beta, time):
    assert gamma_time_sa(0.999, 32, beta) == pytest.approx(time, rel=5e-6)


def test_without_temperature_the_time_is_a_logarithm():
    n, delta = np.array([[2], [8], [1000]]), np.array([0.5, 1e-3, 1e-9])
    closed = 0.5 * np.log((1 + (n - 1) * (1 - delta)) / delta)
    np.testing.assert_allclose(gamma_time_sa(1 - delta, n, 0.0), closed, rtol=1e-7)  # 1 - delta has rounded
    np.testing.assert_allclose(gamma_time_usa(0.7, n, 0.0), gamma_time_sa(0.7, n, 0.0), rtol=1e-13)
    np.testing.assert_allclose(gamma_time_sa(0.7, n, 1e-9), gamma_time_sa(0.7, n, 0.0), rtol=1e-8)


@pytest.mark.parametrize("n", slow_but([2, 5, 300], 2, 5))
@pytest.mark.parametrize("beta", slow_but([0.0, 0.3, 4.0, 30.0, 300.0], 0.3, 30.0))
@pytest.mark.parametrize(
    ("time", "speed"), [(gamma_time_sa, gamma_speed_sa), (gamma_time_usa, gamma_speed_usa)]
)
def test_time_is_the_quadrature_of_the_inverse_speed(n, beta, time, speed):
    for start, end in [(0.0, 0.4), (0.3, 0.99), (-0.8 / (n - 1), 0.02)]:
        value = quad(lambda g: 1 / speed(g, n, beta), start, end, epsrel=1e-11, limit=500)[0]
        assert time(end, n, beta, start) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(("curve", "softmax"), [(gamma_sa, True), (gamma_usa, False)])
def test_orthonormal_tokens_follow_the_curve(curve, softmax):
    n, beta, times = 8, 3.0, np.linspace(0, 4 if softmax else 1, 9)
    run = solve_ivp(
        lambda t, x: raw_flow(x.reshape(n, n), beta, softmax).ravel(),
        (0, times[-1]),
        np.eye(n).ravel(),
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-13,
    )
    for t, x in zip(times, run.y.T, strict=True):
        gram = x.reshape(n, n) @ x.reshape(n, n).T
        cosines = gram[~np.eye(n, dtype=bool)]
        assert np.ptp(cosines) < 1e-12
        assert cosines.mean() == pytest.approx(float(curve(t, n, beta)), abs=1e-10)
    assert cosines.mean() > 0.7


@pytest.mark.parametrize(("curve", "time"), [(gamma_sa, gamma_time_sa), (gamma_usa, gamma_time_usa)])
def test_curve_and_time_are_inverse(curve, time):
    gamma = np.array([1e-6, 0.1, 0.5, 0.99, 1 - 1e-8])
    n, beta = np.array([2, 32])[:, None, None], np.array([0.0, 1.0, 9.0, 12.0])[:, None]
    there = np.broadcast_to(gamma, (2, 4, 5))
    np.testing.assert_allclose(curve(time(gamma, n, beta), n, beta), there, rtol=1e-13, atol=1e-14)
    assert float(curve(1e30, 32, 9.0)) == 1.0
    assert float(curve(0.0, 4, 2.0, -0.3)) == pytest.approx(-0.3, abs=1e-15)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gamma_time_sa(1.0, 4, 1.0), "gamma = 1"),
        (lambda: gamma_time_sa(0.1, 1, 1.0), "n = 1"),
        (lambda: gamma_time_sa(0.1, 4, -np.inf), "beta = -inf"),
        (lambda: gamma_time_sa(0.1, 4, np.nan), "beta = nan"),
        (lambda: gamma_time_usa(0.9, 4, 701.0, 0.8), "beta = 701"),
        (lambda: gamma_time_sa(0.1, 4, 701.0), "= 701: must satisfy 0 <= beta"),
        (lambda: gamma_time_sa(0.1, 4, 1.0, 0.2), "must not be below start"),
        (lambda: gamma_sa(-1.0, 4, 1.0), "t = -1"),
        (lambda: gamma_sa(1.0, 4, 1.0, -1 / 3), "start = -0.33"),
    ],
)
def test_refusals_name_the_value(call, words):
    with pytest.raises(InputError, match=words):
        call()
