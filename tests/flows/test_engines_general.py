"""General queries, keys and values; and the parts of which the fast engines are made."""

import numpy as np
import pytest
from engine_reference import WIDE, cloud
from scipy.special import ive

from spinodal import flows, loops, sphere
from spinodal.errors import InputError
from spinodal.flows import ENGINES
from spinodal.flows.engines import attention, cells, circle, direct, lowrank, pairs
from spinodal.flows.engines import sphere as harmonics
from spinodal.flows.engines.law import law

RANDOM = np.random.default_rng(11)


def defined(targets, sources, values, weights, causal=False):
    """(mean, log Z) in extended precision."""
    t, s, v, w = (np.asarray(a, WIDE) for a in (targets, sources, values, weights))
    logits = t @ s.T
    with np.errstate(divide="ignore"):
        logits = logits + np.log(w)
    if causal:
        logits[np.triu_indices(len(t), 1)] = -np.inf
    top = logits.max(1, keepdims=True)
    e = np.exp(logits - top)
    return (e @ v) / e.sum(1, keepdims=True), top[:, 0] + np.log(e.sum(1))


@pytest.mark.parametrize("engine", [pairs, attention])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("n", "m", "d", "e"), [(300, 300, 5, 5), (70, 700, 3, 8), (9, 2, 6, 2)])
def test_interaction_is_weighted_attention(engine, causal, n, m, d, e):
    n, m = (m, m) if causal else (n, m)
    targets, sources = 3 * RANDOM.standard_normal((n, d)), RANDOM.standard_normal((m, d))
    values, anchors = RANDOM.standard_normal((m, e)), RANDOM.standard_normal((n, e))
    weights = RANDOM.uniform(0.1, 1, m)
    weights /= weights.sum()
    mean, log_Z = defined(targets, sources, values, weights, causal)
    plain = engine.interaction(targets, sources, values, weights, causal=causal)
    moved = engine.interaction(targets, sources, values, weights, anchors, causal)
    assert abs(plain.log_partition - log_Z).max() < 1e-12
    assert (np.linalg.norm((plain.shift - mean).astype(float), axis=1) <= plain.error_bound).all()
    assert (np.linalg.norm((moved.shift - mean + anchors).astype(float), axis=1) <= moved.error_bound).all()
    assert moved.error_bound.max() < 1e-10


@pytest.mark.parametrize("engine", [pairs, attention])
def test_the_first_token_of_a_causal_flow_stays_and_nothing_leaks_back(engine):
    x = sphere.uniform(40, 4, seed=2)
    w = np.full(40, 1 / 40)
    one = engine.interaction(5 * x, x, x, w, x, causal=True)
    y = x.copy()
    y[20:] = sphere.uniform(20, 4, seed=3)
    two = engine.interaction(5 * y, y, y, w, y, causal=True)
    assert (one.shift[0] == 0).all()
    assert np.array_equal(one.shift[:20], two.shift[:20])
    assert not np.array_equal(one.shift[20:], two.shift[20:])


@pytest.mark.parametrize("engine", [pairs, attention])
def test_logits_beyond_doubles_and_tokens_without_weight(engine):
    x = sphere.uniform(30, 3, seed=4)
    w = np.full(30, 1 / 20) * (np.arange(30) >= 10)
    for strength in (1e3, 1e5):
        mean, log_Z = defined(strength * x, x, x, w)
        answer = engine.interaction(strength * x, x, x, w)
        assert abs(answer.shift - mean).max() < 1e-14 * strength
        assert abs(answer.log_partition / log_Z - 1).max() < 1e-13
    causal = engine.interaction(x, x, x, w, causal=True)
    assert (causal.shift[:10] == 0).all()
    assert (causal.log_partition[:10] == -np.inf).all()
    assert abs(causal.shift[10] - x[10]).max() < 1e-15


def test_differences_from_an_anchor_keep_the_digits_of_a_cluster():
    """Queries and keys are general, V = I: two clusters of width 1e-9, apart by e^-40."""
    x, w = cloud("metastable", 60, 5)
    Q = np.diag([1.0, 0.9, 1.1, 1.0, 0.8])
    targets = 20 * x @ Q
    answer = pairs.interaction(targets, x, x, w, x)
    rough = attention.interaction(targets, x, x, w, x)
    wide = np.asarray(x, WIDE)
    e = np.asarray(w, WIDE) * np.exp(np.asarray(targets, WIDE) @ wide.T - 20)
    shift = np.array([p @ (wide - wide[i]) / p.sum() for i, p in enumerate(e)])
    size = abs(shift).max(1)
    assert (abs(answer.shift - shift).max(1) / size).max() < 1e-12
    assert (abs(rough.shift - shift).max(1) / size).max() > 1e-9


@pytest.mark.parametrize("strength", [0.0, 0.1, 3.0, 30.0])
@pytest.mark.parametrize("flip", [1, -1])
def test_general_queries_and_keys_on_the_circle(strength, flip):
    x, w = cloud("uniform", 700, 2)
    A = RANDOM.standard_normal((2, 2)) * [[1, flip]]
    A *= strength / np.linalg.norm(A, 2)
    answer = circle.coupled_mean(x, w, A)
    mean, log_Z = defined(x @ A, x, x, w)
    known = answer.error_bound < 1e-3
    assert known.any()
    assert (np.linalg.norm((answer.shift - mean).astype(float), axis=1) <= answer.error_bound).all()
    assert (abs(answer.log_partition - log_Z)[known] <= answer.error_bound[known]).all()
    if strength <= 3:
        assert abs(answer.shift - mean).max() < 1e-13


def test_the_circle_with_the_identity_is_the_circle():
    x, w = cloud("clustered", 400, 2)
    mean = circle.coupled_mean(x, w, 9.0 * np.eye(2))
    drift = circle.drift(x, w, law("sa", 9.0))
    assert (
        np.linalg.norm(sphere.tangent(x, mean.shift) - drift.drift, axis=1)
        <= mean.error_bound + drift.error_bound
    ).all()
    with pytest.raises(InputError, match="circle engine ends"):
        circle.coupled_mean(x, w, 1e4 * np.eye(2))


@pytest.mark.parametrize("strength", [90.0, 400.0, 1900.0])
def test_couplings_end_where_the_rounding_of_a_large_exponent_begins(strength):
    x, w = cloud("clustered", 300, 2)
    A = strength * np.array([[np.cos(0.02), np.sin(0.02)], [-np.sin(0.02), np.cos(0.02)]])
    answer = circle.coupled_mean(x, w, A)
    assert len(circle.coupling_modes(A, strength)) < 60 + 16 * strength**0.5
    mean, log_Z = defined(x @ A, x, x, w)
    assert (np.linalg.norm((answer.shift - mean).astype(float), axis=1) <= answer.error_bound).all()
    known = answer.error_bound < 1e-3
    assert known.any()
    assert (abs(answer.log_partition - log_Z)[known] <= answer.error_bound[known]).all()


def test_cells_locate_every_angle():
    angle = np.concatenate([np.linspace(-10, 10, 20_001), np.arange(-8, 9) * np.pi / 4])
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    x[-17:] = np.round(x[-17:], 15)
    M = 512
    cell, off = np.empty(len(x), np.int32), np.empty(len(x))
    cells.locate(x.reshape(-1), M, cell, off)
    assert abs(off).max() < 1.001 * np.pi / M
    assert cell.min() >= 0
    assert cell.max() <= M
    centre = 2 * np.pi * cell / M
    across = x[:, 1] * np.cos(centre) - x[:, 0] * np.sin(centre)
    off_of_centre = np.arctan2(across, x[:, 0] * np.cos(centre) + x[:, 1] * np.sin(centre))
    assert abs(off - off_of_centre).max() < 2e-15


@pytest.mark.parametrize("n", [1, 1023, 1024, 40_000])
def test_sums_over_cells_are_sums_over_tokens(n):
    x, w = cloud("uniform", n, 2)
    K = 20
    M = cells.cells(np.ones(K + 1))
    k = np.arange(K + 1)
    angle = np.arctan2(x[:, 1], x[:, 0])
    expected = np.exp(-1j * np.outer(k, angle)) @ w
    assert abs(cells.modes(x, w, K, M) - expected).max() < 1e-14
    f = RANDOM.standard_normal(K + 1) + 1j * RANDOM.standard_normal(K + 1)
    values = circle.values(x, cells.table(f, M))
    assert abs(values - (f @ np.exp(1j * np.outer(k, angle))).real).max() < 1e-13


@pytest.mark.parametrize(
    ("beta", "K", "L"), [(1, 12, 13), (4, 19, 20), (9, 26, 27), (25, 40, 43), (81, 69, 74)]
)
def test_modes_are_as_many_as_the_tail_asks_for(beta, K, L):
    """The counts of engines.md, section 2, leave out less than 1e-12; ours less than a rounding."""
    k = np.arange(400)
    on_circle = 2 * ive(k, beta)
    on_sphere = (2 * k + 1) * np.sqrt(np.pi / (2 * beta)) * ive(k + 0.5, beta)
    assert on_circle[K + 1 :].sum() < 1e-12
    assert on_sphere[L + 1 :].sum() < 1e-12
    ours = len(circle.plan(float(beta)).Y)
    assert on_circle[ours + 1 :].sum() < 1e-16 < on_circle[ours - 3 :].sum()
    ours = len(harmonics.degrees(float(beta))) - 1
    assert on_sphere[ours + 1 :].sum() < 1e-16 < on_sphere[ours - 3 :].sum()


@pytest.mark.parametrize("beta", [0.0, 1e-300, 1e-6, 25.0, 1e4])
def test_series_add_up_at_zero_distance(beta):
    """J_0 + 2 sum J_k = 1 and sum (2l + 1) i_l = 1; at b = 0 only the slopes 1/2 and 1/3 of degree one are left."""
    plan, i = circle.plan(beta), harmonics.degrees(beta)
    l = np.arange(len(i))
    assert plan.J0 + beta * plan.Y.sum() == pytest.approx(1, abs=1e-13)
    assert i[0] + beta * ((2 * l + 1) * i)[1:].sum() == pytest.approx(1, abs=1e-12)
    if beta < 1e-5:
        assert plan.Y[0] == pytest.approx(1, abs=1e-5)
        assert i[1] == pytest.approx(1 / 3, abs=1e-5)


def test_the_compiled_exponential():
    from numba import njit

    power = njit(lambda y: loops.exp2(y))
    y = np.concatenate([-np.geomspace(1e-20, 999, 2000), [0.0]])
    relative = np.array([power(v) for v in y]) / np.exp2(np.asarray(y, WIDE)) - 1
    assert abs(relative).max() < 5e-16
    assert power(0.0) == 1
    assert power(-1e300) == 2.0**-1000


@pytest.mark.slow
def test_the_certificate_of_low_rank():
    """A cluster has few dimensions; a uniform cloud has none to spare and is refused."""
    x, _ = cloud("alone", 500, 6)
    found = lowrank.factor(x, 4.0, 500)
    assert found is not None
    L, rest = found
    left = np.exp(4.0 * (x @ x.T - 1)) - L.T @ L
    assert len(L) < 100
    assert (abs(left) <= np.sqrt(rest[:, None] * rest) + 1e-14).all()
    assert lowrank.factor(sphere.uniform(500, 64), 4.0, 60) is None
    with pytest.raises(InputError, match="rank above 2000"):
        ENGINES["lowrank"](sphere.uniform(2500, 64), np.full(2500, 1 / 2500), law("sa", 25.0))


def test_fewer_tokens_than_dimensions_are_reduced_exactly():
    x, w = cloud("uniform", 12, 700)
    c, B = flows.reduce_to_span(x)
    assert c.shape == (12, 12)
    assert abs(c @ B - x).max() < 1e-15
    assert abs(B @ B.T - np.eye(12)).max() < 1e-14
    flow = direct.drift(c, w, law("sa", 5.0)).drift @ B
    assert abs(flow - direct.drift(x, w, law("sa", 5.0)).drift).max() < 1e-14
    assert flows.reduce_to_span(x[:, :12])[0].shape == (12, 12)
