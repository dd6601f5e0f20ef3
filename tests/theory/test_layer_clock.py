"""The layer map against the matrices it stands for, and its clock against the flow's."""

import numpy as np
import pytest
from typed import array

from spinodal.errors import InputError
from spinodal.theory import (
    attention_layer,
    gamma_sa,
    layer_gamma,
    layer_gamma_usa,
    layer_slowness,
    layer_to_ode,
    layers,
    long_context_layer,
    ode_to_layer,
)


def equiangular(n, rho):
    return np.linalg.cholesky(np.full((n, n), rho) + (1 - rho) * np.eye(n))


def attention(x, beta):
    W = np.exp(beta * (x @ x.T - 1))
    return W / W.sum(1, keepdims=True) @ x


def normalised(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(("beta", "step", "start"), [(0.0, 0.1, 0.0), (5.0, 0.1, 0.2), (3.0, 2.0, -0.1)])
def test_the_recursion_is_the_map(beta, step, start):
    x = equiangular(6, start)
    for gamma in layer_gamma(40, 6, beta, step, start):
        assert (x @ x.T)[~np.eye(6, dtype=bool)] == pytest.approx(gamma, abs=1e-13)
        x = normalised(x + step * attention(x, beta))


@pytest.mark.parametrize(("beta", "step", "start"), [(0.0, 0.1, 0.0), (2.0, 0.1, 0.2), (6.0, 1.0, -0.1)])
def test_the_recursion_of_usa_is_the_map(beta, step, start):
    x = equiangular(6, start)
    for gamma in layer_gamma_usa(40, 6, beta, step, start):
        assert (x @ x.T)[~np.eye(6, dtype=bool)] == pytest.approx(gamma, abs=1e-12)
        x = normalised(x + step * np.exp(beta * (x @ x.T)) @ x / 6)


def test_layers_converge_to_the_flow_at_first_order():
    n, beta, t = 16, 4.0, 3.0
    errors = [
        abs(layer_gamma(round(t / h), n, beta, h)[-1] - gamma_sa(t, n, beta)) for h in (0.03, 0.015, 0.0075)
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.06)


def test_slowness_is_the_ratio_of_the_clocks():
    n, beta, h, k = 16, 4.0, 1e-3, np.array([100, 1000, 3000])
    gamma = layer_gamma(int(k[-1]) + 1, n, beta, h)
    ode = array(layer_to_ode(np.stack([k * h, (k + 1) * h]), n, beta, h))
    # one step is second order in h, its rate first: the ratio is right to O(h)
    np.testing.assert_allclose((ode[1] - ode[0]) / h * layer_slowness(gamma[k], n, beta, h), 1.0, atol=3 * h)
    assert layer_slowness(1 - 1e-12, n, beta, 0.1) == pytest.approx(1.1)


def test_clocks_convert_exactly_on_layers(monkeypatch):
    n, beta, h = 32, 5.0, 0.1
    t = h * np.array([0, 1, 17, 120])
    ode = layer_to_ode(t, n, beta, h)
    np.testing.assert_allclose(
        gamma_sa(ode, n, beta), layer_gamma(120, n, beta, h)[[0, 1, 17, 120]], atol=1e-13
    )
    np.testing.assert_allclose(ode_to_layer(ode, n, beta, h), t, atol=1e-12)
    with pytest.raises(InputError, match="at consensus since"):
        ode_to_layer(1e9, n, beta, h)
    with pytest.raises(InputError, match="at consensus since"):
        layer_to_ode(1e4, n, beta, h)
    with pytest.raises(InputError, match="step = 0"):
        layer_to_ode(1.0, n, beta, 0.0)
    monkeypatch.setattr(layers, "MOST_LAYERS", 1000)
    with pytest.raises(InputError, match=r"over 1000 layers of step 0\.1"):
        ode_to_layer(1e9, n, 100.0, h)


def test_one_bare_layer_is_attention_and_normalisation():
    for beta, rho in [(0.0, 0.3), (6.0, 0.3), (2.0, -0.01)]:
        y = normalised(attention(equiangular(50, rho), beta))
        assert (y @ y.T)[0, 1:] == pytest.approx(float(attention_layer(rho, 50, beta)), abs=1e-13)


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.9])
def test_long_context_has_three_phases(rho):
    c = np.array([0.5, 1.0, 1.5]) / (1 - rho)
    np.testing.assert_allclose(long_context_layer(rho, c), [1, 4 * rho / (1 + 3 * rho), rho])
    n = 10**15
    np.testing.assert_allclose(attention_layer(rho, n, c * np.log(n)), long_context_layer(rho, c), atol=1e-6)


def test_without_a_mean_the_critical_context_is_half():
    n = 10**15
    np.testing.assert_allclose(
        attention_layer(0.0, n, np.array([0.3, 0.5, 0.7]) * np.log(n)), [1, 0.5, 0], atol=2e-6
    )
    with pytest.raises(InputError, match="rho = 0"):
        long_context_layer(0.0, 1.0)
