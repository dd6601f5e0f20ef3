"""Six normalisation schemes: slopes, curves and tails, against tokens x = r theta written out."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from typed import array

from spinodal.errors import InputError
from spinodal.theory import (
    gamma_mix,
    gamma_ngpt,
    gamma_peri,
    gamma_pre,
    gamma_sa,
    gamma_speed_sa,
    gamma_sqrt,
    gamma_time_sa,
    log_tail_post,
    log_tail_pre,
    log_tail_sqrt,
    slope_ngpt,
    slope_peri,
    slope_post,
    slope_pre,
)

ALPHA, RADIUS, SWITCH = 0.7, 1.9, 1.2

# scheme -> s and r' from t, r, |A|, <theta, A>
SCHEMES = {
    "post": lambda t, r, size, along: (1.0, 0.0),
    "pre": lambda t, r, size, along: (r, along),
    "mix": lambda t, r, size, along: (1.0, 0.0) if t < SWITCH else (r, along),
    "peri": lambda t, r, size, along: (r * size, along / size),
    "ngpt": lambda t, r, size, along: (size / ALPHA, 0.0),
    "sqrt": lambda t, r, size, along: (np.sqrt(t + 1), 0.0),
}
SLOPES = {
    "post": slope_post,
    "pre": lambda n, beta: slope_pre(n, beta, RADIUS),
    "mix": slope_post,
    "peri": lambda n, beta: slope_peri(n, beta, RADIUS),
    "ngpt": lambda n, beta: slope_ngpt(n, beta, ALPHA),
    "sqrt": slope_post,
}
CURVES = {
    "post": gamma_sa,
    "pre": lambda t, n, beta: gamma_pre(t, n, beta, radius=RADIUS),
    "mix": lambda t, n, beta: gamma_mix(t, n, beta, switch=SWITCH, radius=RADIUS),
    "peri": lambda t, n, beta: gamma_peri(t, n, beta, radius=RADIUS),
    "ngpt": lambda t, n, beta: gamma_ngpt(t, n, beta, alpha=ALPHA),
    "sqrt": gamma_sqrt,
}


def raw_rate(t, theta, r, beta, scheme):
    """theta_j' = P A_j / s_j and r_j', token by token."""
    W = np.exp(beta * theta @ theta.T)
    A = W / W.sum(1, keepdims=True) @ theta
    along = np.sum(A * theta, 1)
    pairs = [SCHEMES[scheme](t, r[j], np.linalg.norm(A[j]), along[j]) for j in range(len(r))]
    s, growth = np.array(pairs).T
    return (A - along[:, None] * theta) / s[:, None], growth


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("n", "beta"), [(2, 0.0), (5, 1.0), (32, 9.0)])
def test_slopes_at_an_orthonormal_start(scheme, n, beta):
    rate = raw_rate(0.0, np.eye(n), np.full(n, RADIUS), beta, scheme)[0]
    slope = (rate + rate.T)[~np.eye(n, dtype=bool)]  # of <theta_i, theta_j>
    np.testing.assert_allclose(slope, SLOPES[scheme](n, beta), rtol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curves_are_those_of_tokens(scheme):
    n, beta, times = 4, 2.0, np.array([0.0, 0.5, SWITCH, 2.5, 8.0])

    def rate(t, state):
        direction, growth = raw_rate(t, state[: n * n].reshape(n, n), state[n * n :], beta, scheme)
        return np.concatenate([direction.ravel(), growth])

    state = np.concatenate([np.eye(n).ravel(), np.full(n, RADIUS)])
    for i, t in enumerate(times):
        if i:
            run = solve_ivp(rate, (times[i - 1], t - 1e-13), state, method="DOP853", rtol=1e-11, atol=1e-13)
            state = run.y[:, -1]
        theta = state[: n * n].reshape(n, n)
        cosines = (theta @ theta.T)[~np.eye(n, dtype=bool)]
        np.testing.assert_allclose(cosines, CURVES[scheme](t, n, beta), atol=1e-9)


@pytest.mark.parametrize("scheme", ["post", "pre", "mix", "peri", "ngpt", "sqrt"])
def test_slopes_are_the_derivatives_of_the_curves(scheme):
    n, beta, h = 6, 1.5, 1e-3
    g = CURVES[scheme](np.array([h, 2 * h, 3 * h, 4 * h]), n, beta)
    slope = (4 * g[0] - 3 * g[1] + 4 / 3 * g[2] - g[3] / 4) / h  # fourth order, g(0) = 0
    assert slope == pytest.approx(SLOPES[scheme](n, beta), rel=1e-10)


def test_the_radius_has_a_closed_form():
    """t = int r dtau with r = r_0 e^tau / sqrt(1 + (n-1) g), tau the time of post-LN."""
    n, beta, end = 5, 2.0, 0.97

    def time_under_pre(g):
        r = RADIUS * np.exp(gamma_time_sa(g, n, beta)) / np.sqrt(1 + (n - 1) * g)
        return r / gamma_speed_sa(g, n, beta)

    t = quad(time_under_pre, 0, end, epsrel=1e-10)[0]
    assert float(gamma_pre(t, n, beta, radius=RADIUS)) == pytest.approx(end, abs=1e-10)


@pytest.mark.parametrize(("n", "beta"), [(4, 1.0), (32, 4.0)])
def test_tails(n, beta):
    t = gamma_time_sa(0.999, n, beta) + 1.0
    assert np.log(1 - gamma_sa(t, n, beta)) == pytest.approx(log_tail_post(t, n, beta), abs=0.01)
    t = (t / 2 + 1) ** 2 - 1
    assert np.log(1 - gamma_sqrt(t, n, beta)) == pytest.approx(log_tail_sqrt(t, n, beta), abs=0.01)
    t = 1e3 * RADIUS * np.exp(gamma_time_sa(0.5, n, beta))
    for curve in (gamma_pre, gamma_peri):
        deficit = 1 - curve(t, n, beta, radius=RADIUS)
        assert np.log(deficit) == pytest.approx(log_tail_pre(t, n, beta, RADIUS), abs=0.01)
    t = np.array([1, 2]) * 1e6
    assert np.diff(np.log(1 - gamma_mix(t, n, beta, switch=1.0))) == pytest.approx(-2 * np.log(2), rel=0.01)
    t = gamma_time_sa(0.999, n, beta) / ALPHA + np.array([0, 1])
    assert np.diff(np.log(1 - gamma_ngpt(t, n, beta, alpha=ALPHA))) == pytest.approx(-2 * ALPHA, rel=0.01)


def test_times_in_any_order_and_shape():
    t = np.array([[3.0, 0.0], [1.0, 3.0]])
    curve = array(gamma_pre(t, 8, 1.0))
    assert curve.shape == t.shape
    assert curve[0, 0] == curve[1, 1] > curve[1, 0] > curve[0, 1] == 0
    assert float(gamma_ngpt(1e5, 8, 1.0)) == 1.0


def test_refusals_name_the_value():
    with pytest.raises(InputError, match="radius = 0"):
        gamma_pre(1.0, 4, 1.0, radius=0.0)
    with pytest.raises(InputError, match="t = -1"):
        gamma_mix(-1.0, 4, 1.0, switch=1.0)
    with pytest.raises(InputError, match="alpha = -1"):
        slope_ngpt(4, 1.0, -1.0)
