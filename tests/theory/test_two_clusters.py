"""Two tokens and two clusters against the integrated flow of weighted tokens."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from typed import array

from spinodal.errors import InputError
from spinodal.theory import (
    causal_rate,
    two_cluster_time_sa,
    two_token_angle_sa,
    two_token_angle_usa,
    two_token_time_sa,
    two_token_time_usa,
    waiting_time,
)


def angles_flow(theta, weights, beta, softmax):
    D = theta[:, None] - theta
    W = weights * np.exp(beta * np.cos(D))
    force = -np.sum(W * np.sin(D), axis=1)
    return force / W.sum(1) if softmax else force


def simulated_time(end, beta, start, share, softmax):
    """When two clusters, integrated as two weighted tokens, are `end` apart."""
    weights = np.array([share, 1 - share])
    near = lambda t, theta: theta[1] - theta[0] - end
    near.terminal = True
    run = solve_ivp(
        lambda t, theta: angles_flow(theta, weights, beta, softmax),
        (0, 1e9),
        [0.0, start],
        events=near,
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    )
    return run.t_events[0][0]


@pytest.mark.parametrize(("beta", "time"), [(0.0, 3.8002), (4.0, 10.8312), (9.0, 466.71)])
def test_two_tokens_from_a_right_angle(beta, time):
    assert two_token_time_sa(np.arccos(0.999), beta) == pytest.approx(time, rel=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.499999, 0.2, 0.01])
@pytest.mark.parametrize(("beta", "start"), [(0.0, 3.0), (2.0, 2.0), (6.0, 1.5)])
def test_clusters_follow_their_law(share, beta, start):
    sa = two_cluster_time_sa(0.05, beta, start, share)
    assert sa == pytest.approx(simulated_time(0.05, beta, start, share, True), rel=1e-9)
    usa = two_token_time_usa(0.05, beta, start)
    assert usa == pytest.approx(simulated_time(0.05, beta, start, share, False), rel=1e-9)


def test_angle_and_time_are_inverse():
    angle, beta, start = np.array([1e-6, 0.01, 1.0, 2.9]), np.array([0.0, 3.0, 40.0])[:, None], 3.1
    for time, curve in [(two_token_time_sa, two_token_angle_sa), (two_token_time_usa, two_token_angle_usa)]:
        t = time(angle, beta, start)  # angles of 1e-6 hide behind e^80: only times can be compared
        np.testing.assert_allclose(time(curve(t, beta, start), beta, start), t, rtol=1e-13)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_waiting_time_is_the_leading_exponential(share):
    beta = np.array([40.0, 80.0, 160.0])
    excess = array(two_cluster_time_sa(1e-3, beta, 1.2, share) / waiting_time(1.2, beta, share) - 1)
    np.testing.assert_allclose(excess[:-1] / excess[1:], 2.0, rtol=0.2)  # error O(1/beta)
    assert abs(excess[-1]) < 0.02


def test_causal_tokens_near_the_first_at_their_rates():
    """Token 2 moves as one of two tokens at half speed; near consensus token k decays at 1 - 1/k."""
    beta, start = 2.0, np.array([0.0, 1.0, -0.7])

    def flow(t, theta):
        return [angles_flow(theta[: k + 1], np.ones(k + 1), beta, True)[k] for k in range(3)]

    run = solve_ivp(flow, (0, 5), start, method="DOP853", rtol=1e-11, atol=1e-13)
    assert run.y[0, -1] == 0.0
    assert run.y[1, -1] == pytest.approx(float(two_token_angle_sa(2.5, beta, 1.0)), rel=1e-8)
    step = 1e-20j
    jacobian = np.array([np.imag(flow(0, step * np.eye(3)[i])) / 1e-20 for i in range(3)]).T
    np.testing.assert_allclose(
        np.diag(jacobian), [0, -float(causal_rate(2)), -float(causal_rate(3))], atol=1e-14
    )


def test_refusals():
    with pytest.raises(InputError, match="share = 1"):
        two_cluster_time_sa(0.1, 1.0, share=1.0)
    with pytest.raises(InputError, match="angle = 0"):
        two_token_time_sa(0.0, 1.0)
    with pytest.raises(InputError, match="must not be below start"):
        two_token_time_sa(2.0, 1.0, 1.0)
