"""The metastability theorem: what it promises is what tokens do, and it says where it does not apply."""

import re

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spinodal.errors import InputError
from spinodal.theory import cap_overlap, metastable_configuration, metastable_window, staircase_level

EPSILON = 0.02
EDGE = np.arccos(1 - EPSILON) - 1e-9


def on_circle(theta):
    return np.stack([np.cos(theta), np.sin(theta)], axis=1)


@pytest.mark.parametrize("softmax", [True, False])
def test_between_the_two_times_tokens_are_contracted_and_stay(softmax):
    """Two antipodal caps with tokens on their edges; USA with weights e^{beta (<x,y> - 1)} / n."""
    n, beta = 4, 8.0
    start = np.array([-EDGE, EDGE, np.pi - EDGE, np.pi + EDGE])
    claim = metastable_configuration(on_circle(start), on_circle(np.array([0.0, np.pi])), beta, EPSILON)
    assert claim.applies

    def flow(t, theta):
        D = theta[:, None] - theta
        W = np.exp(beta * (np.cos(D) - 1))
        return -np.sum(W * np.sin(D), 1) / (W.sum(1) if softmax else n)

    times = np.exp(np.linspace(claim.log_t1, claim.log_t2, 5))
    run = solve_ivp(flow, (0, times[-1]), start, method="LSODA", t_eval=times, rtol=1e-10, atol=1e-12)
    inside = 1 - np.cos(run.y[[0, 2]] - run.y[[1, 3]])
    assert np.all(inside <= np.exp(-claim.rate * beta))
    assert np.all(np.cos(run.y[:2]) >= 1 - 2 * EPSILON)
    assert np.all(np.cos(run.y[2:] - np.pi) >= 1 - 2 * EPSILON)
    assert claim.log_t2 - claim.log_t1 > 4  # the claim is not empty


def test_the_numbers_of_the_theorem():
    claim = metastable_window(4, 20.0, 0.01, -0.92, share=0.5)
    gamma = 1.92 - 0.08 - np.log(3200) / 20
    assert claim.gamma == pytest.approx(gamma)
    assert claim.rate == pytest.approx(gamma / 2)
    assert np.exp(claim.log_t1) == pytest.approx(8 * np.exp(1.6) + np.e * 4 * gamma / 2 * 400 / 19)
    assert np.exp(claim.log_t2) == pytest.approx(0.01 / 4 * np.exp(1.92 * 20))
    assert np.isfinite(metastable_window(4, 1e5, 0.01, -0.92).log_t2)


def test_cap_overlap_is_the_largest_inner_product_between_caps():
    angle, half = 2.0, np.arccos(1 - 2 * EPSILON)
    grid = np.linspace(-half, half, 201)
    worst = np.cos(angle + grid[:, None] - grid).max()
    assert cap_overlap(angle, EPSILON) == pytest.approx(worst, abs=1e-12)
    assert cap_overlap(0.1, EPSILON) == 1.0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((4, 1.0, 0.01, 0.0), "beta = 1 is not above 1"),
        ((4, 20.0, 0.01, 1.0), "caps S.2 eps. meet"),
        (
            (4, 5.0, 0.01, 0.0),
            "gamma = .* is not positive",
        ),  # the printed sign of the logarithm would accept it
        ((4, 20.0, 0.001, 0.4683), "log T_1 = .* is not below log T_2"),
    ],
)
def test_a_failing_hypothesis_is_named(arguments, reason):
    claim = metastable_window(*arguments)
    assert not claim.applies
    assert re.search(reason, claim.why_not)
    assert np.isnan(claim.log_t1)


def test_a_configuration_outside_is_named():
    caps = on_circle(np.array([0.0, np.pi]))
    assert (
        "token 1 is in no cap"
        in metastable_configuration(on_circle(np.array([0.0, 0.5])), caps, 20.0, 0.01).why_not
    )
    assert "fewer than two" in metastable_configuration(caps, caps[:1], 20.0, 0.01).why_not
    with pytest.raises(InputError, match="directions: row 0 is not a unit"):
        metastable_configuration(caps, 2 * caps, 20.0, 0.01)
    with pytest.raises(InputError, match="alpha = -1"):
        metastable_window(4, 20.0, 0.01, -1.0)


def test_staircase_is_the_rescaled_energy_of_far_clusters():
    beta, theta = 500.0, np.repeat([0.0, 1.0, 2.5], [1, 3, 1])
    energy = np.mean(np.exp(beta * (np.cos(theta[:, None] - theta) - 1)))  # 2 beta E e^{-beta}
    assert staircase_level(np.array([1, 3, 1])) == pytest.approx(energy, rel=1e-12)
    assert staircase_level(np.ones(4)) == pytest.approx(0.25)
    assert staircase_level(7) == 1.0
    with pytest.raises(InputError, match="sizes = 0"):
        staircase_level(np.array([1, 0]))
