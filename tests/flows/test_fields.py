"""Every row of the table of fields against its definition written out."""

import math

import numpy as np
import pytest
from engine_reference import WIDE, cloud
from naive_fields import attention_output, rates
from scipy.linalg import expm

from spinodal import sphere, theory
from spinodal.errors import InputError
from spinodal.flows import reduce_to_span
from spinodal.flows.fields import NGPT, AttentionField, FeedForward, Head, UnnormalisedField, scheme
from spinodal.flows.state import State

ALPHA, TAU, TIME = 0.7, 1.2, 2.0
SCHEMES = {
    "post": None,
    "pre": None,
    "mix": TAU,
    "peri": None,
    "ngpt": ALPHA,
    "sqrt": None,
}


def tokens(n, d, seed=0):
    random = np.random.default_rng(seed)
    w = random.uniform(0.1, 2, n)
    return sphere.uniform(n, d, random), random.uniform(0.5, 2, n), w / w.sum()


def matrices(d, k=3):
    random = np.random.default_rng(10 * d + k)
    return tuple(random.standard_normal(shape) for shape in ((k, d), (k, d), (d, d)))


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("general", [False, True])
def test_mask_kind_matrices_and_scheme_compose(name, kind, causal, general):
    n, d, beta = 7, 4, 1.5
    x, r, w = tokens(n, d)
    heads = [matrices(d), matrices(d, 2)] if general else [(np.eye(d),) * 3]
    field = AttentionField(
        beta,
        kind,
        tuple(Head(*head) for head in heads),
        causal=causal,
        scheme=scheme(name, SCHEMES[name]),
    )
    A = np.sum([attention_output(x, w, beta, Q, K, V, kind, causal) for Q, K, V in heads], axis=0)
    for t in (0.0, TIME):
        drift, growth = rates(x, r, A, name, t, tau=TAU, alpha=ALPHA)
        rate = field(t, State(x, r), w)
        assert abs(rate.drift - drift).max() < 1e-13 * abs(A).max()
        assert abs(rate.growth - growth).max() < 1e-13 * abs(A).max()
        assert (np.linalg.norm(rate.drift - drift, axis=1) < rate.error_bound + 1e-14 * abs(A).max()).all()


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_on_the_circle_angles_obey_their_equation(kind):
    """th_i' = -sum_j e^{b cos D_ij} sin D_ij over Z_i, n or n e^b; beta = 0 is Kuramoto."""
    random = np.random.default_rng(3)
    n, angle = 30, random.uniform(0, 2 * np.pi, 30)
    x, w = np.stack([np.cos(angle), np.sin(angle)], 1), np.full(n, 1 / n)
    D = angle[:, None] - angle
    for beta in (0.0, 3.0):
        e = np.exp(beta * np.cos(D))
        total = {"sa": e.sum(1), "usa": n, "gkpr": n * np.exp(beta)}[kind]
        speed = -(e * np.sin(D)).sum(1) / total
        rate = AttentionField(beta, kind)(0.0, State(x, np.ones(n)), w)
        assert abs(x[:, 0] * rate.drift[:, 1] - x[:, 1] * rate.drift[:, 0] - speed).max() < 2e-14
        if beta == 0:
            assert abs(speed + np.sin(D).mean(1)).max() < 1e-15


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize(("n", "beta"), [(2, 0.0), (5, 1.0), (32, 9.0)])
def test_slopes_at_an_orthonormal_start_are_those_of_theory(name, n, beta):
    r0, w = 1.9, np.full(n, 1 / n)
    drift = AttentionField(beta, scheme=scheme(name, SCHEMES[name]))(
        0.0, State(np.eye(n), np.full(n, r0)), w
    ).drift
    slope = (drift + drift.T)[~np.eye(n, dtype=bool)]  # of <theta_i, theta_j>
    expected = {
        "pre": lambda: theory.slope_pre(n, beta, r0),
        "peri": lambda: theory.slope_peri(n, beta, r0),
        "ngpt": lambda: theory.slope_ngpt(n, beta, ALPHA),
    }.get(name, lambda: theory.slope_post(n, beta))()
    np.testing.assert_allclose(slope, expected, rtol=1e-10)


def test_alpha_may_depend_on_time():
    x, r, w = tokens(6, 3)
    constant, falling = (AttentionField(2.0, scheme=NGPT(alpha)) for alpha in (1.0, lambda t: 1 / (1 + t)))
    at_rest = constant(3.0, State(x, r), w).drift
    np.testing.assert_allclose(falling(3.0, State(x, r), w).drift, at_rest / 4, rtol=1e-14)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_the_feed_forward_is_added_inside_the_projection(activation):
    x, r, w = tokens(6, 3)
    random = np.random.default_rng(5)
    outer, inner, bias = (random.standard_normal(shape) for shape in ((3, 5), (5, 3), (5,)))
    s = {
        "relu": lambda u: max(u, 0.0),
        "tanh": math.tanh,
        "gelu": lambda u: u * (1 + math.erf(u / math.sqrt(2))) / 2,
    }[activation]
    push = np.array([outer @ [s(u) for u in inner @ y + bias] for y in x])
    Q, K, V = matrices(3)
    A = attention_output(x, w, 1.0, Q, K, V) + push
    feed = FeedForward(outer, inner, bias, activation)
    field = AttentionField(1.0, heads=(Head(Q, K, V),), feed_forward=feed, scheme=scheme("peri"))
    drift, growth = rates(x, r, A, "peri")
    rate = field(0.0, State(x, r), w)
    assert abs(rate.drift - drift).max() < 1e-13
    assert abs(rate.growth - growth).max() < 1e-13


@pytest.mark.parametrize("causal", [False, True])
def test_numbers_stand_for_multiples_of_the_identity(causal):
    x, r, w = tokens(8, 3)
    numbers, written = Head(2.0, 0.5, -3.0), Head(2.0 * np.eye(3), 0.5 * np.eye(3), -3.0 * np.eye(3))
    fields = [AttentionField(1.5, "usa", (head,), causal=causal) for head in (numbers, written)]
    one, two = (field(0.0, State(x, r), w).drift for field in fields)
    assert np.array_equal(one, two)
    A = attention_output(x, w, 1.5, np.eye(3), np.eye(3), -3 * np.eye(3), "usa", causal)
    assert abs(one - rates(x, r, A)[0]).max() < 1e-14
    backward = AttentionField(1.5, heads=(Head(-1.0),))(0.0, State(x, r), w).drift
    A = attention_output(x, w, 1.5, -np.eye(3), np.eye(3), np.eye(3))
    assert abs(backward - rates(x, r, A)[0]).max() < 1e-14


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("beta", [2.0, math.inf])
def test_a_rotation_of_tokens_and_matrices_rotates_the_field(causal, beta):
    x, r, w = tokens(8, 4)
    R = np.linalg.qr(np.random.default_rng(6).standard_normal((4, 4)))[0]
    Q, K, V = matrices(4)
    for name in ("post", "peri"):
        here = AttentionField(beta, heads=(Head(Q, K, V),), causal=causal, scheme=scheme(name))
        there = AttentionField(
            beta, heads=(Head(Q @ R.T, K @ R.T, R @ V @ R.T),), causal=causal, scheme=scheme(name)
        )
        one, two = here(0.0, State(x, r), w), there(0.0, State(x @ R.T, r), w)
        assert abs(one.drift @ R.T - two.drift).max() < 1e-13
        assert abs(one.growth - two.growth).max() < 1e-13


@pytest.mark.parametrize("name", SCHEMES)
def test_few_tokens_flow_in_their_span(name):
    x, r, w = tokens(5, 40)
    field = AttentionField(3.0, scheme=scheme(name, SCHEMES[name]))
    c, B = reduce_to_span(x)
    one, two = field(TIME, State(x, r), w), field(TIME, State(c, r), w)
    assert abs(one.drift - two.drift @ B).max() < 1e-14
    assert abs(one.growth - two.growth).max() < 1e-14
    assert field.in_span
    for other in (
        AttentionField(1.0, kappa=2.0),
        AttentionField(1.0, heads=(Head(values=np.diag([1.0, 2.0])),)),
        AttentionField(1.0, feed_forward=FeedForward(np.eye(2), np.eye(2), np.zeros(2))),
    ):
        assert not other.in_span


@pytest.mark.parametrize("kind", ["sa", "gkpr"])
@pytest.mark.parametrize("name", ["post", "pre", "ngpt"])
def test_under_a_causal_mask_the_first_token_stays_and_nothing_leaks_back(kind, name):
    x, r, w = tokens(9, 3)
    field = AttentionField(2.0, kind, causal=True, scheme=scheme(name))
    rate = field(0.0, State(x, r), w)
    assert (rate.drift[0] == 0).all()
    y = x.copy()
    y[5:] = sphere.uniform(4, 3, 77)
    later = field(0.0, State(y, r), w).drift
    assert np.array_equal(rate.drift[:5], later[:5])
    assert (later[5:] != rate.drift[5:]).all()


def test_a_token_that_sees_no_mass_has_no_output():
    x, r, w = tokens(6, 3)
    w[:2] = 0
    w /= w.sum()
    for beta, kind in ((2.0, "sa"), (2.0, "usa"), (math.inf, "sa")):
        field = AttentionField(beta, kind, (Head(*matrices(3)),), causal=True, scheme=scheme("pre"))
        rate = field(0.0, State(x, r), w)
        assert (rate.drift[:2] == 0).all()
        assert (rate.growth[:2] == 0).all()
        assert (rate.drift[2:] != 0).all()


@pytest.mark.parametrize("causal", [False, True])
def test_hardmax_is_the_limit_of_large_beta(causal):
    x, r, w = tokens(12, 4)
    head = Head(*matrices(4))
    limit = AttentionField(math.inf, heads=(head,), causal=causal)(0.0, State(x, r), w)
    logits = (x @ np.asarray(head.queries).T) @ (x @ np.asarray(head.keys).T).T
    logits[np.triu_indices(12, 1) if causal else ([], [])] = -np.inf
    best = logits.argmax(1)
    V = np.asarray(head.values)
    assert abs(limit.drift - sphere.tangent(x, x[best] @ V.T)).max() < 1e-14
    assert abs(limit.Z - w[best]).max() < 1e-15
    gap = np.diff(np.sort(logits, 1)[1:, -2:]).min()
    off = [
        abs(
            AttentionField(b / gap, heads=(head,), causal=causal)(0.0, State(x, r), w).drift - limit.drift
        ).max()
        for b in (5.0, 10.0, 20.0, 40.0)
    ]
    assert off[0] > off[1] > off[2] > off[3]
    assert off[3] < 1e-13


def test_hardmax_shares_a_tie_by_mass_and_rests_with_the_identity():
    x = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    r, w = np.ones(4), np.array([0.1, 0.2, 0.3, 0.4])
    assert (AttentionField(math.inf)(0.0, State(x, r), w).drift == 0).all()
    to_e2 = np.zeros((3, 3))
    to_e2[1, 0] = 1.0  # token 0 asks for e_2
    rate = AttentionField(math.inf, heads=(Head(to_e2),))(0.0, State(x, r), w)
    assert rate.drift[0] == pytest.approx([0, 1, 0])
    assert rate.Z[0] == pytest.approx(0.5)
    assert rate.Z[3] == pytest.approx(1.0)  # asks for nothing: all are alike


@pytest.mark.parametrize(
    ("d", "n", "engine"), [(2, 1500, "circle"), (3, 1600, "sphere"), (32, 1000, "attention")]
)
@pytest.mark.parametrize("name", ["post", "peri"])
def test_fast_engines_agree_with_differences_within_their_bounds(d, n, engine, name):
    x, r, w = tokens(n, d)
    heads = [Head(values=-1.0)] if d == 3 else [Head(values=-1.0), Head(*matrices(d, 2))]
    for head in heads:
        fast, slow = (
            AttentionField(2.0, "usa", (head,), scheme=scheme(name), engine=e)(0.0, State(x, r), w)
            for e in ("auto", "direct")
        )
        off = np.linalg.norm(fast.drift - slow.drift, axis=1)
        size = abs(slow.drift).max()
        assert 0 < off.max() < 1e-11 * size
        assert (off <= fast.error_bound + slow.error_bound).all()
        assert abs(fast.growth - slow.growth).max() < 1e-11 * size
        assert abs(fast.Z / slow.Z - 1).max() < 1e-11
        named = AttentionField(2.0, "usa", (head,), scheme=scheme(name), engine=engine)(0.0, State(x, r), w)
        if name == "peri" or head is not heads[0]:
            assert np.array_equal(named.drift, fast.drift)


@pytest.mark.parametrize(("d", "n"), [(2, 1500), (3, 4000), (32, 1000), (5, 60)])
def test_clusters_lose_no_digits_whatever_the_engine(d, n):
    """Clusters of width 1e-9: with V = I drifts keep their digits, under any scheme, matrices and mask."""
    x, w = cloud("metastable", n, d)
    r = np.ones(n)
    Q = np.diag(np.linspace(0.8, 1.1, d))
    rows = np.array([0, n // 2, n - 1])
    wide = np.asarray(x, WIDE)
    for head, M in ((Head(), np.eye(d)), (Head(Q), Q.T)):
        for causal in (False, True) if d == 5 else (False,):
            drift, *_ = AttentionField(60.0, heads=(head,), causal=causal, scheme=scheme("pre"))(
                0.0, State(x, r), w
            )
            for i in rows:
                some = slice(i + 1) if causal else slice(None)
                logit = 60 * (wide[i] @ M.T) @ wide[some].T
                p = np.asarray(w[some], WIDE) * np.exp(logit - logit.max())
                mean = p @ (wide[some] - wide[i]) / p.sum()
                mean -= (mean @ wide[i]) / (wide[i] @ wide[i]) * wide[i]
                size = float(np.linalg.norm(mean.astype(float)))
                assert size < 1e-2
                assert np.linalg.norm((drift[i] - mean).astype(float)) <= 1e-11 * size


def test_without_layer_norm_tokens_follow_x_in_its_moving_frame():
    """x = e^{tV} z obeys x_i' = sum_j p_ij V x_j; directions and lengths put together are z'."""
    n, d, beta, t = 7, 3, 0.8, 0.4
    theta, r, w = tokens(n, d)
    Q, K, V = matrices(d, 2)
    z = r[:, None] * theta
    for causal in (False, True):
        field = UnnormalisedField(beta, Head(Q, K, V), causal=causal)
        rate = field(t, State(theta, r), w)
        velocity = rate.growth[:, None] * theta + r[:, None] * rate.drift
        assert abs(velocity - field.velocity(t, z, w)).max() < 1e-14 * abs(velocity).max()
        grown = expm(t * V)
        x = z @ grown.T
        expected = attention_output(x, w, beta, Q, K, V, causal=causal)  # of x, any length
        got = x @ V.T + velocity @ grown.T
        assert abs(got - expected).max() < 1e-12 * abs(expected).max()
        assert (abs(np.sum(rate.drift * theta, 1)) < 1e-14 * abs(rate.drift).max()).all()
    still = UnnormalisedField(beta, causal=True).velocity(t, z, w)
    assert (still[0] == 0).all()
    assert (UnnormalisedField(beta).velocity(t, np.tile(z[:1], (n, 1)), w) == 0).all()
    with pytest.raises(InputError, match=r"time 1e\+06: .* leaves the range of doubles"):
        UnnormalisedField(beta)(1e6, State(theta, r), w)
