"""Couplings: derivatives, potentials, bounds and zeros against definitions, and what is refused."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from spinodal.errors import InputError
from spinodal.graphs import coupling, odd_polynomial, trigonometric_series

MANY = [
    coupling("sin"),
    coupling("tanh"),
    coupling("identity"),
    coupling("y**3 - y"),
    coupling("(y - 1)*y*(y + 1)/2 + 0.3*sin(2*y) - tanh(3*y)"),
    coupling("y**3 - lam*y + lam**2*sin(y)", lam=0.7),
    trigonometric_series([1.0, -0.4, 0.2]),
    odd_polynomial([-1.0, 0.0, 2.0]),
]
Y = np.linspace(-2.3, 2.3, 47)


@pytest.mark.parametrize("f", MANY, ids=lambda f: f.text)
def test_derivatives_of_every_order_and_the_potential(f):
    """Each order against a complex step or differences of the order below; F against quadrature."""
    assert f(0.0, -1) == 0
    for y in (0.3, -1.7):
        known = quad(lambda z: float(f(z)), 0, y, epsabs=1e-13)[0]
        assert float(f(y, -1)) == pytest.approx(known, abs=1e-12)
    h = 1e-5
    for order in range(4):
        differences = (f(Y + h, order) - f(Y - h, order)) / (2 * h)
        np.testing.assert_allclose(f(Y, order + 1), differences, rtol=1e-6, atol=2e-5)
    np.testing.assert_array_equal(f(-Y), -f(Y))


@pytest.mark.parametrize("f", MANY, ids=lambda f: f.text)
def test_the_bound_on_slopes_holds_and_is_sharp_for_polynomials(f):
    dense = np.linspace(-2, 2, 4001)
    largest = np.abs(f(dense, 1)).max()
    assert largest <= f.slope_bound(2.0) * (1 + 1e-12)
    if not f.wave_terms:
        assert f.slope_bound(2.0) == pytest.approx(largest, rel=1e-6)


def test_the_bounds_of_the_specification():
    assert [coupling(name).slope_bound() for name in ("sin", "tanh", "identity")] == [1, 1, 1]
    assert trigonometric_series([1.0, -0.5, 0.2]).slope_bound() == pytest.approx(1 + 2 * 0.5 + 3 * 0.2)
    assert coupling("y**3 - y").slope_bound() == math.inf


@pytest.mark.parametrize(
    ("text", "zeros"),
    [
        ("y**3 - y", [-1, 0, 1]),
        ("y*(y**2 - 1)**2", [-1, 0, 1]),  # double zeros
        ("y**3", [0]),
        ("y*(y**2 - 1)*(y**2 - 4)", [-2, -1, 0, 1, 2]),
        ("sin", [0, math.pi]),
        ("sin(y) + sin(2*y)", [-2 * math.pi / 3, 0, 2 * math.pi / 3, math.pi]),
        ("sin(3*y)", [-2 * math.pi / 3, -math.pi / 3, 0, math.pi / 3, 2 * math.pi / 3, math.pi]),
        ("tanh", [0]),
        ("y + sin(y)", [0]),
        ("y/10 - sin(y)", [-8.423204, -7.068174, -2.852342, 0, 2.852342, 7.068174, 8.423204]),
    ],
)
def test_zeros(text, zeros):
    np.testing.assert_allclose(coupling(text).zeros, zeros, atol=1e-6)


def test_what_depends_on_a_parameter_is_differentiated_exactly():
    f = coupling("lam**2*sin(y) - lam*y**3 + tanh(y)", lam=1.5)
    np.testing.assert_allclose(f.sensitivity("lam")(Y), 3 * np.sin(Y) - Y**3, rtol=1e-14)
    np.testing.assert_allclose(f.sensitivity("lam").sensitivity("lam")(Y), 2 * np.sin(Y), rtol=1e-14)
    np.testing.assert_allclose(f.at(lam=2.0)(Y), 4 * np.sin(Y) - 2 * Y**3 + np.tanh(Y), rtol=1e-13)


def test_period():
    assert coupling("sin(y) - sin(3*y)").period == 2 * math.pi
    assert coupling("y + sin(y)").period is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("y**2", "not odd"),
        ("sin(y) + 1", "not odd"),
        ("y**3 - lam*y", "value of lam"),
        ("sin(y)*y", "products"),
        ("sin(0.5*y)", "whole numbers"),
        ("sin(y**2)", "a number times y"),
        ("cos(y)", "none of numbers"),
        ("__import__('os').system('true')", "none of numbers"),
        ("y**3 -", "no formula"),
        ("y**99", "exponent 99"),
        ("y**0.5", "exponent 0.5"),
        ("mu*y", "mu is taken"),
        ("y/0", "not finite"),
        ("y/y", "a divisor"),
        ("y" * 500, "500 letters"),
    ],
)
def test_what_is_no_odd_coupling_is_refused(text, said):
    with pytest.raises(InputError, match="coupling") as error:
        coupling(text)
    assert said in str(error.value)


def test_parameters_that_are_not_there():
    with pytest.raises(InputError, match="no parameter 'a'"):
        coupling("sin", a=1.0)
    with pytest.raises(InputError, match="zeros without end"):
        _ = coupling("tanh(y) + 2*sin(y)").zeros
