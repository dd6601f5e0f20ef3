"""What an integrator and a user may rely on: merging, noise, states that are not finite, and refusals."""

import math
import re

import numpy as np
import pytest
from test_fields import SCHEMES, matrices, tokens

from spinodal.errors import InputError
from spinodal.flows.fields import (
    NGPT,
    AttentionField,
    FeedForward,
    Head,
    Mix,
    Peri,
    Pre,
    UnnormalisedField,
    scheme,
)
from spinodal.flows.state import State

I3 = np.eye(3)


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("head", [Head(), Head(values=-1.0), Head(*matrices(4))])
@pytest.mark.parametrize("beta", [2.0, math.inf])
def test_what_merges_is_one_heavier_token(name, head, beta):
    """Where `merges` says so, twins drift alike, and others feel their sum; elsewhere twins part."""
    x, r, w = tokens(8, 4)
    x[1] = x[0]
    field = AttentionField(beta, heads=(head,), scheme=scheme(name, SCHEMES[name]))
    apart = field(2.0, State(x, r), w)
    assert field.merges == (name in ("post", "ngpt", "sqrt"))
    twins = np.linalg.norm(apart.drift[0] - apart.drift[1])
    if not field.merges:
        still = beta == math.inf and head.isotropic
        assert twins > 1e-3 or still
        return
    assert twins < 1e-15
    merged = field(2.0, State(x[1:], r[1:]), np.append(w[0] + w[1], w[2:]))
    assert abs(merged.drift - apart.drift[1:]).max() < 1e-14


def test_twins_part_under_a_causal_mask_and_with_noise():
    x, r, w = tokens(8, 4)
    x[5] = x[2]
    causal = AttentionField(2.0, causal=True)
    drift = causal(0.0, State(x, r), w).drift
    assert np.linalg.norm(drift[5] - drift[2]) > 1e-3
    noisy = AttentionField(2.0, "usa", kappa=4.0)
    assert (noisy.noise, AttentionField(2.0).noise, UnnormalisedField(2.0).noise) == (0.25, 0.0, 0.0)
    assert not any(field.merges for field in (causal, noisy, UnnormalisedField(2.0)))
    still = AttentionField(2.0, "usa")(0.0, State(x, r), w).drift
    assert np.array_equal(noisy(0.0, State(x, r), w).drift, still)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_token_alone_rests(name):
    for beta in (0.0, 2.0, math.inf):
        rate = AttentionField(beta, scheme=scheme(name, SCHEMES[name]))(
            2.0, State(I3[:1], np.ones(1)), np.ones(1)
        )
        assert (rate.drift == 0).all()
        assert (rate.Z == 1).all()


@pytest.mark.parametrize("n", [5, 600])
def test_a_state_that_is_not_finite_has_no_rate(n):
    x, r, w = tokens(n, 2)
    x[3, 1] = np.nan
    for field in (AttentionField(2.0), UnnormalisedField(2.0)):
        assert all(np.isnan(part).all() for part in field(0.0, State(x, r), w))


@pytest.mark.parametrize("norm", [Pre(), Mix(1.0), Peri()])
def test_a_token_without_length_has_no_speed_and_the_others_keep_theirs(norm):
    x, r, w = tokens(5, 3)
    r[2] = 0
    rate = AttentionField(2.0, scheme=norm)(1.5, State(x, r), w)
    assert np.isnan(rate.drift[2]).all()
    assert np.isfinite(np.delete(rate.drift, 2, 0)).all()
    z = UnnormalisedField(2.0)(1.5, State(x, r), w)
    assert np.isnan(z.drift[2]).all()
    assert np.isfinite(np.delete(z.drift, 2, 0)).all()


BAD = np.array([[1.0, np.nan, 0], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Head(np.ones((2, 3)), np.ones((2, 4))), "`queries` have shape (2, 3), `keys` have (2, 4)"),
        (lambda: Head(np.ones((2, 3))), "`queries` have shape (2, 3): beside `keys` that are a number"),
        (lambda: Head(1.0, np.ones((2, 3))), "`keys` have shape (2, 3): beside `queries` that are a number"),
        (lambda: Head(values=np.ones((2, 3))), "`values` have shape (2, 3)"),
        (lambda: Head(I3, I3, np.eye(4)), "`queries` (3, 3), `keys` (3, 3) and `values` (4, 4) differ in d"),
        (lambda: Head(np.ones(3)), "`queries` have shape (3,): a matrix"),
        (lambda: Head(values=BAD), "`values` hold nan at (0, 1)"),
        (lambda: Head(keys=math.inf), "`keys` hold inf"),
        (lambda: AttentionField(-1e13), "`beta` -1e+13 must lie in"),
        (lambda: AttentionField(math.nan), "`beta` nan must lie in"),
        (
            lambda: AttentionField(800.0, "usa"),
            "overflows above 709.78; use kind 'sa' or 'gkpr', e^beta slower",
        ),
        (
            lambda: AttentionField(1.0, "usa", (Head(np.diag([800.0, 2, 3])),)),
            "beta |Q^T K| = 800: the clock of 'usa', e^800, overflows above 709.78; use kind 'sa'",
        ),
        (lambda: AttentionField(1.0, heads=(Head(1e13),)), "beta |Q^T K| = 1e+13 must not exceed 1e+12"),
        (
            lambda: AttentionField(1.0, "Usa"),
            "`kind` 'Usa' is none of 'sa', 'usa', 'gkpr'; the nearest is 'usa'",
        ),
        (lambda: AttentionField(math.inf, "usa"), "beta = inf is the hardmax limit of kind 'sa'"),
        (lambda: AttentionField(math.inf, engine="circle"), "engine 'circle' does not know beta = inf"),
        (lambda: AttentionField(1.0, engine="cirle"), "`engine` 'cirle' is none of"),
        (lambda: AttentionField(1.0, engine="cirle"), "the nearest is 'circle'"),
        (
            lambda: AttentionField(1.0, causal=True, engine="circle"),
            "engine 'circle' does not know a causal mask",
        ),
        (
            lambda: AttentionField(1.0, causal=True, engine="span"),
            "engine 'span' does not know a causal mask",
        ),
        (
            lambda: AttentionField(1.0, heads=(Head(np.diag([1.0, 2, 3])),), engine="sphere"),
            "engine 'sphere' does not know general Q, K, V",
        ),
        (lambda: AttentionField(1.0, heads=()), "`heads` ()"),
        (lambda: AttentionField(1.0, heads=(Head(I3), Head(np.eye(4)))), "made for different d: [3, 4]"),
        (lambda: AttentionField(1.0, kappa=0.0), "`kappa` 0.0"),
        (lambda: AttentionField(1.0, kappa=math.nan), "`kappa` nan"),
        (lambda: Mix(-1.0), "`tau` -1.0"),
        (lambda: Mix(math.inf), "`tau` inf"),
        (lambda: NGPT(-0.5), "`alpha` -0.5"),
        (lambda: scheme("per"), "`normalisation` 'per' is none of"),
        (lambda: scheme("Peri-LN"), "the nearest is 'peri'"),
        (lambda: scheme("mix"), "'mix' needs `parameter`"),
        (lambda: scheme("post", 2.0), "`parameter` 2.0: `normalisation` 'post' has no parameter"),
        (lambda: FeedForward(I3, np.ones((4, 3)), np.zeros(4)), "outer has shape (3, 3), inner (4, 3)"),
        (lambda: FeedForward(I3, I3, np.zeros(4)), "bias has shape (4,): 3 finite numbers"),
        (lambda: FeedForward(I3, I3, np.zeros(3), "rellu"), "the nearest is 'relu'"),
    ],
)
def test_wrong_input_is_one_clear_error_at_construction(build, says):
    with pytest.raises(InputError, match=re.escape(says)):
        build()


X, R, W = tokens(6, 3)


@pytest.mark.parametrize(
    ("field", "x", "r", "w", "says"),
    [
        (AttentionField(1.0), X[:0], R[:0], W[:0], "directions have shape (0, 3)"),
        (AttentionField(1.0), X[:, :1], R, W, "directions have shape (6, 1)"),
        (AttentionField(1.0), X, R[:5], W, "6 directions with 5 lengths and 6 weights"),
        (
            AttentionField(1.0, heads=(Head(np.diag([1.0, 2, 3, 4])),)),
            X,
            R,
            W,
            "the matrices of the field have d = 4",
        ),
        (AttentionField(1.0, engine="circle", scheme=Pre()), X, R, W, "engine 'circle' needs d = 2"),
        (UnnormalisedField(1.0, Head(np.eye(4))), X, R, W, "the matrices of the field have d = 4"),
        (AttentionField(1.0, scheme=NGPT(lambda t: 1 - t)), X, R, W, "`alpha` -1.0 at time 2"),
    ],
)
def test_wrong_tokens_are_one_clear_error_at_the_call(field, x, r, w, says):
    with pytest.raises(InputError, match=re.escape(says)):
        field(2.0, State(x, r), w)
