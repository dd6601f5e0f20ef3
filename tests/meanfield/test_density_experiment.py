"""An experiment is a value: what it refuses, what it gives, and that both come back from a run."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marks import slow_but

from spinodal import theory
from spinodal.errors import InputError
from spinodal.figures import draw
from spinodal.flows import AttentionField, Drive, Head, Source
from spinodal.flows.fields.schemes import Pre
from spinodal.meanfield import (
    CircleModes,
    DensityExperiment,
    DensityResult,
    SphereModes,
    WhiteNoise,
    evolve,
    harmonics,
    solver_of,
)
from spinodal.runs import decode, encode, equal, open_run

MODES = CircleModes(np.array([0.001, 0.0, 0.004]), np.array([0.0, 0.0, 1.0]))
CASES = {
    "circle": DensityExperiment(AttentionField(5.0), MODES, until=2.0, tolerance=1e-6),
    "zonal": DensityExperiment(
        AttentionField(2.0, "usa"), WhiteNoise(geometry="zonal", d=5), until=1.0, tolerance=1e-5
    ),
    "sphere": DensityExperiment(
        AttentionField(5.0, "gkpr"), WhiteNoise(geometry="sphere"), until=0.2, tolerance=1e-4, resolution=20
    ),
    "noise": DensityExperiment(AttentionField(2.0, kappa=20.0), until=0.5, tolerance=1e-4, resolution=8),
    "repulsion": DensityExperiment(
        AttentionField(2.0, heads=(Head(values=-1.0),)), until=1.0, tolerance=1e-5
    ),
}


@pytest.mark.parametrize("name", slow_but(CASES, "sphere", "noise"))
def test_an_experiment_and_its_result_come_back_from_a_run(tmp_path: Path, name: str):
    experiment, times = CASES[name], []
    result = evolve(experiment, progress=lambda *at: times.append(at))
    with open_run(tmp_path, kind="meanfield", config=experiment) as folder:
        run = folder.finish(result, arrays="record.npz")
    assert equal(run.config_as(DensityExperiment), experiment)
    assert equal(run.result_as(DensityResult), result)
    end = experiment.until if isinstance(experiment.until, float) else np.inf
    assert times == [(t, end) for t in result.record.times.tolist()]
    assert result.mass_error < 1e-12
    assert draw(result).keys() >= {"amplitudes"}


def test_growth_is_that_of_theory_in_the_clock_of_the_field():
    """Q^T K = 2 I doubles beta and V = 3 I is three times as fast."""
    start = CircleModes(np.array([0.0, 1e-6]), np.zeros(2))
    for kind, rate in (("sa", theory.growth_rate_sa), ("usa", theory.growth_rate_usa)):
        field = AttentionField(1.5, kind, heads=(Head(queries=2.0, values=3.0),))
        result = evolve(DensityExperiment(field, start, until=0.5, tolerance=1e-12))
        row = result.growth_rates[1]
        assert row.theory == pytest.approx(float(rate(2, 2, 3.0, value=3.0)))
        assert row.measured == pytest.approx(row.theory, rel=1e-4)


def test_noise_of_one_seed_is_one_start():
    again = WhiteNoise(0.02, seed=3).modes()
    assert equal(WhiteNoise(0.02, seed=3).modes(), again)
    assert not equal(WhiteNoise(0.02, seed=4).modes(), again)


@pytest.mark.parametrize("geometry", ["circle", "zonal", "sphere"])
def test_harmonics_of_a_table(geometry: str):
    """Rows of one harmonic add up, and degree 0 is the mass."""
    tail = [[0.01]] if geometry == "zonal" else [[0.01, 0.0]] if geometry == "circle" else [[0.0, 0.01]]
    row = [3.0, *tail[0]]
    mass = {"circle": [0.0, 1.0, 0.0], "zonal": [0.0, 1.0], "sphere": [0.0, 0.0, 1.0]}[geometry]
    twice = harmonics(np.array([mass, row, row]), geometry)
    at = np.linspace(0, 3, 7)
    if isinstance(twice, SphereModes):
        at = np.stack([np.sin(at), 0 * at, np.cos(at)], 1)
    once = harmonics(np.array([row]), geometry)
    np.testing.assert_allclose(twice.density(at) - 1, 2 * (once.density(at) - 1), atol=1e-12)


REFUSED: dict[str, dict[str, Any]] = {
    "one head": {"field": AttentionField(2.0, heads=(Head(), Head())), "start": WhiteNoise(geometry="zonal")},
    "multiples of the identity": {
        "field": AttentionField(2.0, heads=(Head(queries=np.diag([1.0, 2.0])),), kappa=5.0)
    },
    "have d = 3, the tokens of the start d = 2": {
        "field": AttentionField(2.0, heads=(Head(values=np.eye(3)[::-1]),))
    },
    "with drive: no density flows by these": {
        "field": AttentionField(2.0, drive=Drive.frequency([1.0, 2.0]))
    },
    "is not known; give a time": {"field": AttentionField(2.0, heads=(Head(), Head())), "until": "diracs"},
    "under post-LN": {"field": AttentionField(2.0, scheme=Pre())},
    "with source: no density flows by these": {"field": AttentionField(2.0, source=Source(np.eye(2)))},
    "leave out engine 'direct'": {"field": AttentionField(2.0, engine="direct")},
    "rounding begins": {"tolerance": 1e-20},
    "a positive time": {"until": -1.0},
    "'diracs' or 'consensus'": {"until": "soon"},
    "give a time": {"field": AttentionField(2.0, heads=(Head(values=-1.0),)), "until": "diracs"},
    "circle and zonal only": {
        "field": AttentionField(2.0, kappa=3.0),
        "start": WhiteNoise(geometry="sphere"),
    },
    "panels split by themselves": {"resolution": 16},
    "4 degrees or more": {"resolution": 3, "start": WhiteNoise(geometry="sphere")},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused_at_construction(message: str):
    given: dict[str, Any] = {"field": AttentionField(2.0), "until": 1.0} | REFUSED[message]
    with pytest.raises(InputError, match=message) as refused:
        DensityExperiment(**given)
    assert refused.value.fields[0] in {"field", "tolerance", "until", "kappa", "resolution"}


WRONG_STARTS: dict[str, dict[str, Any]] = {
    "circle, sphere or zonal": {"geometry": "torus"},
    "sphere has d = 3": {"geometry": "sphere", "d": 5},
    "spheres of R": {"geometry": "zonal", "d": 1},
    "must lie in": {"sigma": 0.0},
    "a whole number from 0": {"seed": -1},
}


@pytest.mark.parametrize("message", WRONG_STARTS)
def test_starts_are_refused_where_they_are_made(message: str):
    with pytest.raises(InputError, match=message):
        WhiteNoise(**WRONG_STARTS[message])


def test_a_start_finer_than_the_resolution_is_refused_before_any_step():
    fine = CircleModes(np.eye(40)[-1] * 0.01, np.zeros(40))
    with pytest.raises(InputError, match="beyond the resolution of 16"):
        solver_of(DensityExperiment(AttentionField(2.0, kappa=9.0), fine, until=1.0, resolution=16))


def test_settings_are_read_by_their_names():
    value, arrays = encode(CASES["circle"])
    assert (value["field"]["beta"], value["until"], value["start"]["type"]) == (5.0, 2.0, "circle-modes")
    changed = decode(DensityExperiment, value | {"until": "consensus"}, arrays)
    assert equal(changed, dataclasses.replace(CASES["circle"], until="consensus"))
