"""Experiments on graphs are values: they go to JSON and come back equal, as do their results."""

import json
from typing import Any

import numpy as np
import pytest
from marks import slow_but

from spinodal import graphs
from spinodal.errors import InputError
from spinodal.runs import decode, encode, equal

TRIANGLE = graphs.build_system("cycle:3", "y**3 - y")
DRIVEN = graphs.build_system("path:2", graphs.coupling("lam*sin(y)", lam=1.5), drive=np.array([1.0, -1.0]))
ANCHORED = graphs.build_system("cube", "tanh(y) - 0.3*y", stiffness=0.5)


def back(value: Any) -> Any:
    """The value by way of text and arrays."""
    told, arrays = encode(value)
    return decode(type(value), json.loads(json.dumps(told, allow_nan=False)), arrays)


CASES = [
    (graphs.EquilibriumSearch(TRIANGLE, 600, 2), graphs.find_equilibria),
    (graphs.GradientFlow(ANCHORED, time=2.0, points=5, seed=4), graphs.integrate_flow),
    (graphs.GradientFlow(TRIANGLE, np.array([0.1, 0.0, -0.1]), points=3), graphs.integrate_flow),
    (graphs.Continuation(DRIVEN, "mu", 0.0, 2.0), graphs.follow_branch),
    (graphs.Continuation(DRIVEN, "lam", 3.0, 0.5, "random", 40, 1), graphs.follow_branch),
    (graphs.StabilityAnalysis(TRIANGLE, np.array([0.4, 0.0, -0.4]), refine=True), graphs.analyse_stability),
]


@pytest.mark.parametrize(
    ("experiment", "answer"), slow_but(CASES, *CASES[:3], CASES[-1]), ids=lambda value: type(value).__name__
)
def test_an_experiment_and_its_result_come_back_equal(experiment, answer):
    again = back(experiment)
    assert equal(again, experiment)
    result = answer(experiment)
    assert equal(back(result), result)
    assert equal(answer(again), result)


def test_what_was_found_is_listed_by_rows():
    result = graphs.find_equilibria(graphs.EquilibriumSearch(TRIANGLE))
    circle, origin = result.entries
    assert (circle.index, circle.stability, circle.dimension) == (0, "lyapunov", 1)
    np.testing.assert_array_equal(result.states, [circle.state, origin.state])


def test_a_derivative_of_a_coupling_comes_back_equal():
    f = graphs.coupling("lam**2*sin(y) + lam*y**3", lam=0.7).sensitivity("lam")
    assert back(f).terms == f.terms == {("sin", 1): 1.4, ("y", 3): 1.0}


def test_a_system_without_anchor_and_drive_has_nothing_on_the_sites():
    assert TRIANGLE.onsite is None
    assert graphs.build_system(graphs.named_graph("path:2"), "sin", drive=0.0).graph.name == "path:2"


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: graphs.EquilibriumSearch(TRIANGLE, starts=0), "starts"),
        (lambda: graphs.EquilibriumSearch(TRIANGLE, seed=-1), "seed"),
        (lambda: graphs.GradientFlow(TRIANGLE, time=np.inf), "time"),
        (lambda: graphs.GradientFlow(TRIANGLE, points=1), "points"),
        (lambda: graphs.GradientFlow(TRIANGLE, "north"), "start"),
        (lambda: graphs.GradientFlow(TRIANGLE, "twisted:one"), "start"),
        (lambda: graphs.GradientFlow(TRIANGLE, np.zeros(4)), "start"),
        (lambda: graphs.Continuation(DRIVEN, "mu", 1.0, 1.0), "last"),
        (lambda: graphs.StabilityAnalysis(TRIANGLE, np.array([0.0, np.nan, 0.0])), "state"),
        (lambda: graphs.build_system("path:2", "sin", stiffness=-1.0), "stiffness"),
        (lambda: graphs.build_system("path:2", "sin", drive=np.zeros(3)), "drive"),
        (lambda: graphs.coupling("y - lam*y"), "parameters"),
    ],
)
def test_what_no_experiment_can_be_made_of_is_refused_by_its_field(make, field: str):
    with pytest.raises(InputError, match=f"`{field}`") as error:
        make()
    assert field in error.value.fields
