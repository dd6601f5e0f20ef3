"""Digits of the times of merges that a second tolerance confirms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spinodal import flows
from spinodal.errors import InputError

WAIT = flows.Simulation(flows.AttentionField(4.0), flows.UniformStart(12, 2, seed=3), flows.CONSENSUS)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-8])
def test_the_digits_are_those_of_the_time_by_a_far_finer_tolerance(tolerance: float):
    simulation = replace(WAIT, method=flows.Adaptive(tolerance))
    result = flows.evolve(simulation)
    found = flows.certify(simulation, result)
    exact = flows.evolve(replace(WAIT, method=flows.Adaptive(1e-13)))
    error = np.abs(result.merge_time / exact.merge_time - 1)
    assert found.clusters.tolist() == list(range(11, 0, -1))
    assert found.finer == pytest.approx(tolerance / 10)
    assert np.all(error < 10 ** (0.5 - found.digits))
    assert found.digits[-1] > -math.log10(tolerance) - 1.5
    assert found.digits.min() > -math.log10(tolerance) / 2 - 1.5  # captured at .1 sqrt(tolerance)


def test_a_merge_that_one_run_lacks_has_no_digits():
    simulation = replace(WAIT, until=30.0)
    result = flows.evolve(simulation)
    assert len(result.merge_time) > 1
    lists = ("merge_time", "merge_clusters", "merge_first", "merge_second")
    short = replace(result, **{name: getattr(result, name)[:-1] for name in lists})
    found = flows.certify(simulation, short)
    assert found.digits[-1] == 0
    assert found.digits[:-1].min() > 3


def test_without_merges_there_is_nothing_to_compare():
    simulation = replace(WAIT, until=1e-3)
    found = flows.certify(simulation, flows.evolve(simulation))
    assert len(found.digits) == 0
    assert str(found) == "no tokens merged: there is no time to compare"


@pytest.mark.parametrize(
    ("method", "message"),
    [(flows.Layers(0.1), "`method` Layers: .*two tolerances"), (flows.Adaptive(1e-14), "`tolerance` 1e-14")],
)
def test_what_has_no_finer_tolerance_is_refused(method: object, message: str):
    simulation = replace(WAIT, until=0.5, method=method)
    with pytest.raises(InputError, match=message):
        flows.certify(simulation, flows.evolve(simulation))
