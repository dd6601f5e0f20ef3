"""A simulation is a value: it goes to JSON and comes back, and so does its course."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from marks import slow_but
from typed import present

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows import (
    CONSENSUS,
    Adaptive,
    AttentionField,
    Diagram,
    DiagramResult,
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
    evolution,
    evolve,
    phase_diagram,
    simulate,
    stack_heads,
)
from spinodal.flows.fields import scheme
from spinodal.flows.time import CheckpointPolicy
from spinodal.runs import decode, encode, equal, read_checkpoint, write_checkpoint

BETA = AttentionField(beta=2.0)
SIMULATIONS = {
    "consensus": Simulation(BETA, UniformStart(5, 2), until=CONSENSUS),
    "span": Simulation(BETA, OrthonormalStart(3, 7), until=1.0, times=4),
    "perturbed": Simulation(
        BETA, PerturbedStart(LatticeStart(6, 3), 0.1, 2), until=1.0, times=np.array([0.2, 0.7])
    ),
    "tokens": Simulation(
        AttentionField(
            1.0, "usa", stack_heads(np.ones((2, 3, 3)), 1.0, -np.eye(3)), scheme=scheme("pre", None)
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


@pytest.mark.parametrize("name", slow_but(SIMULATIONS, *(SIMULATIONS.keys() - {"tokens", "consensus"})))
def test_a_simulation_and_its_course_come_back_from_json(name: str):
    simulation = SIMULATIONS[name]
    again = decode(Simulation, *encode(simulation))
    assert equal(again, simulation)
    course = evolve(simulation)
    assert equal(decode(Evolution, *encode(course)), course)
    np.testing.assert_array_equal(evolve(again).tokens, course.tokens)


def test_a_simulation_that_was_read_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(evolution, "CheckpointPolicy", partial(CheckpointPolicy, seconds=0.0))
    simulation = Simulation(AttentionField(beta=2), UniformStart(5, 2), until=3.0)
    again = decode(Simulation, *encode(simulation))
    place, values = str(tmp_path / "checkpoint"), encode(simulation)[0]
    course = evolve(simulation, checkpoint=place)
    kept = present(read_checkpoint(place, json.dumps(values)))
    write_checkpoint(
        place, json.dumps(values | {"until": 3}), kept
    )  # a notebook's number, which is read as 3.0
    assert (evolve(again, checkpoint=place, resume=True).tokens == course.tokens).all()
    other = Simulation(AttentionField(beta=3), UniformStart(5, 2), until=3.0)
    with pytest.raises(InputError, match=r"another run: field\.beta=2 there, 3 asked; choose another folder"):
        evolve(other, checkpoint=place, resume=True)


def test_a_course_is_what_simulate_finds_lifted_from_the_span():
    simulation = SIMULATIONS["span"]
    course = evolve(simulation)
    run = simulate(BETA, np.eye(7)[:3], 1.0, saves=simulation.saves())
    np.testing.assert_allclose(course.tokens, run.tokens, atol=1e-12)
    assert course.span == 3
    assert course.trajectory.tokens.shape == (4, 1, 3, 7)


class Unreduced(AttentionField):
    """The same field, which does not say that tokens stay in their span."""

    @property
    def in_span(self) -> bool:
        return False


@pytest.mark.parametrize("method", [Adaptive(1e-10), Layers(0.1)])
def test_few_tokens_are_integrated_in_their_span(method):
    x, saves = sphere.uniform(4, 30, seed=2), [0.5, 1.0]
    run = simulate(BETA, x, 2.0, method=method, saves=saves)
    full = simulate(Unreduced(2.0), x, 2.0, method=method, saves=saves)
    assert (run.coordinates.shape, run.tokens.shape) == ((4, 4, 4), (4, 4, 30))
    assert full.basis is None
    assert (full.coordinates == full.tokens).all()
    np.testing.assert_allclose(run.tokens, full.tokens, atol=1e-9)
    np.testing.assert_allclose(run.tokens[0], x, atol=1e-14)


def test_a_checkpoint_of_all_coordinates_goes_on_in_them(tmp_path):
    """As `simulate` wrote it when the span was its caller's to find."""
    x = sphere.uniform(4, 30, seed=2)
    whole = simulate(Unreduced(2.0), x, 2.0)

    def cut(time, until):
        if time > 1:
            raise KeyboardInterrupt

    checkpoints = CheckpointPolicy(tmp_path / "here", "x", seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        simulate(Unreduced(2.0), x, 2.0, checkpoints=checkpoints, progress=cut)
    checkpoints.resume = True
    assert (simulate(BETA, x, 2.0, checkpoints=checkpoints).tokens == whole.tokens).all()
    with pytest.raises(InputError, match="began from other tokens"):
        simulate(BETA, x[:3], 2.0, checkpoints=checkpoints)


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
        (lambda: Simulation(BETA, times=1), "`times` 1"),
        (lambda: Simulation(BETA, times="lin"), "'lin'"),
        (lambda: Simulation(BETA, times=np.array([2.0, 1.0])), "increasing times"),
        (lambda: Simulation(BETA, times=np.arange(1.0, 1e6)), "would fit"),
        (lambda: Simulation(BETA, weights=np.ones(3) / 3), "64 tokens need"),
        (lambda: TokenStart(2 * np.eye(3)), "token 0 has length 2"),
        (lambda: TokenStart(np.ones(3)), "at least two"),
        (lambda: PerturbedStart(UniformStart(), -1.0), "`size` -1"),
        (lambda: stack_heads(np.ones((2, 3, 3)), np.ones((3, 3, 3)), 1.0), "different numbers of heads"),
    ],
)
def test_what_does_not_fit_is_refused_at_construction(make, said: str):
    with pytest.raises(InputError, match=said):
        make()


LOOSE = """
import numpy as np
from spinodal.errors import InputError
from spinodal.flows import CONSENSUS, AttentionField, Head, Simulation, TokenStart, simulate
from spinodal.runs import equal

beta = AttentionField(2.0)
given = Simulation(beta, np.eye(3), "consensus", weights=[0.5, 0.25, 0.25], times=(1, 2, 3))
weights, times = np.array([0.5, 0.25, 0.25]), np.array([1.0, 2.0, 3.0])
assert equal(given, Simulation(beta, TokenStart(np.eye(3)), CONSENSUS, weights=weights, times=times))
assert TokenStart([[1, 0], [0, 1]]).given.dtype == np.float64
assert equal(AttentionField(2.0, heads=Head(values=-1.0)), AttentionField(2.0, heads=(Head(values=-1.0),)))
try:
    simulate(beta, np.eye(3), 1.0, saves=10)
except InputError as error:
    assert "numpy.linspace(0, until, 10) has so many" in str(error)
else:
    raise AssertionError("saves=10")
for field, value in [
    ("field", "sa"), ("start", "uniform"), ("start", [["a", "b"]]), ("until", "soon"), ("until", None),
    ("method", "ode"), ("weights", "equal"), ("weights", [[1.0], [2.0, 3.0]]), ("times", 2.5), ("times", None),
]:
    try:
        Simulation(**({"field": beta} | {field: value}))
    except InputError as error:
        assert field in error.fields and f"`{field}`" in str(error), (field, value, error)
    else:
        raise AssertionError((field, value))
"""


def test_lists_and_words_are_taken_and_other_types_are_named():
    """In a process of its own, as the tests check the types of all arguments themselves."""
    ran = subprocess.run([sys.executable, "-c", LOOSE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_word_stands_for_the_consensus():
    x = sphere.uniform(5, 2)
    ends = [simulate(BETA, x, until).times[-1] for until in ("consensus", CONSENSUS)]
    assert ends[0] == ends[1]
    assert len(evolve(Simulation(BETA, UniformStart(5, 2), 1.0, times=10)).times) == 10


def test_noise_on_the_adaptive_clock_is_refused_at_construction():
    with pytest.raises(InputError, match="use Noisy"):
        Simulation(AttentionField(1.0, kappa=5.0), until=1.0)


def test_phase_diagrams_are_on_the_face():
    result = phase_diagram(Diagram((2,), (1.0,), (1.0,), ("layer", 0.5), n=4, samples=4))
    assert isinstance(result, DiagramResult)
    assert result.probability.shape == (1, 1, 1)
