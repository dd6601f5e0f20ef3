"""A plain function as a field, and the attention weights of a state."""

import numpy as np
import pytest

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows import AttentionField, FunctionField, Head, Layers, Noisy, simulate, stack_heads

X = sphere.uniform(9, 3, 0)


def attention(x, weights, t):
    e = weights * np.exp(2.0 * x @ x.T)
    return e @ x / e.sum(1, keepdims=True)


def test_a_function_flows_as_the_field_that_it_is():
    for start in (X, sphere.uniform(4, 12, 1)):
        mine, theirs = simulate(attention, start, 3.0), simulate(AttentionField(2.0), start, 3.0)
        np.testing.assert_allclose(mine.tokens[-1], theirs.tokens[-1], atol=1e-7)
        assert len(mine.merges.time) == 0


@pytest.mark.slow
def test_time_enters_and_merging_and_the_span_are_switched():
    """theta' = cos t on the circle: theta = theta_0 + sin t."""
    turn = lambda x, weights, t: np.cos(t) * np.stack([-x[:, 1], x[:, 0]], 1)
    run = simulate(turn, np.eye(2), 2.0)
    np.testing.assert_allclose(run.tokens[-1][0], [np.cos(np.sin(2.0)), np.sin(np.sin(2.0))], atol=1e-7)
    merged = simulate(FunctionField(attention, merges=True), X, flows.CONSENSUS)
    theirs = simulate(AttentionField(2.0), X, flows.CONSENSUS)
    np.testing.assert_allclose(merged.merges.time, theirs.merges.time, rtol=1e-5)
    few = simulate(FunctionField(attention, in_span=True), sphere.uniform(4, 40, 1), 1.0)
    assert few.coordinates.shape[2] == 4


def test_noise_is_switched_by_kappa():
    """E <theta, e> decays as e^{-(d - 1) t / kappa}."""
    still = FunctionField(lambda x, weights, t: 0 * x, kappa=2.0)
    x = np.tile(np.eye(3)[:1], (4000, 1))
    run = simulate(still, x, 0.5, method=Noisy(0.05))
    assert run.tokens[-1][:, 0].mean() == pytest.approx(np.exp(-0.5), abs=0.03)
    with pytest.raises(InputError, match="has noise"):
        simulate(still, x[:2], 1.0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"`function` returns shape \(9,\) for tokens \(9, 3\)"):
        simulate(lambda x, weights, t: x[:, 0], X, 1.0)
    with pytest.raises(InputError, match="tokens with noise neither merge"):
        FunctionField(attention, merges=True, kappa=1.0)
    with pytest.raises(InputError, match="FunctionField has no layers"):
        simulate(attention, X, 1.0, method=Layers())


def value_matrix(head):
    return np.asarray(head.values) if np.ndim(head.values) else head.values * np.eye(3)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_weights_are_their_definition_and_give_the_output(causal):
    heads = (*stack_heads("random:1", "random:2", "random:3", d=3), Head(queries=-1.0))
    field, w = AttentionField(3.0, heads=heads, causal=causal), np.arange(1.0, 10) / 45
    p = field.attention_weights(X, w)
    for head, row in zip(heads, p, strict=True):
        Q, K = (np.asarray(M) if np.ndim(M) else M * np.eye(3) for M in (head.queries, head.keys))
        e = w * np.exp(3.0 * (X @ Q.T) @ (X @ K.T).T)
        e = np.tril(e) if causal else e
        np.testing.assert_allclose(row, e / e.sum(1, keepdims=True), atol=1e-14)
    A = field.attention_output(X, w)
    sums = sum(P @ X @ value_matrix(h).T for h, P in zip(heads, p, strict=True))
    np.testing.assert_allclose(A.tangent + A.radial[:, None] * X, sums, atol=1e-13)


def test_attention_weights_of_hardmax_are_boolean():
    p = AttentionField(np.inf, heads=(Head(queries=-1.0),)).attention_weights(X)
    np.testing.assert_array_equal(p[0].argmax(1), (X @ X.T).argmin(1))
    assert set(np.unique(p)) == {0.0, 1.0}
    with pytest.raises(InputError, match="attention weights"):
        AttentionField().attention_weights(np.ones((10**6, 2)))


def test_the_norm_of_the_values_is_computed_once(monkeypatch):
    from spinodal.flows.fields import heads

    asked = []
    monkeypatch.setattr(heads, "norm", lambda matrix: asked.append(1) or 1.0)
    simulate(AttentionField(1.0, heads=stack_heads(values="random:1", d=3)), X, 2.0, method=Layers(0.1))
    assert len(asked) == 1
