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
    coupling("y/(1 + y**2)"),
    coupling("lam*(y**5 - 2*y)/(3 + 0.5*y**2) - y", lam=0.4),
    coupling("sin(y)**3"),
    coupling("sin(m*y) + 0.5*sin(2*m*y) + tanh(a*y)", m=1.5, a=-0.3),
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
        ("y/(1 + y**2)", [0]),
        ("y/(1 + y**2) - y/5", [-2, 0, 2]),
        ("y/(1 + 4*y**2) - y/(1 + y**2)/2", [-math.sqrt(0.5), 0, math.sqrt(0.5)]),
        ("tanh(50*y) - 4*y/(1 + y**2)", [-2 - math.sqrt(3), -0.26794919, 0, 0.26794919, 2 + math.sqrt(3)]),
        ("sin(y)**3", [0, math.pi]),
        ("sin(0.5*y)", [0, 2 * math.pi]),
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
        ("sin(y**2)", "a number times y"),
        ("sin(m*y)", "value of m"),
        ("cos(y)", "not odd"),
        ("exp(y)", "none of numbers"),
        ("sin(y)*tanh(y)", "products"),
        ("y/(1 - y**2)", "numbers k and c of one sign"),
        ("y/(1 + lam*y**2)", "numbers k and c of one sign"),
        ("y**2/(1 + y**2)", "odd powers"),
        ("sin(y)/(1 + y**2)", "odd powers"),
        ("1e308*10*y", "not finite"),
        ("a**31*a**31*a**31*a**31*y", "highest power of a parameter"),
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


Z = np.linspace(-9, 9, 181)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("y/(1 + y^2)", Z / (1 + Z**2)),
        ("(2*y**3 - y)/(4 + 2*y**2)", (2 * Z**3 - Z) / (4 + 2 * Z**2)),
        ("sin(y)^3", np.sin(Z) ** 3),
        ("sin(y)**5 - 2*sin(y)**2*sin(3*y)", np.sin(Z) ** 5 - 2 * np.sin(Z) ** 2 * np.sin(3 * Z)),
        ("sin(y)*cos(2*y)", np.sin(Z) * np.cos(2 * Z)),
        ("cos(y)**2*y - y*0.5*(1 + cos(2*y)) + y", None),
        ("sin(-1.5*y)", -np.sin(1.5 * Z)),
    ],
)
def test_fractions_and_products_of_sines_are_what_they_say(text, known):
    if known is None:
        with pytest.raises(InputError, match="products"):
            coupling(text)
    else:
        np.testing.assert_allclose(coupling(text)(Z), known, atol=1e-13)


def test_a_frequency_may_be_a_parameter_that_is_given():
    f = coupling("lam*sin(m*y)", m=2.5, lam=3.0)
    np.testing.assert_allclose(f(Z), 3 * np.sin(2.5 * Z), atol=1e-13)
    np.testing.assert_allclose(f.at(m=4.0)(Z), 3 * np.sin(4 * Z), atol=1e-13)
    np.testing.assert_allclose(f.sensitivity("lam")(Z), np.sin(2.5 * Z), atol=1e-13)
    with pytest.raises(InputError, match="stands inside of a sine"):
        f.sensitivity("m")


@pytest.mark.parametrize(
    ("text", "turns"), [("sin(0.5*y)", 2), ("sin(y/3) + sin(0.5*y)", 6), ("sin(1.5*y)", 2), ("sin(4*y)", 1)]
)
def test_the_period_of_frequencies_that_are_no_whole_numbers(text, turns):
    f = coupling(text)
    assert f.period == pytest.approx(2 * math.pi * turns)
    np.testing.assert_allclose(f(Z + 2 * math.pi * turns), f(Z), atol=1e-13)
    assert coupling("sin(y) + sin(1.4142135623730951*y)").period is None


def test_bounds_of_fractions():
    assert coupling("2*y/(1 + 9*y**2)").slope_bound() == 2
    assert coupling("y/(1 + y**2) + y").slope_bound() == 2
    with pytest.raises(InputError, match="zeros without end"):
        _ = coupling("y/(1 + y**2) - sin(y)").zeros


@pytest.mark.parametrize(
    "text",
    [
        "(a+b+c+d+e)**30*y",
        "((a+b+c+d+e)**4)**8*y",
        "(a+b+c+d+e)*(a+b+c+d+e)**5*(a+b+c+d+e)**5*(a+b+c+d+e)**6*y",
        "(1+a)**31*(1+b)**31*(1+c)**31*y",
    ],
)
def test_expansions_are_bounded_before_they_are_made(text):
    with pytest.raises(InputError, match="terms"):
        coupling(text, a=1.0, b=1.0, c=1.0, d=1.0, e=1.0)


def test_coefficients_that_overflow_are_refused():
    with pytest.raises(InputError, match="not finite at the `parameters`"):
        coupling("a**31*a**31*y", a=1e10)
