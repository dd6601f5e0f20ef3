"""The public field: its choice of engine, its repairs, its types, and one clear error for each wrong input."""

import numpy as np
import pytest
import torch
from engine_reference import cloud, exact

from spinodal import flows, sphere
from spinodal.errors import InputError
from spinodal.flows.engines import choose, circle
from spinodal.flows.engines.engine import Problem
from spinodal.flows.engines.law import law

X, W = cloud("uniform", 30, 3)


@pytest.mark.parametrize(
    ("n", "d", "beta", "engine"),
    [
        (100, 2, 9.0, "direct"),
        (10**6, 2, 9.0, "circle"),
        (10**4, 2, 1e9, "direct"),
        (100, 3, 9.0, "direct"),
        (10**5, 3, 9.0, "sphere"),
        (10**5, 3, 1e9, "direct"),
        (50, 5, 9.0, "direct"),
        (5000, 64, 9.0, "attention"),
    ],
)
def test_the_engine_chosen(n, d, beta, engine):
    first, *others = [found.name for found in choose.choose_engines(Problem(n, d, beta))]
    assert engine == (first if first != "lowrank" else others[0])  # which declines a cloud


@pytest.mark.parametrize(("n", "d"), [(30, 2), (900, 2), (30, 3), (3000, 3), (60, 6), (700, 6)])
@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_auto_is_right(n, d, kind):
    x, w = cloud("clustered", n, d)
    drift, Z, bound = flows.field(x, w, beta=6.0, kind=kind)
    rows = range(12)
    expected, expected_Z = exact(x, w, 6.0, kind, rows)
    error = np.linalg.norm((drift[rows] - expected).astype(float), axis=1)
    assert (error <= bound[rows]).all()
    assert error.max() < 1e-11 * abs(drift).max()
    assert abs(Z[rows] - expected_Z).max() < 1e-12


@pytest.mark.parametrize(("engine", "d"), [("circle", 2), ("sphere", 3)])
def test_tokens_that_the_transform_gets_poorly_are_redone(engine, d):
    """A token opposite to 2000 others has Z = 5e-4 and a drift of 1e-21, below the transform's rounding."""
    x, w = cloud("alone", 2000, d)
    x[2] = sphere.normalise(x[2] + 0.3 * x[1][::-1])  # something moves fast
    beta = 30.0
    expected, _ = exact(x, w, beta, rows=[0])
    left = choose.unchecked_drift(x, w, law("sa", beta), engine, tolerance=np.inf)
    done = choose.unchecked_drift(x, w, law("sa", beta), engine, tolerance=1e-14)
    size = float(np.linalg.norm(expected))
    assert np.linalg.norm((left.drift[0] - expected[0]).astype(float)) > size
    assert np.linalg.norm((done.drift[0] - expected[0]).astype(float)) < 1e-6 * size
    assert done.error_bound[0] < 1e-10 * left.error_bound[0]


def metastable(n):
    """n tokens in three clusters of width 1e-10, a third of a turn apart."""
    random = np.random.default_rng(5)
    angle = 2 * np.pi / 3 * random.integers(0, 3, n) + 1e-10 * random.standard_normal(n)
    return sphere.normalise(np.stack([np.cos(angle), np.sin(angle)], 1))


def test_a_metastable_state_is_done_by_differences_altogether():
    x, w = metastable(1200), np.full(1200, 1 / 1200)
    drift, _, bound = flows.field(x, w, beta=40.0)
    expected, _ = exact(x, w, 40.0, rows=range(8))
    size = abs(expected).max()
    assert size < 1e-9
    assert abs(drift[:8] - expected).max() < 1e-13 * size
    assert bound.max() < 1e-13 * size


def test_what_is_too_dear_to_redo_is_left_with_its_bound(monkeypatch):
    x, w = metastable(1200), np.full(1200, 1 / 1200)
    monkeypatch.setattr(choose, "WORK", 1e5)
    left = choose.unchecked_drift(x, w, law("sa", 40.0))
    assert np.array_equal(left.drift, circle.drift(x, w, law("sa", 40.0)).drift)
    assert left.error_bound.min() > 1e-16


def test_once_clusters_form_low_rank_takes_over_from_attention():
    x, w = cloud("alone", 5000, 6)
    drift, _, bound = flows.field(x, w, beta=2.0, tolerance=np.inf)
    same = flows.field(x, w, beta=2.0, engine="lowrank", tolerance=np.inf)
    assert np.array_equal(drift, same.drift)
    assert bound.max() < 1e-11


def test_the_two_clocks_of_usa():
    usa, gkpr = (flows.field(X, W, beta=7.0, kind=kind) for kind in ("usa", "gkpr"))
    assert np.allclose(usa.drift, flows.usa_clock(7.0) * gkpr.drift, rtol=1e-15)
    sa = flows.field(X, W, beta=7.0)
    assert np.allclose(gkpr.drift, sa.Z[:, None] * sa.drift, rtol=1e-13, atol=1e-17)
    assert np.allclose(usa.Z, sa.Z, rtol=1e-15)
    assert flows.usa_clock(709.0) < np.inf


def test_huge_beta_is_served_where_doubles_last():
    """At b = 4000 (the staircase) two tokens 0.1 apart pull by e^-20, and SA and gkpr know it."""
    x = np.array([[1.0, 0.0], [np.cos(0.1), np.sin(0.1)]])
    for beta, engine in ((4000.0, "direct"), (4000.0, "circle"), (1e6, "direct")):
        drift, _, _ = flows.field(x, np.full(2, 0.5), beta=beta, kind="gkpr", engine=engine)
        expected, _ = exact(x, np.full(2, 0.5), beta, "gkpr")
        assert abs(drift - expected).max() <= 1e-12 * abs(expected).max() + 1e-300


def test_tensors_come_back_as_tensors():
    array = flows.field(X, W, beta=2.0)
    tensor = flows.field(torch.from_numpy(X), torch.from_numpy(W), beta=2.0)
    for a, t in zip(array, tensor, strict=True):
        assert isinstance(t, torch.Tensor)
        assert np.array_equal(a, t.numpy())
    with pytest.raises(InputError, match="no gradient"):
        flows.field(torch.from_numpy(X).requires_grad_(), torch.from_numpy(W), beta=2.0)


def test_the_input_is_left_as_it_was():
    x, w = X.copy(), W.copy()
    for engine in ("direct", "sphere", "attention"):
        flows.field(x, w, beta=2.0, engine=engine)
    assert np.array_equal(x, X)
    assert np.array_equal(w, W)


def replaced(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("x", "w", "options", "says"),
    [
        (np.empty((0, 3)), np.empty(0), {}, "no token"),
        (np.ones((3, 1)), np.full(3, 1 / 3), {}, "d = 1"),
        (replaced(X, (4, 1), np.nan), W, {}, r"vector 4 has length nan"),
        (replaced(X, 4, 0.0), W, {}, r"vector 4 has length 0 "),
        (1.001 * X, W, {}, r"vector 0 has length 1.001.*sphere\.normalise.*30"),
        (X, W[:-1], {}, "30 tokens need"),
        (X, replaced(W, 3, -0.1), {}, "weight 3 is -0.1"),
        (X, replaced(W, 3, np.nan), {}, "weight 3 is nan"),
        (X, 2 * W, {}, "sum to 2"),
        (X, W, {"beta": -1e13}, r"`beta` -1e\+13 "),
        (X, W, {"beta": np.nan}, "`beta` nan"),
        (X, W, {"beta": 1e13}, r"`beta` 1e\+13"),
        (X, W, {"beta": 710.0, "kind": "usa"}, "overflows above 709.78; use `kind` 'gkpr'"),
        (
            X,
            W,
            {"beta": 2e5, "engine": "sphere"},
            "'sphere' ends at .* = 10000, here it is 200000; use 'auto'",
        ),
        (X, W, {"kind": "softmax"}, "'softmax' is none of"),
        (X, W, {"engine": "fourier"}, "'fourier' is none of"),
        (X, W, {"engine": "circle"}, "needs d = 2, the tokens have d = 3"),
        (X[:, :2] / np.linalg.norm(X[:, :2], axis=1)[:, None], W, {"engine": "sphere"}, "needs d = 3"),
        (
            X[:, :2] / np.linalg.norm(X[:, :2], axis=1)[:, None],
            W,
            {"engine": "circle", "beta": 1e6},
            "ends at .* = 100000",
        ),
    ],
)
def test_wrong_input_is_one_clear_error(x, w, options, says):
    with pytest.raises(InputError, match=says):
        flows.field(x, w, **{"beta": 1.0, **options})
