"""W2 between densities of S^2: rotations, zonal densities by exact quantiles in any frame, Diracs, and the bound."""

import numpy as np
import pytest

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows import AttentionField
from spinodal.meanfield import DensityExperiment, SphereModes, WhiteNoise, evolve
from spinodal.meanfield.sphere import gauss_nodes
from spinodal.meanfield.sphere_transport import (
    CELLS,
    Points,
    cells_of_atoms,
    equal_cells,
    limit,
    points_of,
    share_square,
    wasserstein_of_points,
)
from spinodal.meanfield.starts import sphere_harmonics
from spinodal.meanfield.transport import quantiles, wasserstein_of_quantiles, wasserstein_to_point
from spinodal.runs import decode, encode, equal

NODES, AREA = gauss_nodes(32)
AXIS = np.array([2.0, -1.0, 1.5]) / np.sqrt(7.25)
ASIDE = np.array([1.0, 2.0, 0.0]) / np.sqrt(5)
POLE = np.array([0.0, 0.0, 1.0])
FIELD = AttentionField(2.0)
UNIFORM = sphere_harmonics(np.array([1]), np.array([0.0]), np.array([0.0]))


def masses(density: np.ndarray) -> np.ndarray:
    return AREA * density / (AREA @ density)


def points(density: np.ndarray, number: int = CELLS[0]) -> Points:
    w = masses(density)
    return points_of(equal_cells(NODES, w, number), NODES, share_square(NODES, w, 32))


def distance(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """W2 of two densities at the nodes, and the bound on its error, as records have them."""
    pairs = [(points(one, N), points(other, N)) for N in CELLS]
    found = [wasserstein_of_points(p.at, q.at) for p, q in pairs]
    value = limit(found, list(CELLS))
    return value, pairs[0][0].error + pairs[0][1].error + abs(value - found[0])


def zonal_distance(*densities) -> float:
    """W2 of densities of the angle from one axis: that of their quantiles."""
    at = np.pi * (np.arange(20_000) + 0.5) / 20_000
    F, G = (quantiles(at, np.sin(at) * density(np.cos(at)), 0, None) for density in densities)
    return wasserstein_of_quantiles(F, G, None)


def test_cells_divide_the_mass_in_equal_parts():
    atoms = np.eye(3)[[0, 0, 1, 2]], np.array([0.05, 0.15, 0.5, 0.3])
    for make, x, w, number in (
        (equal_cells, NODES, masses(1 + 0.9 * NODES @ AXIS), 515),
        (equal_cells, NODES, masses(np.where(NODES[:, 2] > 0, 1.0, 0.0)), 1024),
        (cells_of_atoms, sphere.uniform(300, 3, 0), np.arange(300) / np.sum(np.arange(300)), 512),
        (cells_of_atoms, *atoms, 512),
        (cells_of_atoms, *atoms, 20),
    ):
        cells = make(x, w, number)
        assert cells.shape == (number, len(w))
        np.testing.assert_allclose(cells.sum(1), 1)
        np.testing.assert_allclose(cells.sum(0) / number, w, atol=1e-14)
    assert points_of(cells_of_atoms(*atoms, 20), atoms[0]).error == 0


def test_the_bound_of_the_uniform_density_is_near_that_of_squares():
    """Squares of area s^2 have the mean square distance s^2 / 6 from their centres; nodes are h, h sin(phi) apart."""
    uniform = np.ones(len(NODES))
    assert 1 < points(uniform).error / np.sqrt(4 * np.pi / CELLS[0] / 6) < 1.4
    assert share_square(NODES, masses(uniform), 32) == pytest.approx(
        (1 + 2 / 3) * (np.pi / 33) ** 2 / 12, rel=0.03
    )


def test_w2_of_a_turned_cap_is_the_angle():
    for angle in (0.02, 0.3, 2.5):
        there = np.cos(angle) * AXIS + np.sin(angle) * ASIDE
        found, error = distance(*(np.exp(100 * (NODES @ axis - 1)) for axis in (AXIS, there)))
        assert abs(found - angle) < error < 0.2
        assert found == pytest.approx(angle, abs=0.02 + 0.01 * angle)


@pytest.mark.slow
def test_w2_of_zonal_densities_is_that_of_quantiles_in_any_frame():
    pairs = (
        (lambda u: 1 + 0.8 * u, lambda u: 1 - 0.6 * u),
        (lambda u: 1 + 0.5 * u, np.ones_like),
        (lambda u: np.exp(6 * u), lambda u: np.exp(-3 * u**2)),
    )
    for axis in (AXIS, ASIDE):
        for one, other in pairs:
            found, error = distance(one(NODES @ axis), other(NODES @ axis))
            exact = zonal_distance(one, other)
            assert found == pytest.approx(exact, rel=0.01, abs=7e-3)
            assert abs(found - exact) < error < 0.3


def test_w2_is_a_distance():
    draws = [
        1 + 0.4 * NODES @ x + 0.5 * (NODES @ y) ** 2 for x, y in sphere.uniform(6, 3, 0).reshape(3, 2, 3)
    ]
    each = [points(density) for density in draws]
    away = np.array([[wasserstein_of_points(p.at, q.at) for q in each] for p in each])
    assert np.diag(away).max() == 0
    np.testing.assert_allclose(away, away.T, rtol=1e-12)
    assert away[0, 1] < away[0, 2] + away[2, 1]
    (near, error), (far, _) = distance(draws[0], draws[0]), distance(draws[0], draws[1])
    assert near == 0 < far
    assert error < 0.2


def test_w2_of_a_small_harmonic_is_not_lost_in_the_bound():
    """1 + epsilon f, f of degree l and mean square one: W2 = epsilon / sqrt(l (l + 1)) to first order, or up to 2.6
    times as much where cells of latitude and longitude move otherwise than the mass does."""
    for l, most in ((1, 1.4), (2, 2.0), (3, 2.7)):
        for m in range(l + 1):
            modes = sphere_harmonics(np.array([l]), np.array([float(m)]), np.array([0.02]))
            found, _ = distance(modes.density(NODES), np.ones(len(NODES)))
            assert 0.95 < found / (0.02 / np.sqrt(l * (l + 1))) < (1.1 if m == 0 else most)


@pytest.mark.slow
def test_the_record_has_w2_between_densities_into_the_dirac():
    """At the end one atom is left: W2 to the uniform density is sqrt((pi^2 - 4) / 2)."""
    start = sphere_harmonics(np.array([1, 1]), np.array([0.0, 1.0]), np.array([0.4, 0.3]))
    experiment = DensityExperiment(FIELD, start, "consensus", resolution=8, tolerance=1e-3, reference=UNIFORM)
    found = evolve(experiment)
    assert found.wasserstein is not None
    assert found.wasserstein_error is not None
    assert found.wasserstein.shape == found.wasserstein_error.shape == found.record.times.shape
    at_first = zonal_distance(lambda u: 1 + 0.5 * np.sqrt(3) * u, np.ones_like)
    for k, exact in ((0, at_first), (-1, np.sqrt((np.pi**2 - 4) / 2))):
        assert found.wasserstein[k] == pytest.approx(exact, abs=0.02)
        assert abs(found.wasserstein[k] - exact) < found.wasserstein_error[k] < 0.4
    assert "W2 to the reference: 0.3" in str(found)
    assert equal(decode(DensityExperiment, *encode(experiment)), experiment)


def test_w2_to_tokens_is_that_to_the_nearest_pole_and_to_a_dirac():
    """Uniform to two opposite tokens: E min(phi, pi - phi)^2 = int_0^{pi/2} phi^2 sin(phi) dphi = pi - 2."""
    start = sphere_harmonics(np.array([1]), np.array([1.0]), np.array([0.4]))
    poles, coincident = np.stack([POLE, -POLE]), np.repeat(POLE[None], 400, 0)
    for begin, reference in ((UNIFORM, poles), (start, coincident)):
        found = evolve(DensityExperiment(FIELD, begin, 0.3, resolution=8, reference=reference))
        assert found.tokens is not None
        assert found.weights is not None
        assert found.wasserstein is not None
        assert found.wasserstein_error is not None
        dirac = wasserstein_to_point(found.tokens, found.weights, POLE)
        exact = np.sqrt(np.pi - 2) if reference is poles else dirac
        assert found.wasserstein[-1] == pytest.approx(exact, abs=0.015)
        assert found.wasserstein_error[-1] < 0.2


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (sphere.uniform(1025, 3, 0), r"1025 tokens, and on S\^2 an assignment is for 1,024"),
        (sphere_harmonics(np.array([9]), np.array([0.0]), np.array([0.1])), "degree 9, beyond the nodes' 8"),
    ],
)
def test_references_on_the_sphere_that_do_not_fit_are_refused(reference: SphereModes | np.ndarray, said: str):
    with pytest.raises(InputError, match=said):
        DensityExperiment(FIELD, WhiteNoise(geometry="sphere"), 1.0, resolution=8, reference=reference)
