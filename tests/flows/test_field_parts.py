"""What is beside the heads, and heads that change with depth: closed forms, naive loops, any two parts at once."""

import itertools
import tracemalloc

import numpy as np
import pytest
from marks import slow_but

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows import (
    Adaptive,
    AttentionField,
    Drive,
    FeedForward,
    Head,
    Layers,
    Noisy,
    Piecewise,
    Positions,
    Resampled,
    Simulation,
    Source,
    TorchField,
    UniformStart,
    evolve,
    named_feed_forward,
    named_matrix,
    simulate,
    stack_heads,
)
from spinodal.flows.fields import energy_of, scheme
from spinodal.flows.state import State
from spinodal.meanfield import DensityExperiment
from spinodal.runs import decode, encode

X, W = sphere.uniform(7, 3, 2), np.full(7, 1 / 7)
TURN = np.array([[0.0, -2.0, 1.0], [2.0, 0.0, 0.5], [-1.0, -0.5, 0.0]])


@pytest.mark.slow
def test_frequencies_turn_tokens_apart_and_couplings_lock_them():
    """Two oscillators of Kuramoto: phi' = d omega - sin phi, which rests at sin phi = d omega  [derived]."""
    theta = np.array([0.3, 1.0])
    x = np.stack([np.cos(theta), np.sin(theta)], 1)
    drive = Drive.frequency([0.2, 0.8])
    free = AttentionField(0.0, "usa", heads=(Head(values=0.0),), drive=drive)
    run = simulate(free, x, 2.0)
    np.testing.assert_allclose(
        np.arctan2(run.tokens[-1][:, 1], run.tokens[-1][:, 0]), theta + np.array([0.4, 1.6]), atol=1e-7
    )
    locked = simulate(AttentionField(0.0, "usa", drive=drive), x, 60.0).tokens[-1]
    phi = np.arctan2(np.linalg.det(locked[:2]), locked[0] @ locked[1])
    assert np.sin(phi) == pytest.approx(0.6, abs=1e-7)


@pytest.mark.slow
def test_a_pull_draws_tokens_to_its_direction():
    """u' = -c sin u without attention: tan(u / 2) decays as e^{-ct}."""
    field = AttentionField(heads=(Head(values=0.0),), drive=Drive(pulls=np.array([1.5, 0.0])))
    run = simulate(field, np.array([[0.0, 1.0], [0.6, 0.8]]), 2.0)
    for x, y in zip(run.tokens[0], run.tokens[-1], strict=True):
        tangent = lambda z: np.tan(np.arctan2(z[1], z[0]) / 2)
        assert tangent(y) == pytest.approx(tangent(x) * np.exp(-3.0), rel=1e-6)


def test_the_outer_bias_and_the_drive_are_what_they_say():
    ff = FeedForward(X[:, :3].T[:3, :4], X[:4], np.arange(4.0), "tanh", np.array([1.0, -2.0, 0.5]))
    drive = Drive(TURN, np.arange(21.0).reshape(7, 3))
    field = AttentionField(2.0, feed_forward=ff, drive=drive)
    e = np.exp(2.0 * X @ X.T)
    A = e @ X / e.sum(1, keepdims=True) + np.tanh(X @ ff.inner.T + ff.bias) @ ff.outer.T + [1.0, -2.0, 0.5]
    A = A + X @ TURN.T + np.arange(21.0).reshape(7, 3)
    rate = field(0.0, State(X, np.ones(7)), W)
    want = A - np.sum(A * X, 1, keepdims=True) * X
    assert (np.linalg.norm(rate.drift - want, axis=1) <= rate.error_bound + 1e-13).all()
    assert not field.merges
    assert AttentionField(drive=Drive(TURN)).merges


def test_one_rotation_for_all_tokens_takes_no_matrix_a_token():
    n, d = 2000, 64
    x, turn = sphere.uniform(n, d, 0), np.random.default_rng(0).standard_normal((d, d))
    drive = Drive(turn - turn.T)
    tracemalloc.start()
    push = drive(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * x.nbytes
    own = Drive(np.broadcast_to(turn - turn.T, (3, d, d)))(x[:3])
    want = np.array([(turn - turn.T) @ row for row in x])
    np.testing.assert_allclose(push, want, rtol=0, atol=drive.error_bound)
    np.testing.assert_allclose(own, want[:3], rtol=0, atol=drive.error_bound)


def test_a_feed_forward_from_a_text_or_a_file(tmp_path):
    one = named_feed_forward("tanh:16:3", 5)
    assert (one.inner.shape, one.outer.shape, one.activation) == ((16, 5), (5, 16), "tanh")
    np.testing.assert_array_equal(one.inner, named_feed_forward("tanh:16:3", 5).inner)
    np.savez(tmp_path / "w.npz", inner=one.inner, outer=one.outer, bias=one.bias, activation="gelu")
    read = named_feed_forward(str(tmp_path / "w.npz"))
    np.testing.assert_array_equal(read.outer, one.outer)
    assert read.activation == "gelu"
    for text, said in (
        ("sine:4:1", "ACTIVATION:K:SEED"),
        ("tanh:0:1", "hidden units"),
        ("no.npz", "holds no inner"),
    ):
        with pytest.raises(InputError, match=said):
            named_feed_forward(text, 3)


def test_resampled_layers_are_the_naive_loop():
    depth = Resampled(3, "random:1", "scaled:2", "random:5:0.5", period=0.2)
    run = simulate(AttentionField(1.5, depth=depth), X, 2.0, method=Layers(0.2))
    x = X
    for k in range(10):
        Q = np.asarray(named_matrix("random:1", 3, role="queries", draw=k))
        V = np.asarray(named_matrix("random:5:0.5", 3, role="values", draw=k))
        e = np.exp(1.5 * (x @ Q.T) @ (2 * x).T)
        x = sphere.normalise(x + 0.2 * (e @ x / e.sum(1, keepdims=True)) @ V.T)
    np.testing.assert_allclose(run.tokens[-1], x, atol=1e-9)


@pytest.mark.slow
def test_redrawn_values_are_a_common_noise():
    """beta = 0, V ~ s N / sqrt(d), steps of h: a token moves by h s m / sqrt(d), |m| the length of the mean, alike
    for all tokens, so that the square of its step has the mean (d - 1) (h s |m|)^2 / d  [derived]."""
    x, h, s = np.tile(np.eye(16)[:1], (2, 1)), 0.01, 2.0
    steps = []
    for seed in range(80):
        depth = Resampled(16, values=f"random:{seed}:{s}", period=h)
        run = simulate(AttentionField(0.0, depth=depth), x, h, method=Layers(h))
        steps.append(np.sum((run.tokens[-1][0] - x[0]) ** 2))
        np.testing.assert_array_equal(run.tokens[-1][0], run.tokens[-1][1])
    assert np.mean(steps) == pytest.approx(15 * (h * s) ** 2 / 16, rel=0.15)


def test_piecewise_heads_change_at_their_times():
    stacks = ((Head(),), (Head(values=-1.0), Head(queries=2.0)))
    field = AttentionField(1.0, depth=Piecewise((0.0, 0.5), stacks))
    run = simulate(field, X, 1.0, method=Layers(0.1))
    first = simulate(AttentionField(1.0), X, 0.5, method=Layers(0.1)).tokens[-1]
    then = simulate(AttentionField(1.0, heads=stacks[1]), first, 0.5, method=Layers(0.1)).tokens[-1]
    np.testing.assert_allclose(run.tokens[-1], then, atol=1e-13)
    assert field.at(0.1) is field.at(0.2)  # whose norms are computed once
    with pytest.raises(InputError, match="`positions` are for 2 heads, the field has 1, 2"):
        AttentionField(depth=field.depth, positions=Positions("distance", np.ones(2)))


PARTS = {
    "negative beta": {"beta": -1.0},
    "hardmax": {"beta": np.inf},
    "usa": {"kind": "usa"},
    "matrices": {"heads": stack_heads("random:1", "random:2", "random:3", d=3)},
    "heads": {"heads": (Head(), Head(values=-0.5))},
    "biases": {"heads": (Head(TURN, np.eye(3), np.diag([1.0, 2.0, 0.5]), X[0], X[1], X[2]),)},
    "depth": {"depth": Resampled(3, values="random:1")},
    "causal": {"causal": True},
    "scheme": {"scheme": scheme("pre")},
    "noise": {"kappa": 50.0},
    "feed-forward": {"feed_forward": named_feed_forward("tanh:4:0", 3)},
    "drive": {"drive": Drive(TURN)},
    "own drives": {"drive": Drive(pulls=np.arange(21.0).reshape(7, 3))},
    "positions": {"positions": Positions("distance", 0.5)},
    "source": {"source": Source(sphere.uniform(5, 3, 4), heads=(Head(TURN, 0.5, -0.5), Head()))},
    "prompt": {"source": Source(sphere.uniform(5, 3, 4), np.arange(1.0, 6) / 15, share=0.3)},
    "none": {"scheme": scheme("none")},
    "rescaled": {"scheme": scheme("rescaled")},
}
REFUSED = {  # in one sentence, which says
    ("hardmax", "usa"): "is the hardmax limit of kind 'sa'",
    ("matrices", "depth"): "`depth` says which heads there are",
    ("biases", "depth"): "`depth` says which heads there are",
    ("heads", "depth"): "`depth` says which heads there are",
    ("hardmax", "positions"): "finite scores are nothing beside infinite ones",
    ("hardmax", "prompt"): "at infinite beta masses do not count",
    ("source", "none"): "`source` without layer norm",
    ("prompt", "none"): "`source` without layer norm",
    ("source", "rescaled"): "`source` without layer norm",
    ("prompt", "rescaled"): "`source` without layer norm",
    ("usa", "none"): "`kind` 'usa' without layer norm",
    ("usa", "rescaled"): "`kind` 'usa' without layer norm",
    ("heads", "rescaled"): "here is several `heads`: take 'none'",
    ("biases", "rescaled"): "here is a bias of V: take 'none'",
    ("depth", "rescaled"): "here is `depth`: take 'none'",
    ("noise", "rescaled"): "here is noise, `kappa`: take 'none'",
    ("feed-forward", "rescaled"): "here is `feed_forward`: take 'none'",
    ("drive", "rescaled"): "here is `drive`: take 'none'",
    ("own drives", "rescaled"): "here is `drive`: take 'none'",
}
WITH_ANOTHER = {  # one quick case of each part, beside those with heads that are redrawn
    "negative beta": "causal", "hardmax": "heads", "usa": "causal", "matrices": "causal", "heads": "none",
    "biases": "causal", "causal": "rescaled", "noise": "feed-forward", "drive": "none",
}  # fmt: skip
QUICK = [
    *REFUSED,
    *WITH_ANOTHER.items(),
    *(pair for pair in itertools.combinations(PARTS, 2) if "depth" in pair),
]


@pytest.mark.parametrize(("one", "other"), slow_but(itertools.combinations(PARTS, 2), *QUICK))
def test_each_part_composes_with_every_other_or_is_refused_in_a_sentence(one, other):
    """On layers all flow, and what is recorded is read again; the ode clock refuses noise and depth by name."""
    if set(PARTS[one]) & set(PARTS[other]):
        return  # two values of one part
    if (one, other) in REFUSED:
        with pytest.raises(InputError, match=REFUSED[one, other]):
            AttentionField(**PARTS[one] | PARTS[other])
        return
    field = AttentionField(**PARTS[one] | PARTS[other])
    result = evolve(Simulation(field, UniformStart(7, 3, 2), 0.3, Layers(0.1), times=4))
    x, r = sphere.uniform(7, 3, 2), np.ones(7)
    if field.noise == 0:
        for k in range(3):
            now = field.at(0.1 * k)
            p = sum(
                (f * (P @ (x @ square(head.values).T + shift(head.value_bias))))
                for head, P, f in zip(now.heads, now.attention_weights(x, W), clocks(now, x), strict=True)
            )
            A = p + sum(part(x) for part in now.beside) + read_from_source(now, x)
            if not field.euclidean:
                found = now.attention_output(x, W)
                np.testing.assert_allclose(found.tangent + found.radial[:, None] * x, A, atol=1e-12)
            x = r[:, None] * x + 0.1 * A
            if not field.euclidean:
                r, x = (sphere.lengths(x) if field.scheme.grows else r), sphere.normalise(x)
        np.testing.assert_allclose(field.unscaled(result.tokens[-1], 0.3, step=0.1), x, atol=1e-8)
    plain, arrays = encode(result.experiment)
    again = decode(Simulation, plain, arrays)
    np.testing.assert_array_equal(evolve(again).tokens, result.tokens)
    method = "Noisy" if field.noise > 0 else "Layers" if field.depth is not None else None
    if method:
        with pytest.raises(InputError, match=rf"use {method}\(step\)"):
            simulate(field, X, 0.1)
    else:
        assert np.isfinite(simulate(field, X, 0.01, method=Adaptive(1e-4)).tokens).all()


def square(M):
    return np.asarray(M) if np.ndim(M) else M * np.eye(3)


def shift(bias):
    return 0.0 if bias is None else bias


def masses(field, head, x, y):
    """w_j e^{b <Q x_i, K y_j>} of equal weights."""
    Q, K = x @ square(head.queries).T, y @ square(head.keys).T
    return np.exp(field.beta * (Q + shift(head.query_bias)) @ (K + shift(head.key_bias)).T) / len(y)


def clocks(field, x):
    """zeta_i of every head: 1 for SA, Z_i for USA."""
    for head in field.heads:
        if field.kind == "sa":
            yield 1.0
        else:
            e, prompt = masses(field, head, x, x), field.prompt
            e = e if field.positions is None else e * np.exp(field.positions.scores(7).values)
            Z = (np.tril(e) if field.causal else e).sum(1, keepdims=True)
            if prompt is not None:
                e = masses(field, head, x, prompt.tokens) * len(prompt.tokens) @ prompt.weights
                Z = (1 - prompt.share) * Z + prompt.share * e[:, None]
            yield Z


def read_from_source(field, x):
    """What tokens read from the source, by the weights that the field says."""
    if field.source is None:
        return 0.0
    y, S = field.source.tokens, field.source_weights(x, W)
    if field.prompt is not None:
        heads, zeta = field.heads, list(clocks(field, x))
    else:
        heads = field.source.heads
        zeta = [
            1.0 if field.kind == "sa" else masses(field, head, x, y).sum(1, keepdims=True) for head in heads
        ]
    return sum(
        f * (P @ (y @ square(head.values).T + shift(head.value_bias)))
        for head, P, f in zip(heads, S, zeta, strict=True)
    )


def test_biases_and_affine_norms_are_their_definition():
    q, k, v = np.array([0.3, 1.0, 0.0]), np.array([0.0, -1.0, 2.0]), np.array([1.0, 0.0, -2.0])
    head = Head(TURN, 2.0, -0.5, q, k, v)
    gain, tilt = np.array([1.0, 2.0, 0.5]), np.array([0.1, 0.0, -0.3])
    for engine in ("direct", "attention"):
        for one, read in ((head, X), (head.after_norm(gain, tilt), gain * X + tilt)):
            e = np.exp(1.5 * (read @ TURN.T + q) @ (2 * read + k).T)
            p = e / e.sum(1, keepdims=True)
            field = AttentionField(1.5, heads=(one,), engine=engine)
            A = field.attention_output(X, W)
            np.testing.assert_allclose(A.tangent + A.radial[:, None] * X, p @ (-0.5 * read + v), atol=1e-13)
            np.testing.assert_allclose(field.attention_weights(X)[0], p, atol=1e-14)
    with pytest.raises(InputError, match="engine 'circle' does not know biases"):
        AttentionField(heads=(Head(query_bias=np.ones(2)),), engine="circle")
    with pytest.raises(InputError, match="`field` with biased: no density"):
        DensityExperiment(AttentionField(heads=(head,)))
    with pytest.raises(InputError, match="`biased` True"):
        TorchField.of(AttentionField(heads=(head,)))
    with pytest.raises(InputError, match="no energy: biases"):
        energy_of(AttentionField(heads=(head,)))
    with pytest.raises(InputError, match="`key_bias` has shape"):
        Head(TURN, key_bias=np.ones(2))
    with pytest.raises(InputError, match="differ in length"):
        Head(query_bias=np.ones(2), key_bias=np.ones(1))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="antisymmetric"):
        Drive(np.eye(3))
    with pytest.raises(InputError, match="`drive` is for 7 tokens, here are 5"):
        simulate(AttentionField(**PARTS["own drives"]), X[:5], 1.0)
    with pytest.raises(InputError, match=r"no energy: drives of tokens"):
        energy_of(AttentionField(drive=Drive(TURN)))
    with pytest.raises(InputError, match="random:SEED"):
        Resampled(3, "scaled:2")
    with pytest.raises(InputError, match="increase from 0"):
        Piecewise((1.0,), ((Head(),),))
    assert simulate(AttentionField(kappa=5.0, **PARTS["feed-forward"]), X, 0.1, method=Noisy(0.05)).steps == 2


def test_the_command_line_has_them(monkeypatch, tmp_path):
    from spinodal.cli import main
    from spinodal.flows import Evolution
    from spinodal.runs import read_run

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["spinodal", "simulate", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0

    np.save(tmp_path / "turn.npy", TURN)
    np.save(tmp_path / "pulls.npy", np.arange(21.0).reshape(7, 3))
    beside = ["--feed-forward", "tanh:4:0", "--rotations", str(tmp_path / "turn.npy")]
    beside += ["--pulls", str(tmp_path / "pulls.npy")]
    layers = [
        "--clock",
        "layer",
        "--resample",
        "--v",
        "random:1",
        "--n",
        "7",
        "--until",
        "0.5",
        "--seed",
        "2",
    ]
    assert command(*layers, *beside, "--out", str(tmp_path / "run")) == 0
    field = AttentionField(
        feed_forward=named_feed_forward("tanh:4:0", 3),
        drive=Drive(TURN, np.arange(21.0).reshape(7, 3)),
        depth=Resampled(3, values="random:1"),
    )
    mine = evolve(Simulation(field, UniformStart(7, 3, 2), 0.5, Layers()))
    np.testing.assert_array_equal(read_run(tmp_path / "run").result_as(Evolution).tokens, mine.tokens)
    assert command("--resample", "--v", "random:1", "--out", str(tmp_path / "no")) != 0
