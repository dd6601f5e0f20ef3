"""The tableau against its peer, its order, and the controller in Python and compiled."""

import math

import numpy as np
import pytest
from numba import njit
from scipy.integrate import RK45

from spinodal.integrate import DORMAND_PRINCE, Controller, interpolant, next_step, repeated_step, stage_sum

A, E, P = DORMAND_PRINCE.A, DORMAND_PRINCE.E, DORMAND_PRINCE.P
CONTROLLER = Controller(0.9, 0.1, 10.0)


def test_the_numbers_are_those_of_scipy():
    assert np.array_equal(A[:6, :5], RK45.A)
    assert np.array_equal(A[6, :6], RK45.B)
    assert np.array_equal(E, RK45.E)
    assert np.array_equal(P, RK45.P)
    assert (np.triu(A) == 0).all()


def test_the_interpolant_ends_where_the_step_does_and_is_of_order_four():
    assert np.allclose(interpolant(1.0), A[6], atol=1e-15)
    assert (interpolant(0.0) == 0).all()
    c = A.sum(1)
    for theta in (0.3, 0.8):
        for m in range(4):  # quadrature of t^m, and of what a stage says of it
            assert np.isclose(interpolant(theta) @ c**m, theta ** (m + 1) / (m + 1), atol=1e-14)


def step(x, h, rate):
    k = np.zeros((7, x.size))
    for s in range(7):
        total = np.empty(x.size)
        stage_sum(total, k, h * A[s], 0, x.size)
        k[s] = rate(x + total)
    return x + total, h * E @ k


def test_the_order_is_five_and_that_of_the_estimate_is_too():
    turn = lambda x: np.array([-x[1], x[0]])
    x = np.array([1.0, 0.0])
    sizes = np.array([0.2, 0.1, 0.05])
    ends, estimates = zip(*(step(x, h, turn) for h in sizes), strict=True)
    errors = [np.abs(end - [math.cos(h), math.sin(h)]).max() for end, h in zip(ends, sizes, strict=True)]
    order = lambda values: np.log2(np.array(values[:-1]) / values[1:])
    assert np.allclose(order(errors), 6, atol=0.2)  # of one step
    assert np.allclose(order([np.abs(e).max() for e in estimates]), 5, atol=0.2)


@pytest.mark.parametrize("error", [0.0, 1e-9, 0.3, 1.0])
@pytest.mark.parametrize("before", [(0.0, 1.0), (0.5, 0.7), (3.0, 1e-4)])
def test_the_compiled_controller_is_the_one_of_python(error, before):
    compiled = njit(lambda h, error, before: next_step(CONTROLLER, h, error, before))
    h = next_step(CONTROLLER, 0.7, error, before)
    assert np.isclose(compiled(0.7, error, before), h, rtol=1e-15)
    assert 0.1 * 0.7 <= h <= 10 * 0.7
    if before[0] == 0 and error > 0:
        assert h == 0.7 * min(10.0, 0.9 * error**-0.2)


@pytest.mark.parametrize(
    ("error", "factor"), [(1.5, 0.9 * 1.5**-0.2), (1e30, 0.1), (math.nan, 0.1), (math.inf, 0.1)]
)
def test_a_rejected_step_is_repeated_shorter(error, factor):
    assert repeated_step(CONTROLLER, 2.0, error) == 2.0 * factor
    assert njit(lambda h, error: repeated_step(CONTROLLER, h, error))(2.0, error) == pytest.approx(
        2.0 * factor
    )
