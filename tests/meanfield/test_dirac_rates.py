"""A density becomes a Dirac at a local rate and, as a measure, at another, which the last mass opposite sets."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from spinodal import observables, theory
from spinodal.flows import AttentionField
from spinodal.meanfield import CircleModes, DensityExperiment, SphereModes, ZonalModes, evolve, harmonics

BUMP = CircleModes(np.array([0.6]), np.zeros(1))


def zonal(d: int) -> ZonalModes:
    return ZonalModes(np.array([0.6]), d)


@pytest.mark.parametrize(
    ("kind", "beta", "start", "until", "rate"),
    [
        pytest.param("usa", 0.5, zonal(3), 20.0, 2 * np.exp(-0.5), marks=pytest.mark.slow),  # 1.2131
        ("usa", 0.2, zonal(3), 20.0, 2 * np.exp(-0.2)),  # 1.6375
        pytest.param("usa", 0.5, BUMP, 30.0, np.exp(-0.5), marks=pytest.mark.slow),
        pytest.param("sa", 1.0, BUMP, 18.0, 1.0, marks=pytest.mark.slow),
    ],
)
def test_w2_falls_at_the_global_rate(kind: str, beta: float, start, until: float, rate: float):
    result = evolve(DensityExperiment(AttentionField(beta, kind), start, until))
    assert result.wasserstein_rate == pytest.approx(rate, rel=5e-3)
    d = result.d
    theirs = theory.wasserstein_rate_usa(d, beta) if kind == "usa" else theory.wasserstein_rate_sa(d)
    assert theirs == pytest.approx(rate)
    local = float(theory.dirac_rate_usa(beta)) if kind == "usa" else 1.0
    assert 2 * local >= rate
    assert "W2^2 to the nearest Dirac falls at the global rate" in str(result)


def test_the_rates_are_those_of_a_pair_of_equations():
    """phi' = -zeta(cos phi) sin phi: near 0 it contracts at zeta(1), near pi it expands at zeta(-1)."""
    beta = 0.7

    def rate(t: float, phi: np.ndarray) -> np.ndarray:
        return -np.exp(beta * np.cos(phi)) * np.sin(phi)

    near = solve_ivp(rate, (0, 1), [1e-4], rtol=1e-10, atol=1e-14).y[0, -1]
    far = solve_ivp(rate, (0, 1), [np.pi - 1e-4], rtol=1e-10, atol=1e-14).y[0, -1]
    assert -np.log(near / 1e-4) == pytest.approx(float(theory.dirac_rate_usa(beta)), rel=1e-6)
    assert 2 * np.log((np.pi - far) / 1e-4) == pytest.approx(theory.wasserstein_rate_usa(3, beta), rel=1e-6)
    assert theory.wasserstein_rate_usa(30, 0.0) == 2.0
    assert theory.wasserstein_rate_sa(9) == 2.0


@pytest.mark.parametrize(
    "start",
    [
        CircleModes(np.array([0.4, 0.2]), np.array([0.3, 1.0])),
        harmonics(np.array([[1.0, 0.0, 0.4]]), "sphere"),
    ],
)
def test_w2_of_a_record_is_that_of_the_tokens_of_its_density(start: CircleModes | SphereModes):
    result = evolve(DensityExperiment(AttentionField(2.0), start, 0.5))
    assert result.tokens is not None
    assert result.weights is not None
    weights = torch.from_numpy(result.weights)[None]
    expected = observables.wasserstein_to_dirac(result.tokens, weights=weights).item()
    assert result.record.wasserstein_dirac[-1] == pytest.approx(expected, rel=1e-6)
