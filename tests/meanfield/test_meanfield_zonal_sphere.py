"""Zonal densities in any dimension, densities on S^2, and the two against each other and linear theory."""

import numpy as np
import pytest
from rates import growth
from scipy.integrate import quad
from scipy.special import eval_gegenbauer, gamma, ive
from typed import present

from spinodal.errors import ConvergenceError, InputError
from spinodal.flows import unchecked_drift
from spinodal.meanfield import (
    Gegenbauer,
    Sphere,
    SphereModes,
    Zonal,
    ZonalModes,
    drift_law,
    harmonic_index,
    sphere_noise,
    zonal_noise,
)
from spinodal.meanfield.kernel import dimensions, spectrum
from spinodal.theory import fastest_degree, growth_rate_sa, growth_rate_usa

RATES = {"sa": growth_rate_sa, "usa": growth_rate_usa}


def moved(solver, until):
    while solver.time < until:
        solver.advance(until)
    return solver


def harmonic(l: int, m: int, amplitude: float, highest: int = 8) -> SphereModes:
    alm = np.zeros(harmonic_index(highest, highest, highest) + 1, complex)
    alm[0] = np.sqrt(4 * np.pi)
    alm[harmonic_index(l, m, highest)] = amplitude * np.sqrt(4 * np.pi) / (1 if m == 0 else np.sqrt(2))
    return SphereModes(alm, highest)


@pytest.mark.parametrize("d", [2, 3, 4, 7])
def test_eigenvalues_are_those_of_the_kernel(d):
    """a_k = int e^{b (u - 1)} P_k(u) dmu(u); sum_k N_k a_k is the kernel at one."""
    s = spectrum(d, 3.0)
    area = np.sqrt(np.pi) * gamma((d - 1) / 2) / gamma(d / 2)
    for k in (0, 1, 4):

        def harmonic_of(phi, k=k):
            if d == 2:
                return np.cos(k * phi)
            return eval_gegenbauer(k, d / 2 - 1, np.cos(phi)) / eval_gegenbauer(k, d / 2 - 1, 1.0)

        integrand = lambda phi: (
            np.exp(3 * (np.cos(phi) - 1)) * harmonic_of(phi) * np.sin(phi) ** (d - 2) / area
        )
        assert s.a[k] == pytest.approx(quad(integrand, 0, np.pi, epsabs=1e-13)[0], abs=1e-12)
    assert s.N @ s.a == pytest.approx(1, abs=1e-14)
    assert dimensions(np.arange(4), 3) == pytest.approx([1, 3, 5, 7])


def ring_average(phi, other, d, beta):
    """e^{b (cos cos' - 1)} Lambda(b sin sin'), Lambda = Gamma(nu+1) (2/z)^nu I_nu(z), nu = (d-3)/2."""
    nu, z = (d - 3) / 2, beta * np.sin(phi) * np.sin(other)
    return np.exp(beta * (np.cos(phi - other) - 1)) * gamma(nu + 1) * (2 / z) ** nu * ive(nu, z)


@pytest.mark.parametrize("d", [3, 6])
def test_velocity_is_the_slope_of_the_averaged_kernel(d):
    rng = np.random.default_rng(0)
    phi, w = np.sort(rng.uniform(0.2, 3.0, 9)), rng.dirichlet(np.ones(9))
    solver = Zonal(drift_law("sa", 6.0, d), ZonalModes(np.zeros(1), d))
    log = lambda at: np.log(ring_average(at[:, None], phi, d, 6.0) @ w) / 6.0
    h = 1e-5
    assert solver.velocity(phi, w) == pytest.approx((log(phi + h) - log(phi - h)) / (2 * h), abs=1e-9)


def test_rings_of_tokens_move_as_one():
    """48 equal tokens on each of three rings of S^2 move as the zonal solver moves three rings."""
    phi, w = np.array([0.5, 1.4, 2.2]), np.array([0.2, 0.5, 0.3])
    turn = 2 * np.pi * np.arange(48) / 48
    x = np.stack([
        np.outer(np.sin(phi), np.cos(turn)), np.outer(np.sin(phi), np.sin(turn)), np.outer(np.cos(phi), np.ones(48)),
    ], -1).reshape(-1, 3)  # fmt: skip
    law = drift_law("usa", 5.0, 3)
    drift = unchecked_drift(x, np.repeat(w / 48, 48), law.law).drift[::48]
    towards = np.stack([np.cos(phi), 0 * phi, -np.sin(phi)], 1)
    solver = Zonal(law, ZonalModes(np.zeros(1), 3))
    assert solver.velocity(phi, w) == pytest.approx(np.sum(drift * towards, 1), rel=1e-9)


@pytest.mark.parametrize("d", [3, 4, 8, 16])
@pytest.mark.parametrize(("kind", "degree"), [("sa", 2), ("usa", 1)])
def test_growth_rates_in_any_dimension(d, kind, degree):
    rate = RATES[kind](degree, d, 5.0)
    fastest = float(RATES[kind](int(fastest_degree(d, 5.0)), d, 5.0))
    law, start = drift_law(kind, 5.0, d), lambda a: ZonalModes(np.eye(degree)[-1] * a, d)
    assert growth(lambda a: Zonal(law, start(a), tolerance=1e-14), degree, 0.4 / fastest) == pytest.approx(
        rate, rel=1e-6
    )
    spectral = growth(lambda a: Gegenbauer(law, start(a), degrees=48, tolerance=1e-11), degree, 0.4 / fastest)
    assert spectral == pytest.approx(rate, rel=1e-7)


@pytest.mark.parametrize(("l", "m"), [(1, 0), (2, 1), (3, 3)])
def test_growth_rates_on_the_sphere(l, m):
    time, rate = 0.4 / growth_rate_sa(2, 3, 5.0), growth_rate_sa(l, 3, 5.0)
    solver = Sphere(drift_law("sa", 5.0, 3), harmonic(l, m, 1e-5), degree=20, tolerance=1e-13)
    before, grew = solver.moments(l)[l], present(solver.log_density).copy()
    moved(solver, time)
    assert np.log(solver.moments(l)[l] / before) / time == pytest.approx(rate, rel=1e-7)
    # at the poles of the label grid, too, the density is 1 + e^{lambda t} (rho_0 - 1)
    assert solver.log_density @ grew / (grew @ grew) == pytest.approx(np.exp(rate * time), rel=1e-5)
    assert solver.map_tail() < 1e-10


def test_without_temperature_the_flow_is_a_moebius_map():
    """beta = 0: log tan(phi/2) of every ring moves by the same amount."""
    solver = Zonal(drift_law("sa", 0.0, 5), ZonalModes(np.array([0.5, 0.1]), 5), tolerance=1e-11)
    a = solver.points.copy()
    moved(solver, 1.0)
    shift = np.log(np.tan(solver.points / 2) / np.tan(a / 2))
    assert np.ptp(shift) < 1e-7
    assert shift.mean() < -0.1


@pytest.mark.slow
def test_sphere_and_zonal_agree_on_what_both_can_do():
    zonal = moved(
        Zonal(drift_law("sa", 5.0, 3), ZonalModes(np.array([0.0, 0.3, 0.1]), 3), tolerance=1e-10), 2.0
    )
    alm = np.zeros(harmonic_index(3, 3, 3) + 1, complex)
    alm[0], alm[2], alm[3] = np.sqrt(4 * np.pi) * np.array([1, 0.3 / np.sqrt(5), 0.1 / np.sqrt(7)])
    sphere = moved(Sphere(drift_law("sa", 5.0, 3), SphereModes(alm, 3), tolerance=1e-9), 2.0)
    assert sphere.moments(8) == pytest.approx(np.abs(zonal.moments(8)), abs=1e-7)
    y, rho = zonal.density()
    order = np.argsort(y.ravel())
    phi = np.arccos(sphere.x[:, 2])
    assert np.exp(present(sphere.log_density)) == pytest.approx(
        np.interp(phi, y.ravel()[order], rho.ravel()[order]), rel=0.05
    )


def test_zonal_ends_in_two_poles():
    solver = Zonal(drift_law("sa", 9.0, 3), zonal_noise(0.01, 3, np.random.default_rng(0)), tolerance=1e-7)
    while not solver.diracs:
        solver.advance(60.0)
    moved(solver, 60.0)  # a ring is an atom too, and shrinks to its pole
    assert abs(solver.weights.sum() - 1) < 1e-14
    at_poles = np.minimum(solver.points, np.pi - solver.points) < 1e-6
    assert solver.weights[at_poles].sum() > 1 - 1e-6


@pytest.mark.slow
def test_sphere_merges_to_atoms_with_all_the_mass():
    solver = Sphere(
        drift_law("sa", 9.0, 3), sphere_noise(0.01, np.random.default_rng(0)), degree=24, tolerance=1e-4
    )
    while not solver.diracs:
        solver.advance(200.0)
    assert abs(solver.weights.sum() - 1) < 1e-14
    assert np.abs(np.linalg.norm(solver.x, axis=1) - 1).max() < 1e-14
    assert 2 <= np.count_nonzero(solver.weights > 0.01) <= 12
    assert solver.map_tail() == 1.0


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="must not be negative"):
        ZonalModes(np.array([-2.0]), 3)
    with pytest.raises(InputError, match="must not be negative"):
        harmonic(2, 1, 3.0)
    with pytest.raises(InputError, match="raise `degree`"):
        Sphere(drift_law("sa", 1.0, 3), sphere_noise(0.01, np.random.default_rng(0)), degree=8)
    with pytest.raises(InputError, match="use Circle for 2"):
        Sphere(drift_law("sa", 1.0, 2), harmonic(1, 0, 0.1))
    with pytest.raises(InputError, match="must lie in"):
        sphere_noise(-1.0, np.random.default_rng(0))


def test_rounding_of_thin_rings_is_told():
    solver = Zonal(drift_law("sa", 200.0, 24), ZonalModes(np.array([0.1]), 24))
    with pytest.raises(ConvergenceError, match="sees too little of itself"):
        moved(solver, 1.0)


def test_the_tail_of_the_map_is_that_of_all_coordinates():
    for axis in range(3):
        solver = Sphere(drift_law("sa", 3.0, 3), harmonic(2, 0, 0.1), degree=16)
        before = solver.map_tail()
        solver.x[:, axis] += 0.1 * eval_gegenbauer(16, 0.5, solver.x[:, 2])
        assert before < 1e-10 < 1e-2 < solver.map_tail()
