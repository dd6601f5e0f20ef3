"""What tokens read from a source: closed forms, sums written out, sources that move, prompts, and the command."""

import numpy as np
import pytest

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows import (
    AttentionField,
    Head,
    Layers,
    Simulation,
    Source,
    UniformStart,
    evolve,
    named_source,
    simulate,
)
from spinodal.flows.fields import energy_of
from spinodal.flows.state import State

X, Y = sphere.uniform(7, 3, 2), sphere.uniform(5, 3, 4)
W, V = np.arange(1.0, 8) / 28, np.arange(1.0, 6) / 15
G = np.random.default_rng(0).standard_normal((3, 3, 3))


def drift(field, x=X, w=W):
    rate = field(0.0, State(x, np.ones(len(x))), w)
    return rate.drift, rate.error_bound


def tangent(x, A):
    return A - np.sum(A * x, 1, keepdims=True) * x


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_cross_attention_is_its_definition(kind):
    heads = (Head(*G), Head(values=-0.5, value_bias=G[0, 0]))
    for own in ((), (Head(),)):
        field = AttentionField(2.0, kind, own, source=Source(Y, V, heads))
        A = np.zeros_like(X)
        for (Q, K, U, bias), p in zip(
            [(*G, 0.0), (np.eye(3), np.eye(3), -0.5 * np.eye(3), G[0, 0])],
            field.source_weights(X),
            strict=True,
        ):
            e = V * np.exp(2.0 * (X @ Q.T) @ (Y @ K.T).T)
            Z = e.sum(1, keepdims=True)
            np.testing.assert_allclose(p, e / Z, atol=1e-14)
            A += {"sa": 1 / Z, "usa": 1.0, "gkpr": np.exp(-2.0)}[kind] * e @ (Y @ U.T + bias)
        if own:
            e = W * np.exp(2.0 * X @ X.T)
            A += {"sa": 1 / e.sum(1, keepdims=True), "usa": 1.0, "gkpr": np.exp(-2.0)}[kind] * (e @ X)
        found, bound = drift(field)
        assert (np.linalg.norm(found - tangent(X, A), axis=1) <= bound + 1e-14).all()
        assert field.merges


def test_a_prompt_shares_the_softmax_with_the_tokens():
    s = 0.3
    for causal in (False, True):
        field = AttentionField(2.0, causal=causal, source=Source(Y, V, share=s))
        e = (1 - s) * W * np.exp(2.0 * X @ X.T)
        e = np.concatenate([np.tril(e) if causal else e, s * V * np.exp(2.0 * X @ Y.T)], 1)
        p = e / e.sum(1, keepdims=True)
        np.testing.assert_allclose(field.attention_weights(X, W)[0], p[:, :7], atol=1e-14)
        np.testing.assert_allclose(field.source_weights(X, W)[0], p[:, 7:], atol=1e-14)
        found, bound = drift(field)
        assert (np.linalg.norm(found - tangent(X, p @ np.concatenate([X, Y])), axis=1) <= bound + 1e-14).all()


def test_tokens_and_a_prompt_drift_as_among_all_with_the_shares_of_the_mass():
    everyone, masses = np.concatenate([X, Y]), np.concatenate([0.7 * W, 0.3 * V])
    among_all, _ = drift(AttentionField(3.0), everyone, masses)
    mine, _ = drift(AttentionField(3.0, source=Source(Y, V, share=0.3)))
    np.testing.assert_allclose(mine, among_all[:7], atol=1e-14)


def test_one_token_draws_others_along_great_circles():
    """SA: u' = -sin u, tan(u / 2) falls as e^{-t}; 1e-12 away no digit is lost."""
    y = np.array([[1.0, 0.0]])
    angles = np.array([0.4, 2.0, 1e-12])
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    x[2] = [1.0, 1e-12]
    field = AttentionField(9.0, heads=(), source=Source(y))
    run = simulate(field, x[:2], 2.0)
    ends = np.arctan2(run.tokens[-1][:, 1], run.tokens[-1][:, 0])
    np.testing.assert_allclose(np.tan(ends / 2), np.exp(-2.0) * np.tan(angles[:2] / 2), rtol=1e-6)
    assert drift(field, x[2:], np.ones(1))[0][0, 1] == pytest.approx(-1e-12, rel=1e-12)


def test_a_token_follows_a_source_that_turns():
    """phi' = omega - sin phi for the angle behind it, which rests at sin phi = omega."""
    omega, times = 0.6, np.linspace(0, 4, 41)
    circle = lambda angle: np.stack([np.cos(angle), np.sin(angle)], -1)
    field = AttentionField(4.0, heads=(), source=Source(circle(omega * times)[:, None], times=times))
    start = circle(-np.arcsin([omega]))
    np.testing.assert_allclose(
        simulate(field, start, 4.0).tokens[-1], circle(4 * omega - np.arcsin([omega])), atol=1e-6
    )
    layers = simulate(field, start, 4.0, method=Layers(0.1)).tokens[-1]
    np.testing.assert_allclose(layers, circle(4 * omega - np.arcsin([omega])), atol=0.1)
    with pytest.raises(InputError, match="`until` 31: the tokens of `source` are given until 4"):
        simulate(field, start, 31.0)
    with pytest.raises(InputError, match="`until` inf: the tokens of `source`"):
        simulate(field, start, "consensus")


def test_hardmax_goes_to_the_nearest():
    field = AttentionField(np.inf, heads=(), source=Source(Y))
    nearest = (X @ Y.T).argmax(1)
    np.testing.assert_array_equal(field.source_weights(X)[0].argmax(1), nearest)
    ends = simulate(field, X, 6.0).tokens[-1]
    angle = lambda a: 2 * np.arcsin(np.linalg.norm(a - Y[nearest], axis=1) / 2)
    np.testing.assert_allclose(np.tan(angle(ends) / 2), np.exp(-6.0) * np.tan(angle(X) / 2), rtol=1e-5)


@pytest.mark.slow
def test_a_run_is_a_source_that_moves_and_files_are_sources(monkeypatch, tmp_path):
    from spinodal.cli import main
    from spinodal.runs import read

    def command(text):
        monkeypatch.setattr("sys.argv", ["spinodal", "simulate", *text.split()])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0

    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    assert command(f"--n 5 --seed 4 --until 2 --out {first}") == 0
    assert command(f"--source {first} --q scaled:2 --n 7 --seed 2 --until 2 --out {second}") == 0
    np.savez(tmp_path / "y.npz", tokens=Y, weights=V)
    assert command(f"--source {tmp_path}/y.npz --share 0.3 --n 7 --seed 2 --until 2 --out {third}") == 0
    source = evolve(Simulation(AttentionField(), UniformStart(5, 3, 4), 2.0))
    heads = (Head(queries=2.0),)
    moving = Source(source.tokens, times=source.times, heads=heads)
    for folder, field in (
        (second, AttentionField(heads=(), source=moving)),
        (third, AttentionField(source=Source(Y, V, share=0.3))),
    ):
        mine = evolve(Simulation(field, UniformStart(7, 3, 2), 2.0))
        np.testing.assert_array_equal(read(folder).tokens, mine.tokens)
    np.save(tmp_path / "y.npy", Y)
    np.testing.assert_array_equal(named_source(str(tmp_path / "y.npy")).tokens, Y)
    for text in (f"--source {tmp_path}/y.npy --positions distance:1", "--share 0.5", "--source no.npy"):
        assert command(f"{text} --n 7 --out {tmp_path}/no") != 0


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: AttentionField(heads=()), "at least one head, or a `source` with heads of its own"),
        (lambda: AttentionField(heads=(), source=Source(Y, share=0.5)), "at least one head"),
        (lambda: AttentionField(heads=(Head(np.eye(4)),), source=Source(Y)), r"different d: \[3, 4\]"),
        (lambda: Source(2 * Y), "and not 1"),
        (lambda: Source(Y, np.ones(5)), "`weights` sum to 5"),
        (lambda: Source(Y, share=1.0), "a share of the mass in"),
        (lambda: Source(Y, heads=(Head(values=2.0),), share=0.5), "leave out `heads` of the source"),
        (lambda: Source(Y, heads=(Head(np.eye(2)),)), "of another d"),
        (lambda: Source(Y, heads=()), "one Head at least"),
        (lambda: Source(np.stack([Y, Y]), times=np.arange(3.0)), "2 frames .* at 3 times"),
        (lambda: Source(np.stack([Y, Y]), times=np.array([1.0, 0.0])), "which increase"),
        (lambda: AttentionField().source_weights(X), "the field has none"),
        (lambda: energy_of(AttentionField(source=Source(Y))), "does not act on it"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(build, said):
    with pytest.raises(InputError, match=said):
        build()
