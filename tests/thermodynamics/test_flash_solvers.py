"""The solvers: made mixtures, a peer, KKT conditions, symmetries, gradients and what they refuse."""

import subprocess
import sys

import chemicals
import numpy as np
import pytest
import torch
from made import made
from marks import slow_but
from scipy.optimize import linprog

from spinodal import thermodynamics as td
from spinodal.errors import InputError
from spinodal.thermodynamics import solvers

SOLVERS = [td.negative_flash, td.positive_flash]
both = pytest.mark.parametrize("solver", SOLVERS)


def dirichlet(b, n, concentration=1.0):
    return torch.distributions.Dirichlet(torch.full((n,), concentration, dtype=torch.float64)).sample((b,))


def wide(b, n, q, spread=1.0):
    return (spread * torch.randn(b, n, q, dtype=torch.float64)).exp()


def imbalance(z, K, L):
    """1 - c_j over all phases, and L of all: the KKT conditions are >= 0, >= 0, product 0."""
    L = torch.cat([L, 1 - L.sum(-1, keepdim=True)], -1)
    A = torch.cat([K, torch.ones_like(K[..., :1])], -1)
    c = torch.einsum("bn,bnp->bp", z / z.sum(-1, keepdim=True) / torch.einsum("bnp,bp->bn", A, L), A)
    return 1 - c, L


@both
@pytest.mark.parametrize(("n", "p"), [(8, 2), (128, 2), (32, 3), (8, 5), (128, 5), (40, 16)])
def test_made_mixtures_are_recovered(solver, n, p):
    z, K, L, x = made(300, n, p)
    split = solver(z, K)
    assert split.converged.all()
    torch.testing.assert_close(split.fractions, L, rtol=0, atol=1e-12)
    torch.testing.assert_close(td.phase_compositions(z, K, split.fractions), x, rtol=1e-9, atol=1e-10)
    assert split.residual.max() < 1e-12
    assert split.iterations.max() <= (12 if solver is td.negative_flash else 20)
    assert split.iterations.double().mean() < (6 if solver is td.negative_flash else 10)


@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_two_phases_agree_with_the_peer(spread):
    """Roots inside and outside [0, 1]; the peer raises where we refuse."""
    torch.manual_seed(1)
    z, K = dirichlet(200, 6), wide(200, 6, 1, spread)
    peer = []
    for feed, factors in zip(z.tolist(), K[..., 0].tolist(), strict=True):
        try:
            peer.append(chemicals.flash_inner_loop(feed, factors, method="Leibovici and Nichita 2")[0])
        except chemicals.PhaseCountReducedError:
            peer.append(np.nan)
    expected = torch.tensor(peer, dtype=torch.float64)
    real = expected.isfinite()
    torch.testing.assert_close(
        td.negative_flash(z[real], K[real]).fractions[:, 0], expected[real], rtol=1e-8, atol=1e-8
    )
    assert (expected[real] > 1).any()
    assert (expected[real] < 0).any()
    assert not real.all()
    for i in (~real).nonzero():
        with pytest.raises(InputError, match="no unique split"):
            td.negative_flash(z[i], K[i])


@pytest.mark.parametrize("p", [3, 4])
def test_more_phases_agree_with_the_peer(p):
    z, K, L, _ = made(30, 7, p, seed=2)
    ours = td.negative_flash(z, K).fractions
    for i in range(len(z)):
        start = (L[i] + 0.1 * (1 / p - L[i])).tolist()
        theirs, _ = chemicals.rachford_rice.Rachford_Rice_solutionN(z[i].tolist(), K[i].T.tolist(), start)
        torch.testing.assert_close(ours[i].tolist(), theirs[:-1], rtol=1e-9, atol=1e-9)


def test_positive_flash_is_the_negative_one_where_all_phases_are_present():
    torch.manual_seed(3)
    z, K = dirichlet(500, 8), wide(500, 8, 1, 2.0)
    K = K[(K.amin((1, 2)) < 1) & (K.amax((1, 2)) > 1)]
    z = z[: len(K)]
    free, held = td.negative_flash(z, K).fractions[:, 0], td.positive_flash(z, K).fractions[:, 0]
    torch.testing.assert_close(held, free.clamp(0, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0, 40.0])
@pytest.mark.parametrize(("n", "p"), [(3, 2), (8, 3), (4, 9), (64, 12)])
def test_positive_flash_meets_the_kkt_conditions(spread, n, p):
    torch.manual_seed(4)
    z, K = 3 * dirichlet(400, n, 0.3) + 1e-200, wide(400, n, p - 1, spread)
    split = td.positive_flash(z, K)
    assert split.converged.all()
    slack, L = imbalance(z, K, split.fractions)
    rounding = 1e-11 if spread <= 1 else 1e-6  # of 1 - sum L, beside a small K
    assert L.min() > -1e-15
    assert slack.min() > -rounding
    assert (L * slack).abs().max() < rounding
    assert (split.fractions == 0).any()


def test_a_feed_on_the_brink_of_a_phase():
    """L_j = 0 and c_j = 1 at once: the slowest case."""
    z, K, L, _ = made(100, 9, 4, seed=5, absent=1)
    split = td.positive_flash(z, K)
    assert split.converged.all()
    torch.testing.assert_close(split.fractions, L, rtol=0, atol=1e-11)
    assert td.negative_flash(z, K).fractions[:, 0].abs().max() < 1e-12


def test_phases_that_coincide_share_their_fraction():
    z, K, L, _ = made(50, 8, 2, seed=6)
    split = td.positive_flash(z, K.expand(50, 8, 3))
    assert split.converged.all()
    torch.testing.assert_close(split.fractions.sum(-1), L[:, 0])
    torch.testing.assert_close(split.fractions, split.fractions.flip(-1), rtol=0, atol=1e-6)
    trivial = td.positive_flash(z, torch.ones(50, 8, 3).double())
    torch.testing.assert_close(trivial.fractions, torch.full((50, 3), 0.25).double())


def test_only_stable_phases_remain():
    """K < 1 for all components: the reference alone; K > 1: the other alone."""
    z = torch.rand(8).double()
    for K, expected in ((0.5, 0.0), (2.0, 1.0)):
        split = td.positive_flash(z, torch.full((8, 1), K).double())
        assert split.fractions.item() == expected
        assert split.converged


def test_binary_split_in_closed_form():
    """z_1 (K_1 - 1) / (1 + (K_1 - 1) L) + z_2 (K_2 - 1) / (1 + (K_2 - 1) L) = 0 is linear in L."""
    z, K = torch.tensor([0.3, 0.7]).double(), torch.tensor([[3.0], [0.4]]).double()
    a, b = K[:, 0] - 1
    expected = -(z[0] * a + z[1] * b) / (a * b)
    for solver in SOLVERS:
        torch.testing.assert_close(solver(z, K).fractions, expected.reshape(1))


def test_dilutions_stay_positive_and_phases_sum_to_one():
    torch.manual_seed(7)
    z, K = dirichlet(300, 12), wide(300, 12, 2)
    bounded = ~unbounded(K)
    L = td.negative_flash(z[bounded], K[bounded]).fractions
    assert (td.dilution(K[bounded], L) > 0).all()
    assert (L < 0).any()
    sums = td.phase_compositions(z[bounded], K[bounded], L).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-10)


def unbounded(K):
    """By linear programming: some d has (K - 1) d >= 0, not 0."""
    answers = [
        linprog(-C.sum(0), A_ub=-C, b_ub=np.zeros(len(C)), bounds=[(-1, 1)] * C.shape[1]).fun < -1e-9
        for C in K.numpy() - 1
    ]
    return torch.tensor(answers)


@pytest.mark.parametrize(
    ("n", "q", "spread"), slow_but([(4, 1, 1.0), (6, 2, 1.0), (16, 4, 1.0), (5, 4, 1.0)], (4, 1, 1.0))
)
def test_mixtures_without_a_root_are_refused_and_no_others(n, q, spread):
    torch.manual_seed(8)
    z, K = dirichlet(60, n), wide(60, n, q, spread)
    hopeless = unbounded(K)
    assert hopeless.any()
    if not hopeless.all():
        assert td.negative_flash(z[~hopeless], K[~hopeless]).converged.all()
    for i in hopeless.nonzero()[:20, 0]:
        with pytest.raises(InputError, match=r"no unique split of the mixture.*raises the dilution"):
            td.negative_flash(z[i], K[i])


def test_a_refusal_names_the_mixture():
    z, K, _, _ = made(6, 5, 2, seed=18)
    K[4] = 2.0
    with pytest.raises(InputError, match=r"mixture at \[1, 1\] of the batch"):
        td.negative_flash(z.reshape(2, 3, 5), K.reshape(2, 3, 5, 1))


@both
def test_permutations(solver):
    z, K, _, _ = made(20, 9, 4, seed=9)
    fractions = solver(z, K).fractions
    order = torch.randperm(9)
    torch.testing.assert_close(solver(z[:, order], K[:, order]).fractions, fractions, rtol=0, atol=1e-12)
    phases = [2, 0, 1]
    torch.testing.assert_close(solver(z, K[..., phases]).fractions, fractions[:, phases], rtol=0, atol=1e-12)


def test_the_reference_is_a_phase_like_any_other():
    torch.manual_seed(10)
    z, K = dirichlet(200, 6), wide(200, 6, 3)
    fractions = td.positive_flash(z, K).fractions
    swapped = torch.cat(
        [1 / K[..., :1], K[..., 1:] / K[..., :1]], -1
    )  # the first phase takes the reference's place
    theirs = td.positive_flash(z, swapped).fractions
    torch.testing.assert_close(theirs[:, 0], 1 - fractions.sum(-1), rtol=0, atol=1e-11)
    torch.testing.assert_close(theirs[:, 1:], fractions[:, 1:], rtol=0, atol=1e-11)


@both
def test_mixtures_of_a_batch_do_not_meet(solver, monkeypatch):
    """Alone, in a batch, in small blocks or broadcast: the same fractions."""
    z, K, _, _ = made(12, 7, 3, seed=11)
    fractions = solver(z, K).fractions
    alone = torch.stack([solver(*one).fractions for one in zip(z, K, strict=True)])
    torch.testing.assert_close(alone, fractions, rtol=0, atol=1e-13)
    grid = solver(z[:, None], K[None])
    assert grid.fractions.shape == (12, 12, 2)
    assert grid.converged.shape == grid.residual.shape == grid.iterations.shape == (12, 12)
    torch.testing.assert_close(grid.fractions.diagonal().T, fractions, rtol=0, atol=1e-13)
    for numbers in (5 * 7 * 3, 7 * 3 - 1):  # five mixtures, and less than one
        monkeypatch.setattr(solvers, "BLOCK", numbers)
        torch.testing.assert_close(solver(z, K).fractions, fractions, rtol=0, atol=1e-13)


@both
def test_the_scale_of_the_feed_and_absent_components_do_not_matter(solver):
    z, K, L, _ = made(20, 6, 3, seed=12)
    torch.testing.assert_close(solver(1e3 * z, K).fractions, L)
    z = torch.cat([z, torch.zeros(20, 2).double()], -1)
    K = torch.cat([K, torch.tensor([[1e-3, 1e3], [1e-9, 1e-9]]).double().expand(20, 2, 2)], 1)
    torch.testing.assert_close(solver(z, K).fractions, L)


@both
def test_single_precision_is_solved_in_double(solver):
    z, K, _, _ = made(20, 6, 3, seed=13)
    split = solver(z.float(), K.float())
    assert split.fractions.dtype == torch.float64
    assert split.residual.max() < 1e-12
    torch.testing.assert_close(split.fractions, solver(z.float().double(), K.float().double()).fractions)


@both
def test_no_convergence_is_said(solver):
    z, K, L, _ = made(20, 6, 3, seed=14)
    split = solver(z, K, steps=3)
    assert not split.converged.all()
    wrong = (split.fractions - L).abs().amax(-1) > 1e-6
    assert wrong.any()
    assert not (wrong & split.converged).any()
    assert (split.residual[wrong] > 1e-9).all()
    assert (split.iterations == 3).any()


@both
def test_gradients_of_a_made_mixture(solver):
    z, K, _, _ = made(3, 5, 3, seed=15)
    inputs = z.requires_grad_(), K.requires_grad_()
    fractions = lambda z, K: solver(z, K).fractions
    assert torch.autograd.gradcheck(fractions, inputs)
    assert torch.autograd.gradgradcheck(fractions, inputs)


@pytest.mark.slow
def test_gradients_with_phases_present_and_absent():
    torch.manual_seed(16)
    z, K = dirichlet(6, 4).requires_grad_(), wide(6, 4, 3).requires_grad_()
    fractions = lambda z, K: td.positive_flash(z, K).fractions
    absent = fractions(z, K) == 0
    assert absent.any()
    assert not absent.all()
    assert torch.autograd.gradcheck(fractions, (z, K))
    assert torch.autograd.gradgradcheck(fractions, (z, K))
    (slope,) = torch.autograd.grad(fractions(z, K).sum(), K)
    assert (slope.mT[absent] == 0).all()


def test_gradient_of_a_negative_fraction():
    """Outside [0, 1], where the fraction of a phase that is absent still moves."""
    z, K = torch.tensor([0.5, 0.5]).double(), torch.tensor([[1.5], [0.2]]).double().requires_grad_()
    fractions = lambda K: td.negative_flash(z, K).fractions
    assert fractions(K) < 0
    assert torch.autograd.gradcheck(fractions, (K,))


def test_gradient_at_zero_and_scale():
    """Scaling z changes nothing, so z . dL/dz = 0, with absent components as well."""
    z, K, _, _ = made(5, 6, 3, seed=17)
    z = (z * torch.tensor([1, 1, 1, 1, 1, 0])).requires_grad_()
    for solver in SOLVERS:
        (slope,) = torch.autograd.grad(solver(z, K).fractions[:, 0].sum(), z)
        assert slope.isfinite().all()
        assert (slope * z).sum(-1).abs().max() < 1e-12


def test_gradient_is_finite_where_phases_coincide():
    K = torch.ones(4, 8, 3).double().requires_grad_()
    (slope,) = torch.autograd.grad(td.positive_flash(torch.rand(8).double(), K).fractions.square().sum(), K)
    assert slope.isfinite().all()
    assert slope.abs().max() < 10


NAN, INF = float("nan"), float("inf")


@both
@pytest.mark.parametrize(
    ("z", "K", "message"),
    [
        ([0.5, NAN], [2.0, 0.5], "z has NaN or infinite"),
        ([0.5, INF], [2.0, 0.5], "z has NaN or infinite"),
        ([1e308, 1e308], [2.0, 0.5], "a sum that overflows"),
        ([0.5, 0.5], [NAN, 0.5], "K has NaN or infinite"),
        ([0.5, 0.5], [-INF, 0.5], "K must be above zero, its lowest is -inf"),
        ([1.5, -0.5], [2.0, 0.5], "z has negative entries, -0.5"),
        ([0.0, 0.0], [2.0, 0.5], "z sums to zero"),
        ([0.5, 0.5], [2.0, -1.0], "K must be above zero, its lowest is -1"),
    ],
)
def test_bad_values_are_refused(solver, z, K, message):
    with pytest.raises(InputError, match=message):
        solver(torch.tensor([z, [0.5, 0.5]]), torch.tensor([K, [2.0, 0.5]]).unsqueeze(-1))


@both
def test_no_steps_are_refused(solver):
    with pytest.raises(InputError, match="steps must be at least 1"):
        solver(torch.rand(3), torch.rand(3, 1), steps=0)


@both
def test_no_mixture_is_refused(solver):
    with pytest.raises(InputError, match="hold no mixture"):
        solver(torch.rand(0, 3), torch.rand(0, 3, 1))


@pytest.mark.parametrize(
    "K",
    [torch.ones(4, 1), torch.tensor([[3.0, 3.0], [0.5, 0.5], [0.2, 0.2], [2.0, 2.0]])],
    ids=["one", "twice"],
)
def test_phases_that_coincide_have_no_unique_split(K):
    z = torch.rand(3, 4)
    with pytest.raises(InputError, match=r"mixture at \[0\] of the batch: some phases in K are combinations"):
        td.negative_flash(z, K)


def test_why_signed_compositions_are_refused():
    """With z >= 0 and K > 0, F falls through zero at most once; signed z has more roots, signed K poles."""
    torch.manual_seed(19)
    signed, K = torch.randn(2000, 8, 1).double(), wide(2000, 8, 1)
    L = torch.linspace(0, 1, 200).double().reshape(-1, 1, 1)
    roots = {}
    for name, z in (("signed", signed[..., 0]), ("positive", signed[..., 0].abs())):
        F = td.rachford_rice(z, K, L)[..., 0]
        roots[name] = (F.diff(dim=0).gt(0).any(0), (F[1:] * F[:-1] < 0).sum(0))
    assert not roots["positive"][0].any()
    assert roots["positive"][1].max() == 1
    assert roots["signed"][0].any()
    assert roots["signed"][1].max() > 1
    assert (td.dilution(signed, L).amin(0) < 0).any(-1).double().mean() > 0.99


NOT_REAL = """
import torch
from spinodal.errors import InputError
from spinodal.thermodynamics import negative_flash, positive_flash
z, K = torch.tensor([0.5, 0.5]), torch.tensor([[2.0], [0.5]])
for solver in (negative_flash, positive_flash):
    for inputs in ((z.numpy(), K), (z, K.tolist()), (z, K + 1j)):
        try:
            print(solver(*inputs))
        except InputError as refusal:
            print(refusal)
"""


@pytest.mark.slow
def test_what_is_no_real_tensor_is_refused_in_a_sentence():
    """Without the tests' own check of types, as a user has it."""
    done = subprocess.run([sys.executable, "-c", NOT_REAL], capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    starts = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert starts == 2 * ["`z` is a ndarray", "`K` is a list", "`K` is complex"]
