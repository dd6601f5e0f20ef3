"""Growth about uniform, against Funk-Hecke quadrature, Bessel functions and linearised particles."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import eval_chebyt, eval_gegenbauer, gammaln, ive

from spinodal.errors import InputError
from spinodal.theory import (
    fastest_degree,
    fastest_degree_large_beta,
    fastest_degree_threshold,
    growth_rate_sa,
    growth_rate_usa,
    log_energy_dirac,
    log_energy_uniform,
    log_funk_hecke,
    noise_threshold,
    splay_rate_sa,
    splay_rate_usa,
    tricritical_beta,
)

DEGREES = np.arange(5)


@pytest.mark.parametrize("d", [2, 3, 4, 9])
@pytest.mark.parametrize("beta", [0.3, 4.0])
def test_eigenvalues_by_quadrature(d, beta):
    """a_k = int e^{beta s} P_k(s) (1-s^2)^{(d-3)/2} ds, P_k(1) = 1, over the mass of the weight."""

    def mean(f):
        return quad(lambda angle: f(np.cos(angle)) * np.sin(angle) ** (d - 2), 0, np.pi, epsabs=1e-13)[0]

    nu = d / 2 - 1
    for k in DEGREES:
        P = lambda s, k=k: (
            eval_chebyt(k, s) if d == 2 else eval_gegenbauer(k, nu, s) / eval_gegenbauer(k, nu, 1)
        )
        a = mean(lambda s, P=P: np.exp(beta * s) * P(s)) / mean(lambda s: 1.0)
        assert np.exp(log_funk_hecke(k, d, beta)) == pytest.approx(a, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("beta", [1.0, 40.0, 3000.0])
def test_eigenvalues_are_bessel_functions(beta):
    for d, k in [(2, 3), (3, 0), (6, 2), (33, 5)]:
        m = k + d / 2 - 1
        closed = gammaln(d / 2) + (d / 2 - 1) * np.log(2 / beta) + np.log(ive(m, beta)) + beta
        assert log_funk_hecke(k, d, beta) == pytest.approx(closed, rel=1e-12)


def test_extremes_stay_finite():
    """d = 4096 and beta = 1e6, where I_m underflows or overflows; a_k ~ beta^k / (d (d+2) ... (d+2k-2))."""
    assert log_funk_hecke(2, 4096, 1e-3) == pytest.approx(np.log(1e-6 / (4096 * 4098)), rel=1e-9)
    k = np.array([1, 100, 1000])
    heat = np.log(k**2 / 1e6) - k**2 / 2e6  # the law k^2 e^{-k^2 / (2 beta)} / beta
    np.testing.assert_allclose(np.log(growth_rate_sa(k, 2, 1e6)), heat, atol=1e-6)
    assert growth_rate_sa(0, 5, 2.0) == 0
    np.testing.assert_array_equal(growth_rate_sa(DEGREES, 5, 0.0), [0, 4 / 5, 0, 0, 0])
    with pytest.raises(InputError, match="log a_0"):
        growth_rate_usa(1, 2, 800.0)


def circle_jacobian(n, beta, softmax):
    """The particle field linearised by a complex step, at n equally spaced angles."""
    theta = 2 * np.pi * np.arange(n) / n

    def field(theta):
        D = theta[:, None] - theta
        W = np.exp(beta * np.cos(D))
        return -np.sum(W * np.sin(D), 1) / (W.sum(1) if softmax else n)

    return np.stack([field(theta + 1e-30j * e).imag / 1e-30 for e in np.eye(n)], axis=1)


@pytest.mark.parametrize(("rate", "softmax"), [(growth_rate_sa, True), (growth_rate_usa, False)])
def test_rates_of_particles_on_the_circle(rate, softmax):
    n, beta = 64, 5.0
    jacobian = circle_jacobian(n, beta, softmax)
    for k in DEGREES[1:]:
        mode = np.sin(2 * np.pi * k * np.arange(n) / n)
        np.testing.assert_allclose(jacobian @ mode, rate(k, 2, beta) * mode, atol=1e-12)


@pytest.mark.parametrize("softmax", [True, False])
def test_rates_of_particles_on_the_sphere(softmax):
    """Product Gauss nodes as weighted tokens, displaced along the gradient of P_k(z) by a complex step."""
    beta, value = 4.0, -1.0
    z, wz = np.polynomial.legendre.leggauss(20)
    phi = 2 * np.pi * np.arange(40) / 40
    z, phi, w = (a.ravel() for a in np.broadcast_arrays(z[:, None], phi, wz[:, None] / 80))
    x = np.stack([np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi), z], axis=1)
    for k in (1, 2, 4):
        slope = np.polynomial.Legendre.basis(k).deriv()(z)
        gradient = slope[:, None] * (np.array([0, 0, 1]) - z[:, None] * x)
        y = x + 1e-30j * gradient
        W = w * np.exp(beta * y @ y.T)
        m = value * (W / W.sum(1, keepdims=True) if softmax else W) @ y
        velocity = (m - np.sum(m * y, 1, keepdims=True) * y).imag / 1e-30
        rate = (growth_rate_sa if softmax else growth_rate_usa)(k, 3, beta, value=value)
        np.testing.assert_allclose(velocity, rate * gradient, atol=1e-10)


def test_noise_is_diffusion():
    """d/dt Y = Laplacian Y / kappa: on the zonal P_k, ((1-s^2) P')' = -k (k+1) P for d = 3."""
    k, kappa = 3, 7.0
    P = np.polynomial.Legendre.basis(k)
    s = np.linspace(-0.9, 0.9, 5)
    laplacian = (1 - s**2) * P.deriv(2)(s) - 2 * s * P.deriv()(s)
    for rate in (growth_rate_sa, growth_rate_usa):
        np.testing.assert_allclose(laplacian / kappa, (rate(k, 3, 2.0, kappa=kappa) - rate(k, 3, 2.0)) * P(s))


@pytest.mark.parametrize(
    ("d", "thresholds"),
    [
        (2, [1.0445, 3.1654, 6.2113, 10.2285, 15.2363, 21.2405]),
        (3, [1.8162, 4.4253, 7.9624, 12.4774]),
        (4, [2.5285, 5.6558, 9.6988, 14.7176]),
        (8, [5.2511, 10.5003, 16.5950, 23.6427]),
    ],
)
def test_thresholds_of_the_fastest_degree(d, thresholds):
    for k, threshold in enumerate(thresholds, start=1):
        beta = fastest_degree_threshold(k, d)
        assert beta == pytest.approx(threshold, abs=5.1e-5)
        assert growth_rate_usa(k, d, beta) == pytest.approx(growth_rate_usa(k + 1, d, beta), rel=1e-12)
        np.testing.assert_array_equal(fastest_degree(d, np.array([beta - 1e-6, beta + 1e-6])), [k, k + 1])


def test_fastest_degree_of_the_mean_field_figures():
    np.testing.assert_array_equal(fastest_degree(2, np.array([0.0, 5.0, 7.0])), [1, 3, 4])
    beta = np.array([1e2, 1e4, 1e6])
    for d in (2, 3, 8):
        np.testing.assert_allclose(fastest_degree(d, beta), fastest_degree_large_beta(d, beta), atol=1.0)


@pytest.mark.parametrize(("rate", "softmax"), [(splay_rate_sa, True), (splay_rate_usa, False)])
@pytest.mark.parametrize(("n", "beta"), [(2, 1.0), (7, 5.0), (12, 0.2), (9, 40.0)])
def test_splay_state_eigenvalues(rate, softmax, n, beta):
    eigenvalues = np.linalg.eigvals(circle_jacobian(n, beta, softmax))
    scale = np.abs(eigenvalues).max()
    assert np.abs(eigenvalues.imag).max() < 1e-10 * scale
    closed = np.sort(rate(np.arange(n), n, beta))
    np.testing.assert_allclose(np.sort(eigenvalues.real), closed, atol=1e-10 * scale)


def test_splay_state_of_many_tokens_is_the_continuum():
    p = np.array([0, 1, 5, -3])
    beta = np.array([0.5, 5.0, 60.0])[:, None]
    np.testing.assert_allclose(splay_rate_sa(p, 400, beta), growth_rate_sa(np.abs(p), 2, beta), rtol=1e-11)
    np.testing.assert_allclose(splay_rate_usa(p, 400, beta), growth_rate_usa(np.abs(p), 2, beta), rtol=1e-11)
    assert splay_rate_sa(1, 50, 1e5) < 1e-6  # far apart for their beta, the tokens hardly interact


def test_noise_threshold_is_where_the_first_mode_turns():
    for d in (2, 3, 8):
        beta = np.array([0.1, 2.0, 20.0])
        kappa = noise_threshold(d, beta)
        assert np.all(growth_rate_usa(1, d, beta, kappa=kappa * 1.001) > 0)
        others = growth_rate_usa(np.arange(1, 30)[:, None], d, beta, kappa=kappa * 0.999)
        assert np.all(others < 0)  # no other mode is first
        assert noise_threshold(d, 0.0) == pytest.approx(d)


def test_tricritical_beta():
    assert tricritical_beta(2) == pytest.approx(2.446918, abs=5e-7)
    assert tricritical_beta(3) == pytest.approx(1.816155, abs=5e-7)


@pytest.mark.parametrize(("beta", "jumps"), [(1.8, False), (3.5, True)])
def test_beyond_tricritical_beta_a_pattern_survives_below_threshold(beta, jumps):
    """Below the linear threshold only a jump leaves rho = exp(kappa G * rho) / Z another root."""
    n = 128
    theta = 2 * np.pi * np.arange(n) / n
    kernel = np.fft.rfft(np.exp(beta * np.cos(theta)) / beta) / n
    kappa, rho = 0.98 * noise_threshold(2, beta), np.exp(3 * np.cos(theta))
    for _ in range(3000):
        rho /= rho.mean()
        rho = np.exp(kappa * np.fft.irfft(kernel * np.fft.rfft(rho), n))
    assert (np.abs(np.mean(rho / rho.mean() * np.exp(1j * theta))) > 0.1) == jumps


def test_energies_of_the_uniform_and_the_dirac():
    s = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    beta = np.array([0.5, 5.0])
    mean = np.exp(beta * np.cos(s)[:, None]).mean(0)
    np.testing.assert_allclose(log_energy_uniform(2, beta), np.log(mean / (2 * beta)), rtol=1e-13)
    np.testing.assert_allclose(
        log_energy_uniform(3, beta), np.log(np.sinh(beta) / beta / (2 * beta)), rtol=1e-13
    )
    np.testing.assert_allclose(log_energy_dirac(beta), np.log(np.exp(beta) / (2 * beta)), rtol=1e-13)
    assert np.all(log_energy_uniform(3, 1e5) < log_energy_dirac(1e5))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: growth_rate_sa(1, 1, 1.0), "d = 1"),
        (lambda: growth_rate_sa(-1, 2, 1.0), "k = -1"),
        (lambda: growth_rate_usa(1, 2, 1.0, kappa=0.0), "kappa = 0"),
        (lambda: growth_rate_sa(1, 2, -np.inf), "beta = -inf"),
        (lambda: fastest_degree_threshold(0, 2), "k = 0"),
        (lambda: splay_rate_sa(1, 1, 2.0), "n = 1"),
        (lambda: log_energy_dirac(0.0), "beta = 0"),
    ],
)
def test_refusals_name_the_value(call, words):
    with pytest.raises(InputError, match=words):
        call()
