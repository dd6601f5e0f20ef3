"""Compiled steps of few tokens beside the plain ones that they stand for."""

from dataclasses import replace

import numpy as np
import pytest
from engine_reference import CLOUDS, cloud, exact
from marks import slow_but
from typed import array, present

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows.engines.direct import drift_at
from spinodal.flows.engines.few import PairPull, ProductPull, TilePull
from spinodal.flows.engines.law import law
from spinodal.flows.fields import AttentionField, Head, scheme
from spinodal.flows.state import State
from spinodal.flows.time import CONSENSUS, Adaptive, CheckpointPolicy, integrators, simulate
from spinodal.flows.time.whole_steps import compiled_pull, fill_rate
from spinodal.runs import read_checkpoint


def plainly(*arguments, **options):
    """`simulate` with the steps of Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integrators, "compiled_pull", lambda *_: None)
        return simulate(*arguments, **options)


def weights(n):
    w = np.random.default_rng(n).uniform(0.5, 2, n)
    return w / w.sum()


def matrices(d):
    return tuple(np.random.default_rng(d).standard_normal((3, d, d)) / np.sqrt(d))


def pulled(field, x, w):
    """Drift and bound of the compiled form, and its type."""
    drift, bound = np.empty(x.shape), np.empty(len(x))
    pull = compiled_pull(field, len(x), x.shape[1], float(w.min()))
    assert pull is not None
    fill_rate(x, w, pull, drift, bound)
    return drift, bound, type(pull)


FIELDS = {
    "sa": lambda d: AttentionField(5.0),
    "usa": lambda d: AttentionField(2.0, kind="usa"),
    "repulsive": lambda d: AttentionField(3.0, kind="gkpr", heads=(Head(values=-0.5),)),
    "coupled": lambda d: AttentionField(3.0, heads=(Head(*matrices(d)),)),
    "coupled, usa": lambda d: AttentionField(1.0, kind="usa", heads=(Head(*matrices(d)[:2]),)),
    "causal": lambda d: AttentionField(4.0, causal=True),
    "causal, coupled": lambda d: AttentionField(2.0, causal=True, heads=(Head(*matrices(d)),)),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("d", [2, 3, 8, 30])
def test_the_compiled_drift_is_that_of_the_field(name, d):
    x, w = cloud("clustered", 37, d)
    field = FIELDS[name](d)
    drift, bound, _ = pulled(field, x, w)
    rate = field(0.0, State(x, np.ones(37)), w)
    assert (np.linalg.norm(drift - rate.drift, axis=1) <= bound + rate.error_bound).all()
    assert bound.max() < 1e-11 * np.abs(drift).max()


def test_each_form_has_its_domain():
    form = lambda field, d: type(compiled_pull(field, 40, d, 0.1))
    assert [form(AttentionField(1.0), d) for d in (2, 3, 4, 16, 17)] == [
        TilePull,
        TilePull,
        PairPull,
        PairPull,
        ProductPull,
    ]
    assert form(AttentionField(1.0, causal=True), 2) is form(FIELDS["coupled"](40), 40) is PairPull
    for field in (
        AttentionField(1.0, scheme=scheme("pre")),
        AttentionField(1.0, scheme=scheme("sqrt")),
        AttentionField(1.0, heads=(Head(), Head())),
        AttentionField(1.0, engine="attention"),
        AttentionField(np.inf),
    ):
        assert compiled_pull(field, 40, 2, 0.1) is None
    assert (
        compiled_pull(AttentionField(400.0), 40, 2, 0.0) is None
    )  # a probe whose Z may lie below all doubles


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("beta", [0.0, 1.0, 25.0, 300.0])
def test_products_keep_the_digits_of_clusters(name, beta):
    """Beside extended precision: errors within the bound, and the bound as small as the drift allows."""
    x, w = cloud(name, 60, 24, seed=1)
    drift, bound, form = pulled(AttentionField(beta), x, w)
    expected, _ = exact(x, w, beta)
    reference = drift_at(x, x, w, law("sa", beta))
    assert form is ProductPull
    assert (np.linalg.norm(np.asarray(drift - expected, float), axis=1) <= bound).all()
    assert (bound <= 30 * reference.error_bound + 1e-20).all()


def test_products_bound_their_errors_with_weights_over_thirty_decades():
    for seed in range(20):
        random = np.random.default_rng(seed)
        x, _ = cloud(str(random.choice(CLOUDS)), 40, 20, seed)
        w = 10.0 ** -random.uniform(0, 30, 40)
        beta = float(random.choice([0.1, 4, 81, 1000]))
        drift, bound, _ = pulled(AttentionField(beta), x, w / w.sum())
        expected, _ = exact(x, w / w.sum(), beta)
        assert (np.linalg.norm(np.asarray(drift - expected, float), axis=1) <= bound).all(), seed


CASES = {
    "sa, circle": (AttentionField(6.0), 16, 2, CONSENSUS),
    "usa, circle": (AttentionField(4.0, kind="usa"), 12, 2, CONSENSUS),
    "sa, sphere": (AttentionField(3.0), 16, 3, CONSENSUS),
    "sa, d = 8": (AttentionField(2.0), 12, 8, CONSENSUS),
    "sa, d = 64": (AttentionField(0.5), 66, 64, CONSENSUS),
    "causal, circle": (AttentionField(4.0, causal=True), 10, 2, 20.0),
    "causal, d = 8": (AttentionField(1.0, causal=True), 10, 8, 20.0),
    "coupled, sphere": (AttentionField(2.0, heads=(Head(*matrices(3)),)), 10, 3, 20.0),
}


@pytest.mark.parametrize("name", slow_but(CASES, "causal, d = 8"))
def test_compiled_steps_are_the_plain_ones(name):
    """The same merges at the same times, frames and steps; from uneven weights, with merges to the end."""
    field, n, d, until = CASES[name]
    x, saves = sphere.uniform(n, d, seed=4), np.geomspace(0.02, 19, 12)
    options = {"weights": weights(n), "saves": saves, "method": Adaptive(1e-9)}
    fast, plain = simulate(field, x, until, **options), plainly(field, x, until, **options)
    assert fast.steps == pytest.approx(plain.steps, rel=0.02)
    assert fast.engines == ("direct",)
    assert (fast.merges.first == plain.merges.first).all()
    assert (fast.merges.second == plain.merges.second).all()
    np.testing.assert_allclose(fast.merges.time, plain.merges.time, rtol=1e-9)
    np.testing.assert_allclose(fast.tokens[:-1], plain.tokens[:-1], rtol=0, atol=1e-8)
    assert fast.error_bound < 30 * plain.error_bound
    assert fast.evaluations >= 6 * fast.steps


@pytest.mark.slow
def test_probes_are_carried_as_by_plain_steps():
    x, probes = sphere.uniform(16, 2, seed=2), sphere.uniform(5, 2, seed=3)
    fast, plain = (
        run(AttentionField(9.0), x, 30.0, probes=probes, saves=[1.0]) for run in (simulate, plainly)
    )
    np.testing.assert_allclose(array(fast.probes), array(plain.probes), rtol=0, atol=1e-9)


def form_of(checkpoint):
    return str(present(read_checkpoint(checkpoint, "x"))["form"])


class CutError(Exception):
    pass


@pytest.mark.parametrize("name", ["sa, circle", "sa, sphere", "sa, d = 8", "sa, d = 64", "causal, circle"])
def test_a_resumed_run_is_equal_bit_for_bit_and_its_checkpoint_names_the_form(name, tmp_path, monkeypatch):
    """However many steps are taken at once, and wherever the first process ended."""
    field, n, d, until = CASES[name]
    x, saves = sphere.uniform(n, d, seed=5), np.geomspace(0.02, 19, 7)
    options = {"saves": saves, "method": Adaptive(1e-6)}
    whole = simulate(field, x, until, **options)
    calls = []

    def cut(*now):
        calls.append(now)
        if len(calls) == 20:
            raise CutError

    checkpoints = CheckpointPolicy(tmp_path / "here", "x", seconds=0.0)
    monkeypatch.setattr(integrators, "steps_at_once", lambda n, d: 3)
    with pytest.raises(CutError):
        simulate(field, x, until, checkpoints=checkpoints, progress=cut, **options)
    assert form_of(tmp_path / "here") == "compiled"
    monkeypatch.undo()
    checkpoints.resume = True
    resumed = simulate(field, x, until, checkpoints=checkpoints, **options)
    assert len(calls) < whole.steps
    assert (resumed.tokens == whole.tokens).all()
    assert (resumed.times == whole.times).all()
    for old, new in zip(whole.merges, resumed.merges, strict=True):
        assert (old == new).all()


@pytest.mark.slow
def test_a_run_that_began_by_plain_steps_goes_on_by_them(tmp_path):
    """From the checkpoint of plain steps, which names them: the plain run, bit for bit."""
    field, x = AttentionField(2.0), sphere.uniform(10, 8, seed=6)
    checkpoints, calls = CheckpointPolicy(tmp_path / "here", "x", seconds=0.0), []

    def cut(*now):
        calls.append(now)
        if len(calls) == 20:
            raise CutError

    whole = plainly(field, x, CONSENSUS)
    with pytest.raises(CutError):
        plainly(field, x, CONSENSUS, checkpoints=checkpoints, progress=cut)
    assert form_of(tmp_path / "here") == "plain"
    checkpoints.resume = True
    resumed = simulate(field, x, CONSENSUS, checkpoints=checkpoints)
    assert resumed.steps == whole.steps
    assert (resumed.merges.time == whole.merges.time).all()


def test_what_the_field_refuses_is_refused():
    with pytest.raises(InputError, match="matrices"):
        simulate(FIELDS["coupled"](3), sphere.uniform(5, 4), 1.0)


def test_tokens_and_weights_may_be_read_only():
    x, w = sphere.uniform(6, 2, seed=1), np.full(6, 1 / 6)
    free = simulate(AttentionField(2.0, causal=True), x, 1.0, weights=w)
    x.flags.writeable = w.flags.writeable = False
    assert (simulate(AttentionField(2.0, causal=True), x, 1.0, weights=w).tokens == free.tokens).all()


def test_a_field_of_another_class_is_asked_itself():
    class Still(AttentionField):
        def __call__(self, time, state, weights):
            rate = super().__call__(time, state, weights)
            return replace(rate, drift=0 * rate.drift)

    x = sphere.uniform(6, 2, seed=1)
    assert np.abs(simulate(Still(2.0), x, 1.0).tokens[-1] - x).max() < 1e-15


@pytest.mark.slow
def test_many_tokens_go_on_by_compiled_steps_once_they_are_few(monkeypatch):
    taken = []
    steps = integrators.take_steps

    def counted(x, *arguments):
        taken.append(len(x))
        return steps(x, *arguments)

    monkeypatch.setattr(integrators, "take_steps", counted)
    monkeypatch.setattr(integrators, "FEW", 30)
    x = sphere.uniform(50, 2, seed=1)
    run, plain = simulate(AttentionField(4.0), x, CONSENSUS), plainly(AttentionField(4.0), x, CONSENSUS)
    assert max(taken) <= 30
    np.testing.assert_allclose(run.merges.time, plain.merges.time, rtol=1e-9)
