"""Digits of the flashes against 60 of them: K near one, traces, components that phases lack, verdicts by mixture."""

import mpmath
import numpy as np
import pytest
import torch
from made import made
from marks import slow_but

from spinodal import thermodynamics as td
from spinodal.errors import InputError

mpmath.mp.dps = 60
SOLVERS = [td.negative_flash, td.positive_flash]
both = pytest.mark.parametrize("solver", SOLVERS)
INF = float("inf")


def root(z, K, start):
    """L with F = 0 of the doubles given, by Newton from a start nearby."""
    (n, q), one = K.shape, mpmath.mpf(1)
    Z, C = [mpmath.mpf(float(v)) for v in z], [[mpmath.mpf(float(v)) - 1 for v in row] for row in K]
    L = mpmath.matrix([mpmath.mpf(float(v)) for v in start])
    for _ in range(8):
        u = [one + sum(L[j] * row[j] for j in range(q)) for row in C]
        F = mpmath.matrix([sum(Z[i] * C[i][j] / u[i] for i in range(n)) for j in range(q)])
        H = mpmath.matrix(q, q)
        for j in range(q):
            for k in range(q):
                H[j, k] = sum(Z[i] * C[i][j] * C[i][k] / u[i] ** 2 for i in range(n))
        L += mpmath.lu_solve(H, F)
    return L


def bisected(z, K):
    """The one L of two phases, wherever it is, with 60 digits."""
    Z, C = [mpmath.mpf(float(v)) for v in z], [mpmath.mpf(float(v)) - 1 for v in K]
    low, high = -1 / max(C), -1 / min(C)
    for _ in range(260):
        L = (low + high) / 2
        low, high = (L, high) if sum(v * c / (1 + L * c) for v, c in zip(Z, C, strict=True)) > 0 else (low, L)
    return L


def near_one(rng, size, n, p):
    """A feed and K = 1 + size * normal whose phases sum to one at fractions inside the simplex."""
    x = rng.dirichlet(np.full(n, 2.0))
    K = 1 + size * rng.normal(size=(n, p - 1))
    K -= x @ (K - 1)
    L = rng.dirichlet(np.full(p, 3.0))[:-1]
    return x * (1 + (K - 1) @ L), K, L


@pytest.mark.parametrize("p", slow_but([2, 3, 4, 5], 2))
@pytest.mark.parametrize("size", slow_but([1e-2, 1e-4, 1e-6, 1e-8, 1e-10], 1e-8))
def test_partition_factors_near_one(size, p):
    """The positive flash was off by 1e-5 at |K - 1| = 1e-4, by .3 at 1e-6, and said that it had converged."""
    rng = np.random.default_rng(p)
    for _ in range(3):
        z, K, L = near_one(rng, size, 7, p)
        free, held = (solver(torch.tensor(z), torch.tensor(K)) for solver in SOLVERS)
        expected = np.array([float(v) for v in root(z, K, L)])
        allowed = 1e-12 * np.maximum(1, abs(expected))
        assert free.converged
        assert (abs(free.fractions.numpy() - expected) <= allowed).all()
        if expected.min() > 0 and expected.sum() < 1:
            assert held.converged
            assert (abs(held.fractions.numpy() - expected) <= allowed).all()


@pytest.mark.parametrize(("K", "expected"), [(1 + 1e-11, 1.0), (1 - 1e-11, 0.0)])
def test_a_phase_that_is_barely_richer_takes_all(K, expected):
    split = td.positive_flash(torch.tensor([0.5, 0.5]), torch.full((2, 1), K, dtype=torch.float64))
    assert split.fractions.item() == expected
    assert split.converged


def test_gradients_near_one():
    """Of two components L = -z1 / b - z2 / a, a and b = K - 1: dL/dK = (z2 / a^2, z1 / b^2)."""
    a, b, inside = 3e-7, -1e-7, 0.3
    z = torch.tensor([0.25 * (1 + a * inside), 0.75 * (1 + b * inside)], dtype=torch.float64)
    K = torch.tensor([[1 + a], [1 + b]], dtype=torch.float64)
    for solver in SOLVERS:
        inputs = z.clone().requires_grad_(), K.clone().requires_grad_()
        L = solver(*inputs).fractions
        assert L.item() == pytest.approx(float(root(z, K, [inside])[0]), rel=1e-12)
        slope_z, slope_K = torch.autograd.grad(L[0], inputs)
        expected = torch.tensor([[0.75 / a**2], [0.25 / b**2]], dtype=torch.float64)
        torch.testing.assert_close(slope_K, expected, rtol=1e-6, atol=0)
        assert (slope_z @ z).abs() < 1e-7 * slope_z.abs().max()


@pytest.mark.parametrize("trace", [1e-6, 1e-14, 1e-60])
def test_gradients_of_a_trace(trace: float):
    """Two components: L = -(z_1 / c_2 + z_2 / c_1) / (z_1 + z_2) with c = K - 1, and u_1 = z_1 (1 - c_1 / c_2)."""
    z = torch.tensor([trace, 1 - trace], dtype=torch.float64, requires_grad=True)
    K = torch.tensor([[3.0], [0.25]], dtype=torch.float64, requires_grad=True)
    slope_z, slope_K = torch.autograd.grad(td.negative_flash(z, K).fractions.sum(), [z, K])
    first, second = 1 / 2.0, 1 / -0.75
    expected = [(1 - trace) * (first - second), trace * (second - first)]
    assert slope_z.tolist() == pytest.approx(expected, rel=1e-12)
    assert slope_K.flatten().tolist() == pytest.approx([(1 - trace) * first**2, trace * second**2], rel=1e-12)


@pytest.mark.parametrize("trace", slow_but([1e-14, 1e-27, 1e-60], 1e-60))
@pytest.mark.parametrize("factors", [(2.0, 0.25), (1.5, 0.2), (0.9, 0.4), (0.995, 0.99)])
def test_compositions_of_a_trace(trace, factors):
    """A trace that makes up a whole phase holds L within 1e-12 of a pole, where 1 + L (K - 1) keeps no digit."""
    z, K = np.array([0.5, 0.5, trace]), np.array([*factors, 1e12])
    L = bisected(z, K)
    u = [1 + L * (mpmath.mpf(float(k)) - 1) for k in K]
    for solver in SOLVERS:
        split = solver(torch.tensor(z), torch.tensor(K).unsqueeze(-1))
        if solver is td.positive_flash and not 0 < L < 1:
            assert split.fractions.item() == 0
            assert split.compositions[:, 1].tolist() == pytest.approx((z / z.sum()).tolist(), rel=1e-12)
            continue
        assert split.converged
        expected = [
            [float(mpmath.mpf(float(v)) * k / w) for k in (float(f), 1)]
            for v, f, w in zip(z, K, u, strict=True)
        ]
        torch.testing.assert_close(
            split.compositions, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
        )


def test_compositions_of_a_reference_phase_that_nearly_vanishes():
    """1 - L keeps three digits of a reference phase of 1e-13; its own fraction and compositions have all."""
    z, K = np.array([1 - 1e-13, 1e-13]), np.array([1.0 + 1e-12, 1e-13])
    L = bisected(z, K)
    split = td.positive_flash(torch.tensor(z), torch.tensor(K).unsqueeze(-1))
    assert split.converged
    assert split.reference.item() == pytest.approx(float(1 - L), rel=1e-12)
    assert split.compositions[1, 1].item() == pytest.approx(
        float(z[1] / (1 + L * (mpmath.mpf(K[1]) - 1))), rel=1e-12
    )


@both
@pytest.mark.parametrize(("n", "p"), [(6, 2), (9, 4)])
def test_compositions_are_those_of_the_equations(solver, n, p):
    z, K, _, x = made(20, n, p, seed=3)
    split = solver(z.reshape(4, 5, n), K.reshape(4, 5, n, p - 1))
    torch.testing.assert_close(split.compositions.reshape(20, n, p), x, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(split.reference, 1 - split.fractions.sum(-1))


@both
def test_a_component_that_a_phase_lacks(solver):
    """K = 0 and K = infinity are the limits of K that is tiny and huge, and x is 0 in the phase that lacks it."""
    z, K, _, _ = made(1, 5, 3, seed=4)
    z, K = z[0], K[0]
    for value, limit in ((0.0, 1e-200), (INF, 1e200)):
        exact, near = K.clone(), K.clone()
        exact[1, 0], near[1, 0] = value, limit
        split, expected = solver(z, exact), solver(z, near)
        assert split.converged
        torch.testing.assert_close(split.fractions, expected.fractions, rtol=0, atol=1e-12)
        torch.testing.assert_close(split.compositions, expected.compositions, rtol=1e-11, atol=1e-100)
        lacking = split.compositions[1]
        assert (lacking[[0]] if value == 0 else lacking[1:]).abs().max() == 0
        for equation in (td.phase_compositions, td.rachford_rice):
            torch.testing.assert_close(
                equation(z, exact, split.fractions), equation(z, near, split.fractions), rtol=1e-9, atol=1e-11
            )


@both
def test_gradients_of_a_component_that_a_phase_lacks(solver):
    z, K, _, _ = made(1, 5, 3, seed=4)
    K[0, 1, 0], K[0, 3, 1] = 0.0, INF
    K = K[0].requires_grad_()
    (slope,) = torch.autograd.grad(solver(z[0], K).fractions.sum(), K)
    assert slope.isfinite().all()
    assert slope[3].eq(0).all()
    assert (slope[1, 0] != 0) == (solver is td.negative_flash)  # held, the others are absent


def test_pure_phases_hold_what_is_theirs():
    """One component in each phase alone: L = z."""
    z, K = torch.tensor([0.25, 0.25, 0.5]).double(), torch.tensor([[INF, 0], [0, INF], [0, 0]]).double()
    for solver in SOLVERS:
        split = solver(z, K)
        torch.testing.assert_close(split.fractions, z[:2])
        torch.testing.assert_close(split.compositions, torch.eye(3).double())


def test_enrichment_by_infinite_logarithms():
    e = td.enrichment(torch.tensor([[INF], [-INF]]), torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(e, torch.tensor([[4.0, 0.0], [0.0, 4 / 3]]))


def spoilt(solver):
    """Ten mixtures, of which seven have no answer, or six where phases may coincide; and the verdicts."""
    z, K, _, _ = made(10, 5, 2, seed=5)
    z[1, 0], z[2, 0], z[3] = torch.nan, -0.1, 0
    K[4, 0], K[5, 0] = torch.nan, -1
    K[6], K[7] = 1, 2
    V = td.Verdict
    verdicts = {
        1: V.FEED_NOT_FINITE,
        2: V.FEED_NEGATIVE,
        3: V.FEED_EMPTY,
        4: V.FACTORS_NOT_FINITE,
        5: V.FACTORS_NEGATIVE,
    }
    if solver is td.negative_flash:
        verdicts |= {6: V.NOT_UNIQUE, 7: V.NO_ROOT}
    return z, K, verdicts


@both
def test_one_bad_mixture_does_not_spoil_the_batch(solver):
    z, K, verdicts = spoilt(solver)
    split = solver(z.reshape(2, 5, 5), K.reshape(2, 5, 5, 1), errors="mask")
    assert split.verdict.flatten().tolist() == [verdicts.get(i, 0) for i in range(10)]
    good = split.verdict == td.Verdict.SOLVED
    assert (split.converged == good).all()
    assert split.fractions[~good].isnan().all()
    assert split.compositions[~good].isnan().all()
    alone = solver(z[good.flatten()], K[good.flatten()])
    torch.testing.assert_close(split.fractions[good], alone.fractions, rtol=0, atol=1e-13)
    assert all(td.Verdict(int(verdict)).reason for verdict in split.verdict.flatten())


@both
def test_masked_mixtures_have_no_gradient(solver):
    z, K, verdicts = spoilt(solver)
    inputs = z.requires_grad_(), K.requires_grad_()
    fractions = solver(*inputs, errors="mask").fractions[:, 0]
    slopes = torch.autograd.grad(fractions[fractions.isfinite()].sum(), inputs)
    for slope in slopes:
        assert slope.isfinite().all()
        assert (slope[list(verdicts)] == 0).all()
        assert (slope[[0, 8, 9]] != 0).any()


@both
def test_nothing_but_bad_mixtures(solver):
    split = solver(torch.zeros(3, 4), torch.ones(3, 4, 1), errors="mask")
    assert split.fractions.shape == (3, 1)
    assert split.fractions.isnan().all()
    assert not split.converged.any()


@both
def test_a_refusal_names_the_mixture_and_the_way_out(solver):
    z, K, verdicts = spoilt(solver)
    for bad in verdicts:
        rest = [0, 8, 9, bad]
        with pytest.raises(InputError, match=r"mixture at \[1, 1\] of the batch: .*`errors` 'mask'"):
            solver(z[rest].reshape(2, 2, 5), K[rest].reshape(2, 2, 5, 1))


@both
@pytest.mark.usefixtures("unchecked")
def test_what_errors_may_be(solver):
    with pytest.raises(InputError, match="must be 'raise' or 'mask'"):
        solver(torch.rand(3), torch.rand(3, 1), errors="ignore")


@both
def test_planted_splits_are_never_refused(solver):
    """K over 1e-12 to 1e12 and phases of few components: one in 600 was refused as a combination of phases."""
    rng = np.random.default_rng(7)
    for p, n, spread, concentration in ((3, 8, 10, 0.05), (5, 20, 8, 0.1), (4, 5, 8, 0.3)):
        x = rng.dirichlet(np.full(n, concentration), size=600) + 1e-300
        K = np.exp(np.clip(rng.normal(size=(600, n, p - 1)) * spread, -28, 28))
        K /= np.einsum("bnq,bn->bq", K, x)[:, None]
        L = rng.dirichlet(np.ones(p), size=600)
        z = x * (np.einsum("bnq,bq->bn", K, L[:, :-1]) + L[:, -1:])
        assert solver(torch.tensor(z), torch.tensor(K)).converged.all()


def test_the_sum_of_the_feed_does_not_round_it():
    """Near K = 1 a feed divided by its sum is another feed."""
    z, K, L = near_one(np.random.default_rng(0), 1e-7, 6, 2)
    for scale in (1.0, 3.0, 1e-300, 1e300):
        feed = z * scale
        expected = float(root(feed, K, L)[0])
        for solver in SOLVERS:
            assert solver(torch.tensor(feed), torch.tensor(K)).fractions.item() == pytest.approx(
                expected, abs=1e-12
            )
