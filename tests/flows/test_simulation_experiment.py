"""A simulation is a value: it goes to JSON and comes back, and so does its course."""

import numpy as np
import pytest

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows import (
    CONSENSUS,
    Adaptive,
    AttentionField,
    Evolution,
    Head,
    LatticeStart,
    Layers,
    Noisy,
    OrthonormalStart,
    PerturbedStart,
    Simulation,
    TokenStart,
    UniformStart,
    evolve,
    simulate,
    stacked_heads,
)
from spinodal.flows.fields import scheme
from spinodal.runs import decode, encode, equal

BETA = AttentionField(beta=2.0)
SIMULATIONS = {
    "consensus": Simulation(BETA, UniformStart(5, 2), until=CONSENSUS),
    "span": Simulation(BETA, OrthonormalStart(3, 7), until=1.0, times=4),
    "perturbed": Simulation(
        BETA, PerturbedStart(LatticeStart(6, 3), 0.1, 2), until=1.0, times=np.array([0.2, 0.7])
    ),
    "tokens": Simulation(
        AttentionField(
            1.0, "usa", stacked_heads(np.ones((2, 3, 3)), 1.0, -np.eye(3)), scheme=scheme("pre", None)
        ),
        TokenStart(3 * sphere.uniform(4, 3), normalise=True),
        1.0,
        Adaptive(1e-6),
        np.array([0.4, 0.3, 0.2, 0.1]),
        "log",
    ),
    "noise": Simulation(AttentionField(1.0, kappa=50.0), UniformStart(4, 3, 1), 0.5, Noisy(0.1), times=3),
    "layers": Simulation(AttentionField(1.0, causal=True), UniformStart(4, 3, 1), 0.5, Layers(0.1), times=3),
}


@pytest.mark.parametrize("name", SIMULATIONS)
def test_a_simulation_and_its_course_come_back_from_json(name: str):
    simulation = SIMULATIONS[name]
    again = decode(Simulation, *encode(simulation))
    assert equal(again, simulation)
    course = evolve(simulation)
    assert equal(decode(Evolution, *encode(course)), course)
    np.testing.assert_array_equal(evolve(again).tokens, course.tokens)


def test_a_course_is_what_simulate_finds_lifted_from_the_span():
    simulation = SIMULATIONS["span"]
    course = evolve(simulation)
    run = simulate(BETA, np.eye(7)[:3], 1.0, saves=simulation.saves())
    np.testing.assert_allclose(course.tokens, run.tokens, atol=1e-12)
    assert course.span == 3
    assert course.trajectory.tokens.shape == (4, 1, 3, 7)


def test_the_engine_that_ran_is_named():
    """A causal field of 600 tokens on the circle is evaluated pair by pair, whatever a plain one would take."""
    causal = Simulation(AttentionField(1.0, causal=True), UniformStart(600, 2), 0.01, Adaptive(1e-3), times=2)
    plain = Simulation(AttentionField(1.0), UniformStart(600, 2), 0.01, Adaptive(1e-3), times=2)
    assert "circle" not in evolve(causal).engine
    assert evolve(plain).engine.startswith("circle")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Simulation(BETA, until=0.0), "`until` 0"),
        (lambda: Simulation(BETA, until=float("nan")), "`until` nan"),
        (lambda: Simulation(AttentionField(1.0, kappa=5.0), until=CONSENSUS), "noise keeps tokens apart"),
        (
            lambda: Simulation(AttentionField(1.0, heads=(Head(values=-1),)), until=CONSENSUS),
            "tokens that spread",
        ),
        (lambda: Simulation(BETA, times=1), "`frames` 1"),
        (lambda: Simulation(BETA, times="lin"), "'lin'"),
        (lambda: Simulation(BETA, times=np.array([2.0, 1.0])), "increasing times"),
        (lambda: Simulation(BETA, times=np.arange(1.0, 1e6)), "would fit"),
        (lambda: Simulation(BETA, weights=np.ones(3) / 3), "64 tokens need"),
        (lambda: TokenStart(2 * np.eye(3)), "token 0 has length 2"),
        (lambda: TokenStart(np.ones(3)), "at least two"),
        (lambda: PerturbedStart(UniformStart(), -1.0), "`perturb` -1"),
        (lambda: stacked_heads(np.ones((2, 3, 3)), np.ones((3, 3, 3)), 1.0), "different numbers of heads"),
    ],
)
def test_what_does_not_fit_is_refused_at_construction(make, said: str):
    with pytest.raises(InputError, match=said):
        make()
