"""Bounds on errors where weights are spread over many decades, and tokens too light for the sums of most engines."""

import warnings

import numpy as np
import pytest
from engine_reference import CLOUDS, cloud, exact
from marks import slow_but
from typed import present

from spinodal import flows, sphere
from spinodal.errors import ConvergenceError
from spinodal.flows import ENGINES
from spinodal.flows.engines import choose, harmonics
from spinodal.flows.engines.law import law
from spinodal.flows.fields import scheme
from spinodal.flows.state import State

LATE = 1e6  # when drifts without their last digits have moved tokens of d = 8 astray
SOFT = [engine for engine in ENGINES.values() if not engine.hard]


def draw(seed: int):
    """(tokens, weights over up to 30 decades or one heavy beside equal light ones, beta, kind, rows to compare)."""
    random = np.random.default_rng(seed)
    d, n = int(random.choice([2, 2, 3, 3, 4, 5, 16, 64])), int(random.choice([2, 3, 5, 20, 50, 300]))
    x, _ = cloud(str(random.choice(CLOUDS)), n, d, seed)
    if random.random() < 0.4:
        weights = np.full(n, 1e-12) * (random.uniform(0.1, 1, n) if random.random() < 0.5 else 1)
        weights[random.integers(n)] = 1
    else:
        weights = 10.0 ** -random.uniform(0, random.choice([6, 12, 18, 30]), n)
        weights[random.random(n) < 0.1] = 0
        weights[random.integers(n)] = 1
    beta = float(random.choice([0, 0.1, 1, 4, 9, 25, 81, 300, 1000, 4000]))
    heavy = int(np.argmax(weights))
    rows = np.unique([heavy, *random.integers(0, n, 12)])
    return x, weights / weights.sum(), beta, str(random.choice(["sa", "gkpr"])), rows


def check_bounds(seed: int) -> None:
    x, w, beta, kind, rows = draw(seed)
    drift, _ = exact(x, w, beta, kind, rows)
    n, d = x.shape
    for engine in SOFT:
        if engine.d not in (None, d) or (engine.name == "span" and n >= d):
            continue
        if engine.name == "harmonics" and (d < 3 or not len(harmonics.eigenvalues(beta, d))):
            continue
        answer = present(engine(x, w, law(kind, beta)))
        error = np.linalg.norm(np.asarray(answer.drift[rows] - drift, float), axis=1)
        assert (error <= answer.error_bound[rows]).all(), (engine.name, seed)
        assert (answer.Z >= 0).all()


def test_bounds_hold_on_fifty_draws_of_weights_over_thirty_decades():
    for seed in range(50):
        check_bounds(seed)


@pytest.mark.slow
def test_bounds_hold_on_a_thousand_draws_of_weights_over_thirty_decades():
    for seed in range(50, 1050):
        check_bounds(seed)


@pytest.mark.parametrize("engine", ["direct", "lowrank", "circle", "attention"])
def test_equal_light_tokens_beside_a_heavy_one_all_round_the_same_way(engine):
    """900 weights of 1e-12 that are added to 1 one after another: the roundings add up."""
    x, _ = cloud("poles", 900, 2, 79)
    w = np.full(900, 1e-12)
    w[64] = 1
    w /= w.sum()
    answer = present(ENGINES[engine](x, w, law("sa", 0.0)))
    drift, _ = exact(x, w, 0.0)
    error = np.linalg.norm(np.asarray(answer.drift - drift, float), axis=1)
    assert (error <= answer.error_bound).all()


def crowd(d: int, n: int):
    """(x, w): n tokens near e_1, then two probes: at -e_1 and at 120 degrees."""
    random = np.random.default_rng(d)
    x = sphere.normalise(np.eye(d)[0] + 0.05 * random.standard_normal((n + 2, d)))
    x[-2] = -np.eye(d)[0]
    x[-1] = np.cos(2 * np.pi / 3) * np.eye(d)[0] + np.sin(2 * np.pi / 3) * np.eye(d)[1]
    w = np.full(n + 2, 1 / n)
    return x, w


@pytest.mark.parametrize("light", slow_but([0.0, 1e-17], 1e-17))
@pytest.mark.parametrize(
    ("engine", "d", "n"),
    slow_but(
        [("circle", 2, 1000), ("sphere", 3, 5000), ("lowrank", 5, 1000)],
        ("circle", 2, 1000),
        ("sphere", 3, 5000),
    ),
)
@pytest.mark.parametrize("beta", [60.0, 700.0])
def test_probes_far_from_all_mass_drift_as_they_should(engine, d, n, beta, light):
    """Z is e^-100 and less there: below the rounding of the sums that make it, which used to give either sign."""
    x, w = crowd(d, n)
    w[-2:] = light
    drift, Z = exact(x, w, beta, rows=[n, n + 1])
    rough = present(ENGINES[engine](x, w, law("sa", beta)))
    assert (rough.Z >= 0).all()
    assert (rough.error_bound >= np.linalg.norm(np.asarray(rough.drift, float), axis=1) * 1e-16).all()
    assert (rough.error_bound[-2:] == np.inf).all()
    for tolerance in (1e-8, np.inf):
        answer = flows.field(x, w, beta=beta, engine=engine, tolerance=tolerance)
        error = np.linalg.norm(np.asarray(answer.drift[-2:] - drift, float), axis=1)
        assert (error <= answer.error_bound[-2:]).all()
        assert answer.error_bound.max() < 1e-10 * beta
        assert answer.Z[-2:] == pytest.approx(np.asarray(Z, float), rel=1e-9, abs=1e-300)
    field = flows.AttentionField(beta=beta, engine=engine, scheme=scheme("pre"))
    rate = field(0.0, State(x, np.ones(n + 2)), w)
    assert rate.drift[-2:] == pytest.approx(np.asarray(drift, float), abs=1e-9)
    assert (rate.Z >= 0).all()


@pytest.mark.parametrize("d", [2, 3, 5])
def test_logarithms_reach_where_doubles_end(d):
    """At b = 2000 the kernel is e^-4000 at the antipode; its nearest tokens still decide where a probe goes."""
    x, w = crowd(d, 20)
    w[-2:] = 0.0
    drift, _ = exact(x, w, 2000.0, rows=[20, 21])
    answer = flows.field(x, w, beta=2000.0)
    assert np.linalg.norm(drift.astype(float), axis=1).min() > 1e-3
    assert answer.drift[-2:] == pytest.approx(np.asarray(drift, float), abs=1e-11)
    assert answer.error_bound.max() < 1e-8


def test_a_warning_says_where_digits_of_a_drift_are_lost(monkeypatch):
    """Tokens in high d are hardly seen by each other: where they are too many to be computed again, that is told."""
    x, weights = sphere.uniform(64, 8, 0), np.full(64, 1 / 64)
    exact_drift = flows.field(x, weights, beta=100.0, engine="direct").drift
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = flows.field(x, weights, beta=100.0, engine="attention")
    assert known.engine == "attention+direct"
    assert known.error_bound.max() <= 1e-8 * abs(known.drift).max()
    monkeypatch.setattr(choose, "WORK", 0)
    with pytest.warns(UserWarning, match="the drift of 64 tokens is not known to 1e-08 of the largest drift"):
        lost = flows.field(x, weights, beta=100.0, engine="attention")
    for answer in (known, lost):
        assert (np.linalg.norm(answer.drift - exact_drift, axis=1) <= answer.error_bound).all()


def test_a_simulation_warns_where_lost_digits_may_have_moved_a_token(monkeypatch):
    monkeypatch.setattr(choose, "WORK", 0)
    x = sphere.uniform(16, 8, 0)
    field, exactly = (flows.AttentionField(100.0, engine=engine) for engine in ("attention", "direct"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # where it did not matter, and where no digit is lost
        flows.simulate(field, x, 1.0)
        flows.simulate(exactly, x, LATE)
    with pytest.warns(UserWarning, match="digits were lost: the drift was known to .* by engine attention"):
        flows.simulate(field, x, LATE)


def test_a_simulation_warns_where_rest_is_a_drift_that_no_engine_told_from_zero(monkeypatch):
    """300 tokens in d = 64 meet after e^(beta (1 - cos)): an engine that has none of these digits sees them at rest."""
    monkeypatch.setattr(choose, "WORK", 0)
    x = sphere.uniform(300, 64, 0)
    field = flows.AttentionField(100.0, engine="attention")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flows.simulate(field, x, 1.0)
    with pytest.warns(UserWarning, match="tokens rest as far as engine attention can tell"):
        flows.simulate(field, x, 1e20)
    with (
        pytest.warns(UserWarning, match="tokens rest"),
        pytest.raises(ConvergenceError, match="no consensus"),
    ):
        flows.simulate(field, x, flows.CONSENSUS)
