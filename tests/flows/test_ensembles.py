"""Ensembles against one system at a time, exact reductions, closed forms, and errors that count systems."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spinodal import sphere, theory
from spinodal.errors import ConvergenceError, InputError
from spinodal.flows.engines.law import law
from spinodal.flows.ensembles import (
    Diagram,
    Ensemble,
    LayerClock,
    Matrices,
    OdeClock,
    close_shares,
    diagram_row,
    estimate,
    evolve_systems,
    flow,
    maps,
    matrices,
    phase_diagram,
    systems,
    tiles,
    triangular_coordinates,
    uniform_systems,
)

THRESHOLD = 1 - 1e-3


def tokens(b: int, n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.stack([sphere.uniform(n, d, np.random.default_rng([seed, k])) for k in range(b)])


def layer(x: np.ndarray, beta: float, h: float, kind: str) -> np.ndarray:
    """One system, written out: x_i <- normalise(x_i + h sum_j ...)."""
    after = []
    for xi in x:
        e = np.exp(beta * x @ xi)
        after.append(xi + h * (e @ x / e.sum() if kind == "sa" else e @ x / len(x)))
    return np.array([y / np.linalg.norm(y) for y in after])


def drift(x: np.ndarray, beta: float, kind: str) -> np.ndarray:
    """The flow written out, by differences, which keep the digits of close tokens."""
    difference = x[None] - x[:, None]
    q = (difference**2).sum(2)
    e = np.exp(-beta * q / 2)
    pull = np.einsum("ij,ijk->ik", e, difference) + np.einsum("ij,ij,ik->ik", e, q, x) / 2
    scale = {"sa": e.sum(1, keepdims=True), "usa": len(x) * np.exp(-beta), "gkpr": len(x)}[kind]
    return pull / scale


def flown(x: np.ndarray, beta: float, kind: str, t: float, method: str) -> np.ndarray:
    rate = lambda _, y: drift(sphere.normalise(y.reshape(x.shape)), beta, kind).ravel()
    return solve_ivp(rate, (0, t), x.ravel(), method=method, rtol=1e-11, atol=1e-11).y[:, -1].reshape(x.shape)


def share(x: np.ndarray, threshold: float = THRESHOLD) -> float:
    n = len(x)
    return float(np.mean([x[i] @ x[j] >= threshold for i in range(n) for j in range(i)]))


@pytest.mark.parametrize("shape", [(4, 8, 8), (8, 3, 16), (4, 1, 24), (12, 5, 32), (4, 33, 72)])
def test_a_product_is_a_product_whatever_the_strides(shape):
    p, q, j = shape
    generator = np.random.default_rng(0)
    A, B = generator.standard_normal((q, p)).T, generator.standard_normal((q, j))
    C = np.full((p, j), np.nan)
    tiles.product(C, A, B)
    np.testing.assert_allclose(C, A @ B, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", ["sa", "usa"])
@pytest.mark.parametrize(("n", "d"), [(2, 2), (5, 3), (8, 4), (9, 2), (33, 12)])
def test_layers_are_those_of_every_system_alone(kind: str, n: int, d: int):
    x, beta, h = tokens(3, n, d), 2.5, 0.1
    alone = x.copy()
    for _ in range(12):
        alone = np.stack([layer(one, beta, h, kind) for one in alone])
    np.testing.assert_allclose(
        evolve_systems(x, law(kind, beta), LayerClock(h), 12 * h), alone, rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("kind", ["sa", "usa", "gkpr"])
def test_the_flow_is_that_of_every_system_alone(kind: str):
    x = tokens(2, 6, 3)
    found = evolve_systems(x, law(kind, 2.0), OdeClock(1e-10), 2.0)
    peers = np.stack([flown(one, 2.0, kind, 2.0, "DOP853") for one in x])
    np.testing.assert_allclose(found, peers, rtol=0, atol=1e-8)


def test_tolerance_governs_the_error_of_the_flow():
    x, sa = tokens(4, 12, 3), law("sa", 4.0)
    exact = evolve_systems(x, sa, OdeClock(1e-12), 6.0)
    errors = [
        abs(evolve_systems(x, sa, OdeClock(tolerance), 6.0) - exact).max() for tolerance in (1e-4, 1e-6, 1e-8)
    ]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[1] < 1e-4


def test_shares_at_times_are_those_of_the_tokens_then():
    x, sa = tokens(5, 9, 2), law("sa", 3.0)
    for clock, times in (
        (LayerClock(0.1), np.array([0.0, 0.5, 1.5, 6.0])),
        (OdeClock(), np.array([0, 0.7, 3, 6.1])),
    ):
        shares = close_shares(x, sa, clock, times, 0.99)
        for k, t in enumerate(times):
            expected = [share(one, 0.99) for one in evolve_systems(x, sa, clock, float(t))]
            np.testing.assert_array_equal(shares[:, k], expected)


@pytest.mark.parametrize("clock", [LayerClock(0.1), OdeClock(1e-10)])
def test_reduction_to_the_span_is_exact(clock):
    x, sa = tokens(3, 6, 200), law("sa", 2.0)
    c = triangular_coordinates(x)
    assert c.shape == (3, 6, 6)
    np.testing.assert_allclose(c @ c.mT, x @ x.mT, rtol=0, atol=1e-14)
    whole, small = evolve_systems(x, sa, clock, 3.0), evolve_systems(c, sa, clock, 3.0)
    np.testing.assert_allclose(small @ small.mT, whole @ whole.mT, rtol=0, atol=1e-12)


def test_an_orthonormal_start_follows_gamma_on_both_clocks():
    n, beta = 12, 3.0
    x = np.eye(n)[None]
    pairs = np.triu_indices(n, 1)
    layered = evolve_systems(x, law("sa", beta), LayerClock(0.1), 4.0)[0]
    np.testing.assert_allclose((layered @ layered.T)[pairs], theory.layer_gamma(40, n, beta)[-1], atol=1e-12)
    for kind, gamma in (("sa", theory.gamma_sa), ("usa", theory.gamma_usa)):
        flown = evolve_systems(x, law(kind, beta), OdeClock(1e-12), 2.0)[0]
        np.testing.assert_allclose((flown @ flown.T)[pairs], gamma(2.0, n, beta), atol=1e-9)


def test_the_flow_is_the_limit_of_small_layers():
    x, sa = tokens(2, 8, 3), law("sa", 2.0)
    flow = evolve_systems(x, sa, OdeClock(1e-12), 1.0)
    errors = []
    for h in (0.01, 0.005):  # a layer of step h moves by h / (1 + h |<x, m>|): first order in time
        errors.append(abs(evolve_systems(x, sa, LayerClock(h), 1.0) - flow).max())
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)


def test_merging_ends_stiffness_and_changes_nothing_else(monkeypatch):
    x, usa, t = tokens(2, 8, 2), law("usa", 8.0), 0.5  # merged tokens have pulled at a rate e^8 / 4
    merged = evolve_systems(x, usa, OdeClock(1e-9), t)
    peers = np.stack([flown(one, 8.0, "usa", t, "LSODA") for one in x])
    np.testing.assert_allclose(merged, peers, rtol=0, atol=1e-6)
    assert any(len(np.unique(one, axis=0)) < 8 for one in merged)
    monkeypatch.setattr(flow, "MOST_STEPS", 300)
    evolve_systems(x, usa, OdeClock(1e-6), 100.0)  # an explicit method without merging takes 1e5 steps
    np.testing.assert_array_equal(
        close_shares(x, usa, OdeClock(1e-9), np.array([t]))[:, 0], list(map(share, peers))
    )


def test_consensus_is_final():
    x = sphere.normalise(np.ones(3) + 0.02 * tokens(20, 8, 3))
    least = 1.0
    for k in range(40):
        y = evolve_systems(x, law("sa", 4.0), LayerClock(0.3), 0.3)
        before, after = (z @ z.mT for z in (x, y))
        assert (after.min((1, 2)) >= before.min((1, 2)) - 1e-15).all(), k
        x, least = y, after.min()
    assert least > THRESHOLD
    assert systems.consensus_is_final(0.0)
    assert not systems.consensus_is_final(-0.1)


def test_a_start_does_not_depend_on_the_others():
    np.testing.assert_array_equal(
        uniform_systems(5, 40, range(3), 7)[2], uniform_systems(5, 40, range(2, 3), 7)[0]
    )
    assert np.all(uniform_systems(5, 4, range(2), 7) != uniform_systems(5, 4, range(2), 8))


def test_starts_are_uniform_after_reduction():
    c = uniform_systems(6, 50, range(400), 0)
    cosines = np.einsum("bik,bjk->bij", c, c)[:, *np.triu_indices(6, 1)]
    assert cosines.mean() == pytest.approx(0, abs=5 / np.sqrt(50 * cosines.size))
    assert cosines.var() * 50 == pytest.approx(1, abs=0.1)


def test_standard_error_counts_systems_and_not_pairs():
    generator = np.random.default_rng(0)
    met = (generator.random((300, 1)) < 0.3).astype(float)  # all pairs of a system meet together, or none
    probability, error = maps.mean_and_error(iter([met[:100], met[100:]]))
    assert probability[0] == met.mean()
    assert error[0] == pytest.approx(np.sqrt(met.mean() * (1 - met.mean()) / 299), rel=1e-12)
    bootstrap = [generator.choice(met[:, 0], 300).mean() for _ in range(2000)]
    assert error[0] == pytest.approx(np.std(bootstrap), rel=0.06)


def test_chunks_change_nothing_and_errors_shrink_with_samples(monkeypatch):
    sa, clock, times = law("sa", 4.0), LayerClock(0.1), np.array([4.0, 8.0])
    whole = estimate(Ensemble(6, 3, 64, 1), sa, clock, times)
    monkeypatch.setattr(maps, "MOST_SYSTEMS", 10)
    parts = estimate(Ensemble(6, 3, 64, 1), sa, clock, times)
    np.testing.assert_allclose(parts.probability, whole.probability, rtol=1e-13)
    np.testing.assert_allclose(parts.standard_error, whole.standard_error, rtol=1e-12)
    fewer = estimate(Ensemble(6, 3, 16, 1), sa, clock, times)
    assert 1.4 < (fewer.standard_error / whole.standard_error).mean() < 2.8


def test_d_1024_meets_on_the_curve_of_its_clock():
    """P = 1/2 within a layer of where gamma reaches the threshold; at the published 0.935 of it P = 0."""
    n, beta, step = 32, 4.0, 0.1
    met = int(np.argmax(theory.layer_gamma(400, n, beta, step) >= THRESHOLD))
    times = step * np.array([round(0.935 * met), met - 2, met + 2])
    early, before, after = estimate(Ensemble(n, 1024, 48), law("sa", beta), LayerClock(step), times)[0]
    assert early < 0.01
    assert before < 0.5 < after


@pytest.mark.parametrize("query_key", matrices.QUERY_KEY)
@pytest.mark.parametrize("values", matrices.VALUES)
def test_random_matrices_against_the_equation_written_out(query_key: str, values: str):
    n, d, beta, h = 4, 6, 1.5, 0.1
    random = Matrices(query_key, values)
    x, M, V = random.systems(n, d, range(2), 3)
    shares = matrices.close_shares((x, M, V), beta, LayerClock(h), np.array([0.1, 0.3]), 0.5)
    for b in range(2):
        y, m, v = (part[b] for part in (x, M, V))
        for _ in range(3):
            a = np.exp([[beta * y[i] @ m @ y[j] for j in range(n)] for i in range(n)])
            y = sphere.normalise(
                y + h * np.array([sum(a[i, j] * v @ y[j] for j in range(n)) / a[i].sum() for i in range(n)])
            )
        assert shares[b, 1] == share(y, 0.5)


def test_random_matrices_have_the_scales_they_are_said_to_have():
    generator = np.random.default_rng(0)
    M, V = Matrices("ginibre", "query-key").draw(200, generator)
    assert M.std() == pytest.approx(1, rel=0.05)
    assert abs(np.linalg.eigvals(V)).max() == pytest.approx(1, abs=0.15)
    M, V = Matrices("goe", "query-key").draw(200, generator)
    np.testing.assert_array_equal(M, M.T)
    assert abs(np.linalg.eigvalsh(V)).max() == pytest.approx(2, abs=0.2)
    assert np.linalg.eigvalsh(Matrices("goe", "wishart").draw(20, generator)[1]).min() > 0


def test_rows_stack_to_maps():
    times = (1.0, 4.0, 7.0)
    diagram = Diagram((3, 5), (0.5, 2.0), times, ("layer", 0.5), n=4, samples=8, threshold=0.9)
    cells = json.loads(json.dumps(diagram.cells()))
    maps_ = diagram.assemble([diagram_row(cell) for cell in cells])
    assert maps_.probability.shape == (2, 3, 2)
    alone = estimate(Ensemble(4, 5, 8), law("sa", 2.0), LayerClock(0.5), np.array(times), 0.9)
    np.testing.assert_array_equal(maps_.probability[1, :, 1], alone.probability)
    np.testing.assert_array_equal(maps_.standard_error[1, :, 1], alone.standard_error)
    random = replace(diagram, matrices=("goe", "identity"))
    assert np.isfinite(phase_diagram(random).probability).all()


def test_a_flow_that_is_not_done_says_so(monkeypatch):
    monkeypatch.setattr(flow, "MOST_STEPS", 3)
    with pytest.raises(ConvergenceError, match="3 steps"):
        evolve_systems(tokens(1, 8, 3), law("sa", 4.0), OdeClock(1e-10), 50.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: LayerClock(0.0), "`step` 0"),
        (lambda: OdeClock(1.0), "`tolerance` 1"),
        (lambda: LayerClock(0.1).grid(1.0, 20), "there are 10 layers"),
        (lambda: LayerClock(0.1).layers(np.array([0.15])), "multiples of the step 0.1"),
        (lambda: close_shares(tokens(1, 4, 3), law("sa", 1.0), OdeClock(), np.array([2.0, 1.0])), "increase"),
        (lambda: evolve_systems(2 * tokens(1, 4, 3), law("sa", 1.0), OdeClock(), 1.0), "length 2"),
        (lambda: evolve_systems(tokens(1, 1, 3), law("sa", 1.0), OdeClock(), 1.0), "n = 1"),
        (lambda: Ensemble(32, 1, 10), "`d` 1"),
        (lambda: Ensemble(32, 2, 1), "`samples` 1"),
        (lambda: Matrices("wigner", "wishart"), "'wigner'"),
        (lambda: Diagram((), (1.0,), (1.0,), ("layer", 0.1)), "one of each"),
        (lambda: Diagram((2,), (1.0,), (1.0,), ("cuckoo", 0.1)), "'cuckoo'"),
        (lambda: Diagram((2,), (-1.0,), (1.0,), ("layer", 0.1)), "`beta` -1"),
        (lambda: Diagram((2, 1), (1.0,), (1.0,), ("layer", 0.1)), "`d` 1"),
        (lambda: Diagram((2,), (1.0,), (1.0,), ("layer", 0.1), field="us"), "'us'"),
        (lambda: Diagram((2,), (1.0,), (1.0,), ("ode", 0.1), matrices=("goe", "wishart")), "layer clock"),
        (lambda: Diagram((2,), (1.0,), (1.0,), ("ode", 0.1), threshold=1.0), "`threshold` 1"),
    ],
)
def test_what_is_refused(wrong, said: str):
    with pytest.raises(InputError, match=said):
        wrong()
