"""Scores of fixed positions: against sums written out, blocks that flow alone, and the energy of symmetric ones."""

import numpy as np
import pytest

from spinodal import sphere
from spinodal.errors import InputError
from spinodal.flows import (
    AttentionField,
    Head,
    Positions,
    Resampled,
    Simulation,
    TorchField,
    UniformStart,
    evolve,
    named_positions,
    simulate,
    stack_heads,
)
from spinodal.flows.fields import energy_of
from spinodal.flows.state import State
from spinodal.meanfield import DensityExperiment

X, W = sphere.uniform(7, 3, 2), np.arange(1.0, 8) / 28
P = np.random.default_rng(0).standard_normal((7, 2))
B = np.random.default_rng(1).standard_normal((7, 7))
AWAY = np.linalg.norm(P[:, None] - P[None], axis=2)
INDEX = np.abs(np.arange(7)[:, None] - np.arange(7))
SCORES = {
    "indices": (Positions("distance", 0.7), -0.7 * INDEX),
    "distance": (Positions("distance", 0.7, P), -0.7 * AWAY),
    "gaussian": (Positions("gaussian", 2.0, P), -(AWAY**2)),
    "product": (Positions("product", -1.5, P), -1.5 * P @ P.T),
    "line": (Positions("gaussian", 1.0, P[:, 0]), -((P[:, :1] - P[:, 0]) ** 2) / 2),
    "matrix": (Positions("matrix", 0.5, B), 0.5 * B),
    "window": (Positions("matrix", places=np.where(INDEX < 3, B, -np.inf)), np.where(INDEX < 3, B, -np.inf)),
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("engine", ["direct", "attention"])
def test_attention_is_that_of_the_scores_written_out(name, engine):
    positions, scores = SCORES[name]
    for head, causal in (
        (Head(), False),
        (Head(), True),
        (*stack_heads("random:1", "random:2", "random:3", d=3), True),
    ):
        field = AttentionField(2.0, heads=(head,), causal=causal, positions=positions, engine=engine)
        Q, K, V = (
            np.asarray(M) if np.ndim(M) else M * np.eye(3) for M in (head.queries, head.keys, head.values)
        )
        e = W * np.exp(2.0 * (X @ Q.T) @ (X @ K.T).T + scores)
        e = np.tril(e) if causal else e
        Z = e.sum(1)
        np.testing.assert_allclose(field.attention_weights(X, W)[0], e / Z[:, None], atol=1e-14)
        A = field.attention_output(X, W)
        assert A.engine == engine
        want = e @ X @ V.T / Z[:, None]
        assert (
            np.linalg.norm(A.tangent + A.radial[:, None] * X - want, axis=1) <= A.error_bound + 1e-15
        ).all()
        np.testing.assert_allclose(np.log(A.Z) + field.interactions[0].top, np.log(Z), atol=1e-13)
        usa = AttentionField(2.0, "usa", (head,), causal, positions=positions, engine=engine)(
            0.0, State(X, np.ones(7)), W
        )
        push = e @ X @ V.T
        np.testing.assert_allclose(usa.drift, push - np.sum(push * X, 1, keepdims=True) * X, atol=1e-13)


def test_blocks_that_do_not_read_each_other_flow_alone_and_a_token_that_reads_none_rests():
    """SA does not know how heavy what it reads is: two blocks are two flows."""
    block = np.array([0, 0, 0, 1, 1, 1, 2])
    scores = np.where(block[:, None] == block, 0.0, -np.inf)
    scores[6, 6] = -np.inf
    run = simulate(AttentionField(2.0, positions=Positions("matrix", places=scores)), X, 3.0)
    for part in (slice(0, 3), slice(3, 6)):
        alone = simulate(AttentionField(2.0), X[part], 3.0)
        np.testing.assert_allclose(run.tokens[-1][part], alone.tokens[-1], atol=1e-7)
    np.testing.assert_array_equal(run.tokens[-1][6], X[6])


def test_more_than_a_block_of_tokens_and_their_refinement_keep_the_digits_of_clusters():
    """Scores reach every block of sources, and tokens 1e-9 apart keep the digits of their drift."""
    n = 600
    start = sphere.normalise(
        sphere.uniform(1, 3, 0) + 1e-9 * np.random.default_rng(0).standard_normal((n, 3))
    )
    places = np.random.default_rng(2).standard_normal(n)
    field = AttentionField(5.0, positions=Positions("gaussian", 3.0, places))
    drift = field(0.0, State(start, np.ones(n)), np.full(n, 1 / n)).drift
    e = np.exp(-1.5 * (places[:, None] - places) ** 2)
    p = e / e.sum(1, keepdims=True)
    want = np.einsum("ij,ijk->ik", p, start[None] - start[:, None])
    want -= np.sum(want * start, 1, keepdims=True) * start
    np.testing.assert_allclose(drift, want, atol=1e-6 * np.abs(want).max())
    by_attention = AttentionField(5.0, positions=field.positions, engine="attention")
    spread = sphere.uniform(n, 3, 5)
    a, b = (one(0.0, State(spread, np.ones(n)), np.full(n, 1 / n)) for one in (field, by_attention))
    assert (np.linalg.norm(a.drift - b.drift, axis=1) <= a.error_bound + b.error_bound).all()


def test_tokens_in_one_place_part_and_do_not_merge():
    x = np.concatenate([X[:1], X])
    field = AttentionField(2.0, positions=Positions())
    drift = field(0.0, State(x, np.ones(8)), np.full(8, 1 / 8)).drift
    assert np.linalg.norm(drift[0] - drift[1]) > 1e-3
    assert not field.merges
    run = simulate(field, sphere.uniform(4, 40, 0), 1.0)  # in the span of the start
    assert run.coordinates.shape[2] == 4


def test_heads_have_scores_of_their_own_and_redrawn_heads_keep_them():
    heads = (Head(), Head(values=-0.5))
    field = AttentionField(1.0, heads=heads, positions=Positions("distance", np.array([0.1, 2.0])))
    each = [AttentionField(1.0, positions=Positions("distance", s)) for s in (0.1, 2.0)]
    np.testing.assert_array_equal(
        field.attention_weights(X), np.concatenate([one.attention_weights(X) for one in each])
    )
    stack = Positions("matrix", places=np.stack([B, B.T]))
    np.testing.assert_allclose(
        AttentionField(0.0, heads=heads, positions=stack).attention_weights(X)[1],
        np.exp(B.T) / np.exp(B.T).sum(1, keepdims=True), atol=1e-15,
    )  # fmt: skip
    with pytest.raises(InputError, match="`positions` are for 2 heads, the field has 1"):
        AttentionField(positions=stack)
    with pytest.raises(InputError, match="`positions` are for 2 heads, the field has 1"):
        AttentionField(positions=stack, depth=Resampled(3, values="random:1"))


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_symmetric_scores_have_an_energy_that_the_flow_climbs(kind):
    field = AttentionField(2.0, kind, positions=Positions("product", 0.8, P))
    energy, weights = energy_of(field), np.full(7, 1 / 7)
    x, h = X, 1e-6
    ends = [simulate(field, x, h).tokens[-1] for h in (h, 2 * h)]
    slope = (4 * energy(ends[0], weights) - energy(ends[1], weights) - 3 * energy(x, weights)) / (2 * h)
    e = np.exp(2.0 * x @ x.T + 0.8 * P @ P.T) / 49
    assert energy(x, weights) == pytest.approx(e.sum() / 4, rel=1e-13)
    assert np.exp(energy.log_dissipation(0.0, State(x, np.ones(7)), weights)) == pytest.approx(
        slope, rel=1e-6
    )
    for beta, positions in ((2.0, Positions("matrix", places=B)), (0.0, Positions())):
        with pytest.raises(InputError, match="no energy: scores of positions"):
            energy_of(AttentionField(beta, positions=positions))


def test_positions_from_texts_and_files(tmp_path):
    np.save(tmp_path / "p.npy", P)
    np.save(tmp_path / "b.npy", B)
    for text, want in (
        ("distance:0.7", SCORES["indices"]),
        (f"distance:0.7:{tmp_path}/p.npy", SCORES["distance"]),
        (f"product:-1.5:{tmp_path}/p.npy", SCORES["product"]),
        (f"{tmp_path}/b.npy", (None, B)),
    ):
        np.testing.assert_allclose(named_positions(text).scores(7).values, want[1], rtol=1e-15)
    assert named_positions("gaussian:1,2").heads == 2


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Positions("distence"), "the nearest is 'distance'"),
        (lambda: Positions("distance", -1.0), "distance takes numbers >= 0"),
        (lambda: Positions("product"), "the kernel 'product' needs them"),
        (lambda: Positions("gaussian", 1.0, np.full(3, np.nan)), r"finite positions \[n k\] or \[n\]"),
        (lambda: Positions("matrix", places=B[:5]), r"scores \[n n\] or \[h n n\]"),
        (lambda: Positions("matrix", -1.0, np.full((2, 2), -np.inf)), "scores of -inf have a strength above 0"),
        (lambda: Positions("matrix", np.ones(3), np.stack([B, B])), "for 3 heads, `places` for 2"),
        (lambda: named_positions("near:2"), "distance:S, gaussian:S, product:S:FILE"),
        (lambda: named_positions("distance:two"), "'two' is no strength"),
        (lambda: AttentionField(engine="circle", positions=Positions()), "does not know scores of positions"),
        (lambda: simulate(AttentionField(positions=SCORES["distance"][0]), X[:5], 1.0), "are for 7 tokens, here are 5"),
        (lambda: simulate(AttentionField(positions=Positions()), X, 1.0, probes=X[:1]), "a probe has none"),
        (
            lambda: Simulation(AttentionField(positions=Positions()), UniformStart(7, 3), 1.0, probes=2),
            "a probe has none",
        ),
        (lambda: TorchField.of(AttentionField(positions=Positions())), "`positions`"),
        (lambda: DensityExperiment(AttentionField(positions=Positions())), "`field` with positions: no density"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(build, said):
    with pytest.raises(InputError, match=said):
        build()


def test_the_command_line_has_them(monkeypatch, tmp_path):
    from spinodal.cli import main
    from spinodal.runs import read

    text = (
        f"spinodal simulate --positions distance:0.5 --causal --n 7 --seed 2 --until 0.5 --out {tmp_path}/run"
    )
    monkeypatch.setattr("sys.argv", text.split())
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    field = AttentionField(causal=True, positions=Positions("distance", 0.5))
    mine = evolve(Simulation(field, UniformStart(7, 3, 2), 0.5))
    np.testing.assert_array_equal(read(tmp_path / "run").tokens, mine.tokens)
