"""Many tokens on the circle as sorted angles, beside the unit vectors that they stand for."""

import numpy as np
import pytest
import torch
from engine_reference import cloud, exact
from marks import slow_but
from typed import array, present

from spinodal import sphere
from spinodal.flows.engines import choose, circle
from spinodal.flows.engines.angles import drift_along, unit_masses
from spinodal.flows.engines.law import law
from spinodal.flows.fields import AttentionField, FeedForward, Head, scheme
from spinodal.flows.state import State
from spinodal.flows.time import CONSENSUS, Adaptive, CheckpointPolicy, integrators, simulate
from spinodal.flows.time.angles import angles_of, angular_pull, merge_neighbours, unit_vectors
from spinodal.flows.time.merging import ActiveTokens, Motion
from spinodal.runs import read_checkpoint

EPS = np.finfo(float).eps


def by_vectors(*arguments, **options):
    """`simulate` with unit vectors throughout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integrators, "angular_pull", lambda *_: None)
        return simulate(*arguments, **options)


def uneven(n):
    w = np.random.default_rng(n).uniform(0.2, 2, n)
    return w / w.sum()


def sorted_cloud(name, n, seed=0):
    x, w = cloud(name, n, 2, seed)
    order = np.argsort(np.arctan2(x[:, 1], x[:, 0]))
    return x[order], w[order]


def drift_at(theta, w, which, value=1.0):
    """The drift of the angles, and what is said of all."""
    rate, nothing = np.empty(len(theta)), np.empty(0)
    stages = (np.empty((7, len(theta))), np.arange(7)), nothing
    said = drift_along(theta, stages, unit_masses(w), which, value, (theta, rate))
    return rate, said


def turning(x, drift):
    return x[:, 0] * drift[:, 1] - x[:, 1] * drift[:, 0]


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
@pytest.mark.parametrize("name", ["uniform", "clustered", "metastable", "nearly coincident"])
@pytest.mark.parametrize("equal", [True, False])
def test_the_drift_is_that_of_unit_vectors(kind, name, equal):
    """To rounding of the largest value, beside sums in extended precision and beside the circle engine."""
    n, beta = 20_000, 4.0
    x, w = sorted_cloud(name, n)
    w = np.full(n, 1 / n) if equal else w
    rate, said = drift_at(angles_of(x)[:, 0], w, law(kind, beta))
    engine = circle.drift(x, w, law(kind, beta))
    assert np.abs(rate - turning(x, engine.drift)).max() < 1e-13 * max(1, np.exp(beta) * (kind == "usa"))
    rows = np.arange(0, n, 2000)
    true, _ = exact(x, w, beta, kind, rows)
    assert (np.abs(rate[rows] - np.asarray(turning(x[rows], true), float)) <= engine.error_bound[rows]).all()
    assert said.bound == pytest.approx(engine.error_bound.max(), rel=1e-9)
    assert said.doubt == pytest.approx(np.linalg.norm(engine.error_bound), rel=1e-9)
    assert said.top == np.abs(rate).max()
    assert said.speed == pytest.approx(np.linalg.norm(rate), rel=1e-12)


def test_stages_are_summed_where_the_drift_is_taken():
    random = np.random.default_rng(1)
    theta, k = np.sort(random.uniform(-3, 3, 3000)), 1e-3 * random.standard_normal((7, 3000))
    a, w, y, rate = np.array([0.5, 0.0, -2.0, 1.0]), uneven(3000), np.empty(3000), np.empty(3000)
    order = np.array([6, 1, 2, 3, 4, 5, 0])
    drift_along(theta, ((k, order), a), unit_masses(w), law("sa", 9.0), -2.0, (y, rate))
    expected = theta + a @ k[order[:4]]
    assert np.abs(y - expected).max() < 2 * EPS
    engine = circle.drift(unit_vectors(y[:, None]), w, law("sa", 9.0))
    assert np.abs(rate + 2 * turning(unit_vectors(y[:, None]), engine.drift)).max() < 1e-12


@pytest.mark.parametrize("turns", [-3, 1, 2])
def test_angles_may_lie_beyond_the_cut(turns):
    """Any multiple of 2 pi may be added to the tokens beyond a place."""
    theta, w = np.sort(np.random.default_rng(2).uniform(-np.pi, np.pi, 5000)), uneven(5000)
    moved = np.sort(theta + 2 * np.pi * turns * (theta > 1))
    order = np.argsort(np.mod(moved + np.pi, 2 * np.pi), kind="stable")
    here, _ = drift_at(theta, w, law("sa", 25.0))
    there, _ = drift_at(moved, w[np.argsort(theta + 2 * np.pi * turns * (theta > 1))], law("sa", 25.0))
    assert np.abs(there[order] - here).max() < 1e-12


def test_a_token_of_which_nothing_is_known_makes_the_bound_infinite():
    x, w = sorted_cloud("alone", 600)
    _, said = drift_at(
        angles_of(x)[:, 0], np.where(x[:, 0] == x[np.argmin(x @ x[300]), 0], 1e-18, w), law("sa", 50.0)
    )
    assert said.bound == said.doubt == np.inf


def test_where_it_serves():
    serves = lambda field, n=600, d=2: angular_pull(field, n, d) is not None
    assert serves(AttentionField(4.0))
    assert serves(AttentionField(4.0, kind="usa", engine="circle"))
    assert serves(AttentionField(4.0, heads=(Head(2 * np.eye(2), np.eye(2), -1.5),)))
    for field in (
        AttentionField(4.0, causal=True),
        AttentionField(4.0, heads=(Head(values=np.diag([1.0, 2.0])),)),
        AttentionField(4.0, heads=(Head(queries=-1.0),)),
        AttentionField(4.0, heads=(Head(), Head())),
        AttentionField(4.0, scheme=scheme("pre")),
        AttentionField(4.0, scheme=scheme("sqrt")),
        AttentionField(4.0, feed_forward=FeedForward(np.eye(2), np.eye(2), np.zeros(2), "tanh")),
        AttentionField(4.0, kappa=10.0),
        AttentionField(4.0, engine="direct"),
        AttentionField(np.inf),
        AttentionField(1e4),  # for which every pair is cheaper
        type("Other", (AttentionField,), {})(4.0),
    ):
        assert not serves(field)
    assert not serves(AttentionField(4.0), 512)
    assert not serves(AttentionField(4.0), 6000, 3)


CASES = {
    "sa": (AttentionField(9.0), CONSENSUS, {}),
    "sa, uneven": (AttentionField(9.0), CONSENSUS, {"weights": uneven(600)}),
    "usa, engine circle": (AttentionField(3.0, kind="usa", engine="circle"), 0.5, {}),
    "repulsive": (AttentionField(4.0, heads=(Head(values=-1.0),)), 5.0, {}),
    "twice as fast": (AttentionField(1.0, kind="gkpr", heads=(Head(2.0, 2.0, 2.0),)), 2.0, {}),
    "probes": (AttentionField(6.0), CONSENSUS, {"probes": sphere.uniform(40, 2, seed=9)}),
}


@pytest.mark.parametrize("name", slow_but(CASES, "probes"))
def test_simulations_are_those_of_unit_vectors(name):
    """Frames in the order of the start, steps, and the last merge: to less than the tolerance."""
    field, until, options = CASES[name]
    x, saves = sphere.uniform(600, 2, seed=4), np.geomspace(0.02, 0.5, 6)
    options = {"saves": saves, "method": Adaptive(1e-8)} | options
    ours, plain = simulate(field, x, until, **options), by_vectors(field, x, until, **options)
    assert ours.steps == pytest.approx(plain.steps, rel=0.02)
    assert ours.engines == plain.engines
    assert np.abs(ours.tokens[0] - x).max() < 4 * EPS
    assert ours.tokens.shape == plain.tokens.shape
    np.testing.assert_allclose(ours.tokens, plain.tokens, rtol=0, atol=1e-7)
    np.testing.assert_allclose(ours.tokens[:3], plain.tokens[:3], rtol=0, atol=1e-10)
    assert len(ours.merges.time) == len(plain.merges.time)
    if until == CONSENSUS:
        np.testing.assert_allclose(ours.merges.time[-1], plain.merges.time[-1], rtol=1e-8)
    assert ours.error_bound < 3 * plain.error_bound
    if ours.probes is not None:
        np.testing.assert_allclose(ours.probes, array(plain.probes), rtol=0, atol=1e-7)


def clusters_at(run, t):
    return len(run.tokens[0]) - np.count_nonzero(run.merges.time <= t)


@pytest.mark.slow
def test_merging_tokens_are_those_of_unit_vectors():
    """From six narrow clusters, one of them on the cut: as many have merged at each time, in places that agree."""
    random = np.random.default_rng(3)
    centres = np.array([-2.0, -1.1, 0.2, 1.0, 2.1, np.pi])
    angle = random.permutation(np.repeat(centres, 150) + 1e-2 * random.standard_normal(900))
    x, saves = np.stack([np.cos(angle), np.sin(angle)], 1), np.geomspace(0.05, 400, 20)
    ours, plain = (run(AttentionField(20.0), x, 1000.0, saves=saves) for run in (simulate, by_vectors))
    np.testing.assert_allclose(ours.tokens, plain.tokens, rtol=0, atol=2e-8)
    for t in saves:
        assert abs(clusters_at(ours, t) - clusters_at(plain, t)) <= 2
    assert clusters_at(ours, 400) <= 6
    first = np.abs(np.angle(np.exp(1j * (angle[ours.merges.first] - angle[ours.merges.second]))))
    assert (first < 0.2).mean() > 0.99  # those of one cluster


def test_coincident_tokens_are_one_from_the_start_also_across_the_cut():
    """In events of pairs, as among unit vectors."""
    angle = np.linspace(-np.pi, np.pi, 701)  # whose ends are one place
    angle = np.concatenate([angle, angle[100:140], angle[100:110]])
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    ours, plain = (run(AttentionField(1.0), x, 1e-3) for run in (simulate, by_vectors))
    assert np.count_nonzero(ours.merges.time == 0) == 51
    assert [0, 700] in np.stack([ours.merges.first, ours.merges.second], 1).tolist()
    for old, new in zip(plain.merges, ours.merges, strict=True):
        assert (old == new).all()
    np.testing.assert_allclose(ours.tokens, plain.tokens, rtol=0, atol=1e-13)


@pytest.mark.parametrize("tie", [(0, 1), (3, 4), (4, 5)])
def test_of_equal_gaps_the_first_merges(tie):
    """The same of three tokens as among unit vectors: of pairs with equal gaps that of the smaller indices."""
    theta = np.array([-np.pi + 2**-31, -1.0, 0.0, 1.0, 2.0, np.pi - 2**-30])
    theta[list(tie)] = theta[tie[0]] + 2.0**-30 * np.array([0, 1]) * np.sign(tie[1] - tie[0])
    if tie == (4, 5):
        theta[3:6] = 2.0 + 2.0**-30 * np.arange(3)
    active = ActiveTokens(unit_vectors(theta[:, None]), np.full(6, 1 / 6), 1e-5)
    still = np.zeros((6, 1))
    merge_neighbours(active, Motion(theta[:, None], still, theta[:, None], still, 0.0, 0.0))
    assert active.tree.halves[6].tolist() == [min(tie[0], 3), min(tie[0], 3) + 1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [2, 3, 40])
def test_neighbours_merge_as_among_all_pairs(seed, n):
    """One event of `ActiveTokens`, with gaps from 1e-9 to far, some of them across the cut."""
    random = np.random.default_rng(seed)
    gap = 10.0 ** random.choice([-9, -7, -6, -5, -1], n) * random.uniform(1, 2, n)
    theta = np.cumsum(gap) + np.pi - gap[: n // 2 + 1].sum()  # the cut lies among them
    theta = np.sort(np.angle(np.exp(1j * theta)))[:, None]
    x, w = unit_vectors(theta), random.uniform(0, 1, n) * (random.uniform(size=n) < 0.9)
    f, g = -np.sin(theta - 3) * 0.3, -np.sin(theta - 3) * 0.3
    back = theta - 1e-3 * f
    aside = lambda theta, f: f * np.stack([-np.sin(theta[:, 0]), np.cos(theta[:, 0])], 1)
    ours, theirs = ActiveTokens(x, w, 2e-5), ActiveTokens(x, w, 2e-5)
    order = ours.living
    assert (order == np.arange(n)).all()
    met = merge_neighbours(ours, Motion(theta, f, back, g, 2.0, 1e-3))
    vectors = Motion(x, aside(theta, f), unit_vectors(back), aside(back, g), 2.0, 1e-3)
    plain = theirs.merge_and_capture(vectors)
    assert (met is None) == (plain is None)
    if plain is None:
        return
    assert (ours.tree.parent == theirs.tree.parent).all()
    assert (ours.living == theirs.living).all()
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-15)
    np.testing.assert_allclose(unit_vectors(present(met)), plain, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ours.tree.offset, theirs.tree.offset, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ours.tree.time, theirs.tree.time, rtol=1e-3)


class CutError(Exception):
    pass


def cut_after(count, merged=0):
    """A `progress` that ends the process after so many steps, once so many tokens have merged."""
    calls = []

    def progress(now, _):
        calls.append(now)
        if len(calls) >= count and now >= merged:
            raise CutError

    return progress


def form_of(checkpoint):
    return str(present(read_checkpoint(checkpoint, "x"))["form"])


RESUMED = [((5,), "angles"), ((5, 60), "angles"), ((5, 300), "compiled")]


@pytest.mark.parametrize(("steps", "form"), slow_but(RESUMED, RESUMED[-1]))
def test_a_resumed_run_is_equal_bit_for_bit(steps, form, tmp_path):
    """Cut before tokens merge, while they do, and after few are left."""
    x, options = (
        sphere.uniform(700, 2, seed=5),
        {"saves": np.geomspace(0.02, 30, 7), "method": Adaptive(1e-6)},
    )
    whole = simulate(AttentionField(9.0), x, CONSENSUS, **options)
    checkpoints = CheckpointPolicy(tmp_path / "here", "x", seconds=0.0)
    with pytest.raises(CutError):
        simulate(
            AttentionField(9.0), x, CONSENSUS, checkpoints=checkpoints, progress=cut_after(*steps), **options
        )
    assert form_of(tmp_path / "here") == form
    checkpoints.resume = True
    resumed = simulate(AttentionField(9.0), x, CONSENSUS, checkpoints=checkpoints, **options)
    assert (resumed.tokens == whole.tokens).all()
    assert (resumed.times == whole.times).all()
    assert (resumed.steps, resumed.evaluations) == (whole.steps, whole.evaluations)
    for old, new in zip(whole.merges, resumed.merges, strict=True):
        assert (old == new).all()


def test_a_run_that_began_with_unit_vectors_goes_on_with_them(tmp_path):
    x, checkpoints = sphere.uniform(700, 2, seed=6), CheckpointPolicy(tmp_path / "here", "x", seconds=0.0)
    whole = by_vectors(AttentionField(4.0), x, 1.0)
    with pytest.raises(CutError):
        by_vectors(AttentionField(4.0), x, 1.0, checkpoints=checkpoints, progress=cut_after(8))
    checkpoints.resume = True
    resumed = simulate(AttentionField(4.0), x, 1.0, checkpoints=checkpoints)
    assert (resumed.tokens == whole.tokens).all()


def test_tokens_of_which_the_engine_knows_too_little_are_computed_again():
    """Two clusters opposite to each other and few tokens between: as by unit vectors, and with their engines."""
    random = np.random.default_rng(7)
    angle = np.concatenate([1e-3 * random.standard_normal(600), np.pi + 1e-3 * random.standard_normal(5)])
    x, w = np.stack([np.cos(angle), np.sin(angle)], 1), np.append(np.full(600, 1 / 600), np.zeros(5))
    ours, plain = (run(AttentionField(30.0), x, 0.3, weights=w) for run in (simulate, by_vectors))
    assert "circle+direct" in ours.engines
    assert ours.engines == plain.engines
    np.testing.assert_allclose(ours.tokens, plain.tokens, rtol=0, atol=1e-9)


def test_a_rest_that_the_engine_cannot_tell_from_motion_is_warned_of(monkeypatch):
    """Equally spaced tokens, whose drift is rounding, too many to be computed again."""
    monkeypatch.setattr(choose, "WORK", 0)
    angle = np.linspace(-3, -3 + 2 * np.pi, 520, endpoint=False)
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    for run in (simulate, by_vectors):
        with pytest.warns(UserWarning, match="tokens rest as far as engine circle can tell"):
            assert np.abs(run(AttentionField(1.0, engine="circle"), x, 1e6).tokens - x).max() < 1e-15


def test_the_same_bits_on_two_threads():
    x, runs = sphere.uniform(40_000, 2, seed=8), []
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            runs.append(simulate(AttentionField(9.0), x, 0.5, weights=uneven(40_000)))
        finally:
            torch.set_num_threads(1)
    assert (runs[0].tokens == runs[1].tokens).all()


def test_a_stage_that_is_not_finite_makes_the_error_nan():
    """A step is then tried again, shorter; so it is where a path is too long for angles."""
    x = sphere.uniform(600, 2, seed=1)
    flow = Adaptive().begin(AttentionField(4.0), State(x, np.ones(600)), np.full(600, 1 / 600))
    assert isinstance(flow, integrators.AdaptiveIntegrator)
    assert flow.try_step(1e-3)[2] < 1e3
    for bad in (np.nan, np.inf):
        flow.stages.sigma[1:] = bad
        with np.errstate(invalid="ignore"):
            assert not flow.stages.error(flow.state, 1.0, 1e-3, 1e-8) < np.inf
    assert np.isnan(flow.try_step(1e7)[2])
    flow.proposed = 1e7
    flow.advance(1.0)
    assert 0 < flow.hi <= 1.0
