"""Probes of a density: carried by its own drift, with the exponents of their pairs."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marks import slow_but

from spinodal import flows, sphere, theory
from spinodal.errors import ConvergenceError, InputError
from spinodal.meanfield import (
    Circle,
    CircleModes,
    DensityExperiment,
    DensityResult,
    Sphere,
    SphereModes,
    Zonal,
    ZonalModes,
    drift_law,
    evolve,
    harmonic_index,
    solver_of,
)
from spinodal.meanfield.panels import atoms_only
from spinodal.runs import equal, open_run

BETA = 5.0
FIELD = flows.AttentionField(BETA)


def one_mode(geometry: str, k: int, a: float) -> CircleModes | ZonalModes | SphereModes:
    """rho / uniform = 1 + a P_k, P_k(1) = 1, about e_1 on the circle and about e_d elsewhere; zonal in R^5."""
    amplitudes = np.append(np.zeros(k - 1), a)
    if geometry == "circle":
        return CircleModes(amplitudes, np.zeros(k))
    if geometry == "zonal":
        return ZonalModes(amplitudes, 5)
    alm = np.zeros(harmonic_index(k, k, k) + 1, complex)
    alm[0], alm[k] = np.sqrt(4 * np.pi), a * np.sqrt(4 * np.pi / (2 * k + 1))
    return SphereModes(alm, k)


def experiment_of(geometry: str, k: int, a: float, **given: Any) -> DensityExperiment:
    resolution = 16 if geometry == "sphere" else None
    return DensityExperiment(FIELD, one_mode(geometry, k, a), resolution=resolution, **given)


def axis_of(experiment: DensityExperiment) -> np.ndarray:
    return np.eye(experiment.d)[0 if experiment.geometry == "circle" else -1]


@pytest.mark.parametrize(("kind", "geometry"), [("sa", "circle"), ("usa", "circle"), ("sa", "sphere")])
def test_probes_are_those_of_a_simulation_of_the_tokens_that_stand_for_the_density(kind: str, geometry: str):
    field, until = flows.AttentionField(BETA, kind), 1.0 if kind == "sa" else 0.02
    experiment = dataclasses.replace(
        experiment_of(geometry, 2, 0.4, until=until, tolerance=1e-10, probes=7), field=field
    )
    solver = solver_of(experiment)
    start = solver.tokens()
    assert start is not None
    exact = flows.simulate(
        field, start[0], until, weights=start[1], probes=experiment.carried, method=flows.Adaptive(1e-10)
    )
    result = evolve(experiment)
    assert result.probes is not None
    assert exact.probes is not None
    assert result.probes.shape == (len(result.record.times), 7, experiment.d)
    assert np.linalg.norm(exact.probes[-1] - exact.probes[0], axis=1).max() > 0.01
    assert result.probes[-1] == pytest.approx(exact.probes[-1], abs=1e-8)


def test_probes_are_those_of_many_equal_tokens():
    """Tokens at the quantiles of 1 + 0.5 cos(theta) follow the density with an error of n^-2."""
    n = 1000
    level, angles = 2 * np.pi * (np.arange(n) + 0.5) / n, np.zeros(n)
    for _ in range(60):
        angles -= (angles + 0.5 * np.sin(angles) - level) / (1 + 0.5 * np.cos(angles))
    tokens = np.stack([np.cos(angles), np.sin(angles)], 1)
    result = evolve(experiment_of("circle", 1, 0.5, until=2.0, tolerance=1e-9, probes=5))
    assert result.experiment is not None
    many = flows.simulate(FIELD, tokens, 2.0, probes=result.experiment.carried, method=flows.Adaptive(1e-8))
    assert result.probes is not None
    assert many.probes is not None
    assert result.probes[-1] == pytest.approx(many.probes[-1], abs=1e-5)


@pytest.mark.slow
def test_zonal_probes_are_those_of_the_sphere():
    y, start = sphere.uniform(6, 3, 0), one_mode("sphere", 2, 0.4)
    assert isinstance(start, SphereModes)
    zonal = Zonal(drift_law("sa", BETA, 3), ZonalModes(np.array([0.0, 0.4]), 3), tolerance=1e-10, probes=y)
    full = Sphere(drift_law("sa", BETA, 3), start, tolerance=1e-10, probes=y)
    for solver in (zonal, full):
        while solver.time < 1.0:
            solver.advance(1.0)
    assert full.probes is not None
    assert np.linalg.norm(full.probes - y, axis=1).max() > 0.05
    assert zonal.probes == pytest.approx(full.probes, abs=1e-8)


@pytest.mark.parametrize("geometry", ["circle", "zonal", "sphere"])
def test_probes_at_points_of_symmetry_stay(geometry: str):
    """At the axis for degree 3, at both of its ends."""
    bare = experiment_of(geometry, 3, 0.3, until=1.0, tolerance=1e-8)
    ends = np.stack([axis_of(bare), -axis_of(bare)])
    result = evolve(dataclasses.replace(bare, probes=ends))
    assert result.probes is not None
    assert abs(result.probes - ends).max() < 1e-10


@pytest.mark.parametrize("geometry", ["circle", "zonal", "sphere"])
def test_the_exponent_of_a_pair_at_a_pole_of_the_density_is_that_of_linear_theory(geometry: str):
    """div X = -lambda_k a e^{lambda_k t} at the pole, shared by d - 1 directions, and its mean over time."""
    k, a, until = 3, 1e-4, 2.0
    bare = experiment_of(geometry, k, a, until=until, tolerance=1e-12)
    axis = axis_of(bare)
    aside = sphere.normalise(sphere.tangent(axis[None], np.ones((1, bare.d))))[0]
    near = np.stack([axis, sphere.normalise(axis + 1e-4 * aside)])
    result = evolve(dataclasses.replace(bare, probes=near))
    t = result.record.times[1:]
    rate = float(theory.growth_rate_sa(k, bare.d, BETA))
    exact = -a * np.expm1(rate * t) / t / (bare.d - 1)
    assert result.lyapunov_exponents[-1, 0] == pytest.approx(exact[-1], rel=5e-3)


@pytest.mark.parametrize(("sign", "at", "exponent"), [(1, 0.0, -1.0), (1, np.pi, 1.0), (-1, 0.0, 1.0)])
def test_the_exponent_of_a_pair_beside_an_atom(sign: int, at: float, exponent: float):
    """u' = -+ sin u: at the atom pairs join at the rate 1, and opposite they part at it."""
    angles = at + np.array([0.0, 1e-5])
    y = np.stack([np.cos(angles), np.sin(angles)], 1)
    law = drift_law("sa", BETA, repulsive=sign < 0)
    solver = Circle(law, atoms_only(np.zeros(1), np.ones(1)), tolerance=1e-11, probes=y)
    while solver.time < 1.5:
        solver.advance(1.5)
    assert solver.probes is not None
    found = flows.lyapunov_exponents(np.array([0.0, 1.5]), np.stack([y, solver.probes]))
    assert found[0, 0] == pytest.approx(exponent, abs=1e-6)


@pytest.mark.parametrize("geometry", slow_but(["circle", "zonal", "sphere"], "circle"))
def test_probes_leave_the_density_alone_and_come_back_from_a_run(tmp_path: Path, geometry: str):
    bare = experiment_of(geometry, 2, 0.4, until=1.0, tolerance=1e-9)
    experiment = dataclasses.replace(bare, probes=4)
    alone, result = evolve(bare), evolve(experiment)
    assert alone.probes is None
    assert result.record.moments[-1] == pytest.approx(alone.record.moments[-1], abs=1e-8)
    assert result.probes is not None
    assert abs(np.linalg.norm(result.probes, axis=2) - 1).max() < 1e-14
    with open_run(tmp_path, kind="meanfield", config=experiment) as folder:
        run = folder.finish(result, arrays="record.npz")
    assert equal(run.config_as(DensityExperiment), experiment)
    assert equal(run.result_as(DensityResult), result)
    with pytest.raises(InputError, match="there are no `probes`"):
        alone.lyapunov_exponents  # noqa: B018


def test_probes_stay_with_a_density_into_its_atoms():
    """All but those that left a repelling point late are where atoms are."""
    result = evolve(experiment_of("circle", 3, 0.3, until="diracs", tolerance=1e-7, probes=20))
    assert result.probes is not None
    assert result.tokens is not None
    assert result.weights is not None
    heavy = result.tokens[result.weights > 0.01]
    assert len(heavy) == 3
    gap = np.linalg.norm(result.probes[-1][:, None] - heavy, axis=2).min(1)
    assert np.count_nonzero(gap < 1e-4) >= 18


def test_a_zonal_probe_without_digits_is_refused():
    """Opposite all mass in R^3, Z = e^{-2 beta} is far below its rounding."""
    pole = atoms_only(np.zeros(1), np.ones(1))
    y = sphere.normalise(np.array([[0.1, 0.0, -1.0]]))
    solver = Zonal(drift_law("sa", 40.0, 3), pole, probes=y)
    with pytest.raises(ConvergenceError, match="or a probe"):
        solver.advance(1.0)


REFUSED: dict[str, dict[str, Any]] = {
    "`probes` 0: a number of probes": {"probes": 0},
    "`probes` True: a number of probes": {"probes": True},
    "`probes`: vector 0 has length": {"probes": np.ones((2, 2))},
    "d = 2 are needed": {"probes": np.eye(3)},
    "`probes` holds no token": {"probes": np.empty((0, 2))},
    "`probes`: 10,001 probes, where the limit is 10,000": {"probes": 10_001},
    "`probes` with noise": {"probes": 3, "field": flows.AttentionField(2.0, kappa=9.0)},
    "`probes` with `until` consensus": {"probes": 3, "until": "consensus"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_are_no_probes(message: str):
    given: dict[str, Any] = {"until": 1.0} | REFUSED[message]
    with pytest.raises(InputError, match=message) as refused:
        DensityExperiment(**given)
    assert refused.value.fields[0] == "probes"
