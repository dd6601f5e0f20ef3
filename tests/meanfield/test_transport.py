"""W2 of densities to a reference, against closed forms and optimal assignments of tokens."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from spinodal import observables, sphere
from spinodal.errors import InputError
from spinodal.flows import AttentionField
from spinodal.meanfield import CircleModes, DensityExperiment, SphereModes, ZonalModes, evolve
from spinodal.meanfield.starts import sphere_harmonics
from spinodal.meanfield.transport import quantiles, wasserstein_of_quantiles
from spinodal.runs import decode, encode, equal

FIELD = AttentionField(2.0)
BUMP = CircleModes(np.array([0.6]), np.array([0.5]))
TURN = 2 * np.pi


def atoms(angles: np.ndarray):
    return quantiles(angles, np.ones(len(angles)), len(angles), TURN)


def test_w2_of_tokens_on_the_circle_is_that_of_the_cheapest_assignment():
    for seed in range(4):
        a, b = np.random.default_rng(seed).random((2, 6)) * TURN
        gap = np.abs(a[:, None] - b[None])
        arc = np.minimum(gap, TURN - gap)
        exact = np.sqrt((arc[linear_sum_assignment(arc**2)] ** 2).mean())
        assert wasserstein_of_quantiles(atoms(a), atoms(b), TURN) == pytest.approx(exact, rel=1e-7)


def test_w2_of_the_uniform_density_to_a_dirac_is_that_of_its_angles():
    """On the circle E theta^2 = pi^2 / 3; on S^2 E phi^2 = int phi^2 sin(phi) / 2 = (pi^2 - 4) / 2."""
    uniform = CircleModes(np.array([1e-12]), np.zeros(1))
    dirac = np.array([[np.cos(1.0), np.sin(1.0)]])
    found = evolve(DensityExperiment(FIELD, uniform, 0.01, reference=dirac))
    assert found.wasserstein is not None
    assert found.wasserstein[0] == pytest.approx(np.pi / np.sqrt(3), rel=1e-6)
    zonal = ZonalModes(np.array([1e-12]), 3)
    found = evolve(DensityExperiment(FIELD, zonal, 0.01, reference=np.array([[0.0, 0.0, 1.0]])))
    assert found.wasserstein is not None
    assert found.wasserstein[0] == pytest.approx(np.sqrt((np.pi**2 - 4) / 2), rel=1e-4)


def test_w2_to_a_dirac_on_the_sphere_is_that_of_its_angles():
    """1 + 0.5 cos phi to its pole: E phi^2 = int phi^2 (1 + 0.5 cos phi) sin phi / 2 = (pi^2 - 4) / 2 - pi^2 / 16."""
    start = sphere_harmonics(np.array([1]), np.array([0.0]), np.array([0.5 / np.sqrt(3)]))
    pole = np.array([[0.0, 0.0, 1.0]])
    found = evolve(DensityExperiment(FIELD, start, 0.2, reference=pole, resolution=8)).wasserstein
    assert found is not None
    assert found[0] == pytest.approx(np.sqrt((np.pi**2 - 4) / 2 - np.pi**2 / 16), rel=5e-3)
    assert (np.diff(found) < 0).all()


def test_w2_to_a_density_that_is_turned_a_little():
    """rho v = epsilon (rho - c), c the harmonic mean of rho: W2 = epsilon sqrt(1 - c), c = 0.8 for 1 + 0.6 cos."""
    epsilon = 0.02
    turned = CircleModes(BUMP.amplitudes, BUMP.phases + epsilon)
    away, near = (
        evolve(DensityExperiment(FIELD, BUMP, 1e-3, reference=reference)).wasserstein
        for reference in (turned, BUMP)
    )
    assert away is not None
    assert near is not None
    assert away[0] == pytest.approx(epsilon * np.sqrt(0.2), rel=5e-3)
    assert near[0] < 1e-4


@pytest.mark.slow
def test_the_record_has_w2_at_every_step_into_the_dirac():
    # the mean direction of a bump that is symmetric about its phase stays there
    dirac = np.array([[np.cos(0.5), np.sin(0.5)]])
    experiment = DensityExperiment(FIELD, BUMP, 12.0, reference=dirac)
    found = evolve(experiment)
    assert found.wasserstein is not None
    assert found.wasserstein.shape == found.record.times.shape
    assert np.all(np.diff(found.wasserstein) < 1e-9)
    late = found.record.wasserstein_dirac
    assert np.all(found.wasserstein >= late - 1e-4)
    assert np.all(found.wasserstein <= np.pi / 2 * late + 1e-4)
    assert equal(decode(DensityExperiment, *encode(experiment)), experiment)
    again = DensityExperiment(FIELD, BUMP, 1.0, reference=BUMP)
    assert equal(decode(DensityExperiment, *encode(again)), again)


def test_small_steps_agree_with_tokens_that_stand_for_the_density():
    """By chords of equal tokens, which are below the angles by less than they are apart."""
    reference = sphere.uniform(64, 2, 0)
    found = evolve(DensityExperiment(FIELD, BUMP, 0.01, reference=reference)).wasserstein
    assert found is not None
    label = TURN * (np.arange(20000) + 0.5) / 20000
    share = np.cumsum(BUMP.density(label)) / 20000
    at = np.interp((np.arange(512) + 0.5) / 512, share, label)
    tokens = np.stack([np.cos(at), np.sin(at)], 1)
    assert found[0] == pytest.approx(observables.wasserstein(tokens, reference).item(), rel=0.03)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"field": AttentionField(2.0, kappa=5.0), "reference": BUMP}, "W2 is recorded without it"),
        (
            {"reference": ZonalModes(np.array([0.1]), 3)},
            "`reference` is zonal with d = 3, the start circle with d = 2",
        ),
        ({"reference": np.eye(3)}, r"`reference` has shape \(3, 3\): unit vectors \[m 2\]"),
        ({"reference": 2 * np.eye(2)}, r"token 0 has length 2: unit vectors \[m 2\] are needed"),
        ({"reference": np.array([[1.0, 0.0], [np.nan, 0.0]])}, "token 1 has length nan"),
        (
            {"start": ZonalModes(np.array([0.1]), 4), "reference": np.eye(4)[:1]},
            "W2 is known to tokens at its ends",
        ),
        (
            {"start": SphereModes(np.sqrt(4 * np.pi) * np.eye(1, 55, dtype=complex)[0], 9), "resolution": 8},
            "`start` has degree 9, beyond the nodes' 8: raise `resolution`",
        ),
    ],
)
def test_references_that_do_not_fit_are_refused(more, said: str):
    with pytest.raises(InputError, match=said):
        DensityExperiment(**{"field": FIELD, "start": BUMP, "until": 1.0} | more)
