"""Matrices from a text: the same parser for the command line and Python, whose errors name the wrong value."""

import numpy as np
import pytest

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows import AttentionField, named_matrix, simulate, stack_heads


def test_texts_are_their_matrices(tmp_path):
    np.testing.assert_array_equal(named_matrix("diag:2,1,-0.5"), np.diag([2.0, 1.0, -0.5]))
    assert named_matrix("scaled:-1") == -1.0
    np.save(tmp_path / "q.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(named_matrix(str(tmp_path / "q.npy")), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(named_matrix("random:3", 50), named_matrix("random:3", 50))
    G = np.array([named_matrix(f"random:{seed}", 50) for seed in range(20)])
    assert abs(G.mean()) < 4 / np.sqrt(G.size * 50)
    assert G.var() * 50 == pytest.approx(1, abs=0.03)


def test_queries_keys_and_values_of_one_seed_differ():
    Q, K, V = (named_matrix("random:0", 4, role=role) for role in ("queries", "keys", "values"))
    assert len({np.asarray(M).tobytes() for M in (Q, K, V)}) == 3


def test_a_random_matrix_has_the_d_of_the_others_or_the_one_given():
    (head,) = stack_heads("random:1", 1.0, "diag:1,2,3,4")
    assert np.shape(head.queries) == (4, 4)
    (head,) = stack_heads("random:1", "scaled:2", d=7)
    assert np.shape(head.queries) == (7, 7)
    assert head.keys == 2.0
    with pytest.raises(InputError, match="`queries` random:1: `d` says how large"):
        stack_heads("random:1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("diag:2,x", "`values` diag:2,x: takes finite numbers, and 'x' is none"),
        ("diag:", "and '' is none"),
        ("diag:1,inf", "and 'inf' is none"),
        ("scaled:much", "and 'much' is none"),
        ("random:-1", "a seed is a whole number >= 0, and '-1' is none"),
        ("random:", "and '' is none"),
        ("rotation:1", "`values` rotation:1: a matrix is a .npy file, diag:A,B,..., scaled:A or random:SEED"),
        ("none.npy", "`values` none.npy: holds no array"),
    ],
)
def test_errors_name_the_wrong_value(text, said):
    with pytest.raises(InputError) as error:
        named_matrix(text, 3)
    assert said in str(error.value)
    assert error.value.fields == ("values",)


def test_the_dominant_eigenvector_of_equal_coupling_and_values_wins():
    """Q^T K = V = diag(2, 1, -1/2): all tokens end on the axis of the largest eigenvalue, at either end of it."""
    field = AttentionField(1.0, heads=stack_heads(queries="diag:2,1,-0.5", values="diag:2,1,-0.5"))
    run = simulate(field, sphere.uniform(30, 3, seed=2), 60.0)
    np.testing.assert_allclose(np.abs(run.tokens[-1][:, 0]), 1, atol=1e-9)


@pytest.mark.slow
def test_the_command_takes_what_python_takes(monkeypatch, tmp_path):
    from spinodal.cli import main
    from spinodal.runs import read_run

    def simulate_command(*arguments: str) -> None:
        monkeypatch.setattr("sys.argv", ["spinodal", "simulate", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code

    out = tmp_path / "run"
    asked = ["--q", "random:4", "--k", "scaled:-1", "--v", "diag:2,1,-0.5", "--n", "6", "--until", "1"]
    simulate_command(*asked, "--out", str(out))
    heads = stack_heads("random:4", "scaled:-1", "diag:2,1,-0.5")
    mine = flows.evolve(flows.Simulation(AttentionField(1.0, heads=heads), flows.UniformStart(6, 3, 0), 1.0))
    np.testing.assert_array_equal(read_run(out).result_as(flows.Evolution).tokens, mine.tokens)
