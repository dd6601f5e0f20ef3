"""The compiled flashes against their definition in tensors, and who is asked for which mixture."""

import pytest
import torch
from made import made

from spinodal import thermodynamics as td
from spinodal.errors import InputError
from spinodal.thermodynamics import solvers

SOLVERS = [td.negative_flash, td.positive_flash]
both = pytest.mark.parametrize("solver", SOLVERS)


def defined(solver, z, K):
    """What the definition in tensors finds."""
    return solvers._torch_flash(z, K, 50, solver is td.positive_flash)


def random(b, n, p, *, spread=1.5, seed=0):
    """Mixtures of which many split into fewer than p phases."""
    torch.manual_seed(seed)
    z = torch.distributions.Dirichlet(torch.ones(n).double()).sample((b,))
    return z, (spread * torch.randn(b, n, p - 1).double() + 2 * torch.randn(b, 1, p - 1).double()).exp()


@pytest.fixture
def left(monkeypatch):
    """How many mixtures the compiled loops leave to the tensors, call by call."""
    counts = []

    def counted(z, K, steps, simplex):
        counts.append(len(z))
        return definition(z, K, steps, simplex)

    definition = solvers._torch_flash
    monkeypatch.setattr(solvers, "_torch_flash", counted)
    return counts


def assert_equal(split, expected):
    assert split.converged.all()
    assert (split.verdict == expected.verdict).all()
    size = expected.fractions.abs().clamp_min(1)
    assert ((split.fractions - expected.fractions).abs() <= 1e-13 * size).all()
    torch.testing.assert_close(split.reference, expected.reference, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(split.compositions, expected.compositions, rtol=1e-11, atol=0)


@both
@pytest.mark.parametrize("n", [8, 31, 32, 128])
@pytest.mark.parametrize("p", [2, 3, 4, 5])
def test_mixtures_of_all_phases(solver, p, n, left):
    z, K, _, _ = made(200, n, p, seed=1)
    split = solver(z, K)
    assert left == []
    assert split.residual.max() < 1e-12
    assert_equal(split, defined(solver, z, K))


@pytest.mark.parametrize("n", [2, 3, 8, 33, 128])
@pytest.mark.parametrize("p", [2, 3, 4, 5, 9])
def test_phases_that_vanish(p, n, left):
    z, K = random(200, n, p)
    split = td.positive_flash(z, K)
    assert sum(left) <= (0 if n >= p else 200)
    expected = defined(td.positive_flash, z, K)
    assert_equal(split, expected)
    assert ((split.fractions == 0) == (expected.fractions == 0)).all()
    assert (split.fractions == 0).any()


@both
def test_two_phases_take_three_steps_of_fourth_order(solver):
    """Newton's method takes six from equal fractions, and Halley's four."""
    z, K, _, _ = made(500, 32, 2, seed=1)
    assert solver(z, K).iterations.double().mean() < 3.3


@pytest.mark.parametrize("p", [2, 3, 4])
def test_one_phase_that_holds_traces_has_compositions(p):
    """Where one phase is left there is no step, whatever an earlier one near a pole of u has left in memory."""
    z, K = random(2000, 8, p, spread=1.5)
    z = torch.where(torch.rand(z.shape) < 0.4, 1e-16 * z, z)
    assert_equal(td.positive_flash(z, K), defined(td.positive_flash, z, K))


@both
@pytest.mark.parametrize("spread", [8.0, 40.0])
def test_factors_beyond_single_precision(solver, spread):
    """u = 1e50 divides to 0 in single precision: such a mixture is not vouched for."""
    z, K = random(200, 6, 3, spread=spread)
    expected = defined(solver, z, K)
    split = solver(z, K, errors="mask")
    assert (split.verdict == expected.verdict).all()
    good = split.converged
    torch.testing.assert_close(split.fractions[good], expected.fractions[good], rtol=1e-13, atol=1e-13)


def test_what_is_not_certain_is_left_to_the_tensors(left):
    z, K, _, _ = made(8, 6, 3, seed=2)
    K[1] = 1 + 1e-6 * (K[1] - 1)  # near one
    K[2, :, 1] = K[2, :, 0]  # not unique
    K[3] = 2.0  # no root
    K[4, 0, 0] = torch.inf
    z[5, 0] = torch.nan
    z[6, 0] = -1e-3
    split = td.negative_flash(z, K, errors="mask")
    assert left == [6]
    V = td.Verdict
    expected = [V.SOLVED] * 8
    expected[2], expected[3], expected[5], expected[6] = (
        V.NOT_UNIQUE,
        V.NO_ROOT,
        V.FEED_NOT_FINITE,
        V.FEED_NEGATIVE,
    )
    assert split.verdict.tolist() == expected
    assert split.fractions[[2, 3, 5, 6]].isnan().all()
    torch.testing.assert_close(split.fractions[:2], defined(td.negative_flash, z, K).fractions[:2])


@both
def test_too_few_steps_are_said(solver, left):
    z, K, _, _ = made(20, 6, 3, seed=3)
    assert not solver(z, K, steps=2).converged.all()
    assert left == [20]


@both
@pytest.mark.parametrize("entry", [float("nan"), -1.0, float("inf")])
def test_bad_feeds_are_refused(solver, entry):
    z, K, _, _ = made(4, 6, 3, seed=4)
    z[2, 3] = entry
    with pytest.raises(InputError, match=r"mixture at \[2\] of the batch: z has"):
        solver(z, K)


@both
@pytest.mark.usefixtures("unchecked")
def test_who_is_asked(solver, monkeypatch):
    """The compiled loops take float64 without gradients; the rest is the tensors' own."""
    calls = []
    compiled = solvers._compiled_flash
    monkeypatch.setattr(solvers, "_compiled_flash", lambda *a: calls.append(1) or compiled(*a))
    z, K, _, _ = made(3, 6, 2, seed=5)
    whole = torch.tensor([1, 2, 3]), torch.tensor([[2], [1], [0]])
    for feed, factors in (
        (z.float(), K),
        (z, K.float()),
        whole,
        (z.clone().requires_grad_(), K),
        (z, K.clone().requires_grad_()),
    ):
        split = solver(feed, factors)
        assert split.converged.all()
        assert split.fractions.dtype == torch.float64
        assert split.fractions.requires_grad == (feed.requires_grad or factors.requires_grad)
    assert calls == []
    with torch.no_grad():
        assert solver(z.clone().requires_grad_(), K).converged.all()
    assert solver(z, K).converged.all()
    assert calls == [1, 1]


@both
def test_tangents_are_not_dropped(solver):
    """Forward derivatives are not offered: they raise, and are not silently zero."""
    z, K, _, _ = made(3, 6, 2, seed=6)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(K, torch.ones_like(K))
        with pytest.raises(RuntimeError):
            solver(z, dual)


@both
def test_batches_and_strides(solver):
    z, K, _, _ = made(12, 7, 3, seed=7)
    whole = solver(z, K)
    for alone, expected in zip(solver(z[5], K[5]), whole, strict=True):
        assert torch.equal(alone, expected[5])
    for parted, expected in zip(solver(z.reshape(3, 4, 7), K.reshape(3, 4, 7, 2)), whole, strict=True):
        assert torch.equal(parted.flatten(0, 1), expected)
    strided = solver(z.repeat_interleave(2, 1)[:, ::2], K.mT.contiguous().mT)
    grid = solver(z[:, None], K[None])
    for value, crossed, expected in zip(strided, grid, whole, strict=True):
        assert torch.equal(value, expected)
        assert torch.equal(crossed[range(12), range(12)], expected)


@both
def test_threads_do_not_change_a_bit(solver, monkeypatch):
    z, K, _, _ = made(40, 7, 3, seed=8)
    one = solver(z, K)
    monkeypatch.setattr(solvers, "PART", 7 * 2 * 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        many = solver(z, K)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


@both
def test_inputs_are_not_written_to(solver):
    z, K, _, _ = made(5, 6, 3, seed=9)
    kept = z.clone(), K.clone()
    split = solver(z, K)
    assert torch.equal(z, kept[0])
    assert torch.equal(K, kept[1])
    again = solver(z, K)
    assert all(torch.equal(a, b) for a, b in zip(split, again, strict=True))
