"""One choice of an engine for all: a toy is one object and one entry, and every answer says which engine ran."""

import math

import numpy as np
import pytest
from engine_reference import cloud
from marks import slow_but

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows import ENGINES, AttentionField, Engine, Head, Problem, Routine, choose_engines
from spinodal.flows.engines.law import Attention, Drift
from spinodal.flows.fields import SCHEMES, scheme
from spinodal.flows.state import State
from spinodal.flows.time import Adaptive, CheckpointPolicy, Layers, simulate

NORMS = {"post": None, "pre": None, "mix": 1.0, "peri": None, "ngpt": 0.7, "sqrt": None} | dict.fromkeys(
    ("none", "rescaled")
)


def average(kernel, x, weights):
    """m_i and log Z_i by a dense matrix of differences."""
    targets, sources = kernel.logits(x)
    logits = targets @ sources.T
    top = logits.max(1)
    e = weights * np.exp(logits - top[:, None])
    Z = e.sum(1)
    shift = np.einsum("ij,ijk->ik", e, x[None] - x[:, None]) / Z[:, None]
    return Attention(shift, np.log(Z) + top, np.full(len(x), 1e-13))


TOY = Engine("toy", average=Routine(average, lambda problem: 0.0), d=4, matrices=True, euclidean=True)


def drift_alone(x, weights, law):
    answer = ENGINES["direct"](x, weights, law)
    assert answer is not None
    return Drift(answer.drift, answer.Z, answer.error_bound)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(ENGINES, "toy", TOY)


def tokens(n, d, seed=3):
    x, w = cloud("uniform", n, d, seed)
    return State(x, np.linspace(0.5, 2.0, n)), w


def test_every_norm_is_tried():
    assert NORMS.keys() == SCHEMES.keys()


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("engine", ["auto", "toy"])
@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_a_toy_serves_the_public_field(engine, kind):
    state, w = tokens(40, 4)
    answer = flows.field(state.directions, w, beta=3.0, kind=kind, engine=engine)
    exact = flows.field(state.directions, w, beta=3.0, kind=kind, engine="direct")
    assert (answer.engine, exact.engine) == ("toy", "direct")
    for one, other in zip(answer, exact, strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-12 * math.exp(3))


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("engine", ["auto", "toy"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("values", [1.0, -1.0, np.diag([1.0, 2.0, 0.5, 1.0])])
def test_a_toy_serves_every_norm(engine, norm, values):
    state, w = tokens(30, 4)
    for time in (0.0, 2.0):
        rates = [
            AttentionField(3.0, heads=(Head(values=values),), scheme=scheme(norm, NORMS[norm]), engine=name)(
                time, state, w
            )
            for name in (engine, "direct")
        ]
        assert [rate.engine for rate in rates] == ["toy", "direct"]
        for part in ("drift", "growth", "Z"):
            assert np.allclose(*(getattr(rate, part) for rate in rates), rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("norm", slow_but(NORMS, "post", "rescaled"))
def test_a_toy_is_named_in_a_run(norm):
    state, _ = tokens(8, 4)
    field = AttentionField(2.0, scheme=scheme(norm, NORMS[norm]))
    run = simulate(field, State(state.directions, np.ones(8)), 1.5, method=Adaptive(1e-6))
    assert run.engines == ("toy",)
    assert simulate(field, State(state.directions, np.ones(8)), 0.5, method=Layers(0.1)).engines == ("toy",)


def test_where_a_toy_cannot_serve_others_do_and_by_name_it_is_one_error(monkeypatch):
    alone = Engine("toy", drift=Routine(drift_alone, lambda problem: 0.0, beta_max=50.0), d=4)
    monkeypatch.setitem(ENGINES, "toy", alone)
    state, w = tokens(20, 4)
    assert AttentionField(2.0)(0.0, state, w).engine == "toy"
    for field in (
        AttentionField(2.0, scheme=scheme("pre")),
        AttentionField(2.0, causal=True),
        AttentionField(2.0, heads=(Head(np.diag([1.0, 2, 1, 1])),)),
        AttentionField(60.0),
    ):
        assert field(0.0, state, w).engine == "direct"
    assert AttentionField(math.inf)(0.0, state, w).engine == "hardmax"
    assert AttentionField(2.0)(0.0, *tokens(20, 5)).engine == "direct"
    with pytest.raises(InputError, match="engine 'toy' does not give <x, A>"):
        AttentionField(2.0, scheme=scheme("pre"), engine="toy")(0.0, state, w)
    with pytest.raises(InputError, match=r"'toy' ends at .* = 50, here it is 60; use 'auto'"):
        flows.field(state.directions, w, beta=60.0, engine="toy")
    with pytest.raises(InputError, match="'toy' needs d = 4, the tokens have d = 5"):
        flows.field(*tokens(20, 5)[0][:1], tokens(20, 5)[1], beta=6.0, engine="toy")


def test_an_engine_may_decline(monkeypatch):
    shy = Engine("toy", average=Routine(lambda *_: None, lambda problem: 0.0), d=4)
    monkeypatch.setitem(ENGINES, "toy", shy)
    state, w = tokens(20, 4)
    assert flows.field(state.directions, w, beta=2.0).engine == "direct"
    assert AttentionField(2.0, scheme=scheme("pre"))(0.0, state, w).engine == "direct"
    with pytest.raises(InputError, match="engine 'toy' declines these 20 tokens of d = 4"):
        flows.field(state.directions, w, beta=2.0, engine="toy")


def test_a_poor_engine_is_refined_and_the_answer_says_so(monkeypatch):
    def rough(kernel, x, weights):
        mean = average(kernel, x, weights)
        mean.shift[:3] += 1e-3
        return mean._replace(error_bound=np.where(np.arange(len(x)) < 3, 1e-2, 1e-13))

    monkeypatch.setitem(ENGINES, "toy", Engine("toy", average=Routine(rough, lambda problem: 0.0), d=4))
    state, w = tokens(20, 4)
    exact = flows.field(state.directions, w, beta=2.0, engine="direct")
    answers = (
        flows.field(state.directions, w, beta=2.0),
        AttentionField(2.0, heads=(Head(values=np.eye(4)),))(0.0, state, w),
        AttentionField(2.0, scheme=scheme("sqrt"), engine="toy")(0.0, state, w),
    )
    for answer in answers:
        assert answer.engine == "toy+direct"
        assert np.allclose(answer.drift, exact.drift, atol=1e-13)
    left = flows.field(state.directions, w, beta=2.0, tolerance=np.inf)
    assert left.engine == "toy"
    assert abs(left.drift - exact.drift).max() > 1e-4


@pytest.mark.parametrize(
    ("n", "d"), [(1000, 12), (1000, 64), (300, 2), (5000, 2), (900, 3), (9000, 3), (6000, 8)]
)
def test_the_public_field_and_a_composed_field_choose_alike(n, d):
    """Pre-LN needs the average, of which every engine but the linear ones makes its drift."""
    alone, average = (choose_engines(Problem(n, d, 2.0, average=needed)) for needed in (False, True))
    assert alone[0] is average[0]


def test_a_mask_is_served_by_pairs_and_a_run_says_so(tmp_path):
    x = sphere.uniform(600, 2, seed=1)
    run = simulate(AttentionField(2.0, causal=True), x, 0.1, method=Layers(0.05))
    assert run.engines == ("direct",)
    assert simulate(AttentionField(2.0), x, 0.1, method=Layers(0.05)).engines[0] == "circle"


@pytest.mark.slow
def test_engines_of_a_resumed_run_are_those_of_the_whole(tmp_path):
    x = sphere.uniform(12, 3, seed=1)
    checkpoints = CheckpointPolicy(tmp_path / "checkpoint", "a run", seconds=0.0)
    whole = simulate(AttentionField(2.0), x, 1.0, checkpoints=checkpoints)
    rest = simulate(
        AttentionField(2.0), x, 1.5, checkpoints=CheckpointPolicy(checkpoints.path, "a run", resume=True)
    )
    assert rest.engines == whole.engines == ("direct",)


def test_names_are_those_of_the_entries_and_hardmax_is_one():
    assert all(name == engine.name for name, engine in ENGINES.items())
    with pytest.raises(InputError, match="engine 'hardmax' is for beta = inf alone"):
        flows.field(*tokens(5, 4)[0][:1], tokens(5, 4)[1], beta=2.0, engine="hardmax")
    with pytest.raises(InputError, match="engine 'direct' does not know beta = inf"):
        AttentionField(math.inf, engine="direct")
