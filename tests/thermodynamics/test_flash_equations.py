"""The equations of the flash: against loops, conservation, and what follows from them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made

from spinodal import thermodynamics as td
from spinodal.errors import InputError

torch.manual_seed(0)
Z, RAW, FREE = (
    torch.randn(2, 5).double(),
    torch.randn(2, 5, 3).double(),
    torch.rand(2, 3).double(),
)  # any sign


def looped(z, K, L):
    """u, F and x of one mixture as the paper writes them."""
    n, q = K.shape
    none = torch.zeros_like(z[0])
    u = [1 + sum((L[j] * (K[i, j] - 1) for j in range(q)), none) for i in range(n)]
    F = [sum((z[i] * (K[i, j] - 1) / u[i] for i in range(n)), none) for j in range(q)]
    x = [[K[i, j] * z[i] / u[i] for j in range(q)] + [z[i] / u[i]] for i in range(n)]
    return torch.stack(u), torch.stack(F), torch.stack([torch.stack(row) for row in x])


def test_equations_and_gradients_are_those_of_the_paper():
    inputs = [a.clone().requires_grad_() for a in (Z, RAW, FREE)]
    z, K, L = inputs
    ours = td.dilution(K, L), td.rachford_rice(z, K, L), td.phase_compositions(z, K, L)
    loops = [
        torch.stack(each) for each in zip(*(looped(*one) for one in zip(*inputs, strict=True)), strict=True)
    ]
    for mine, theirs in zip(ours, loops, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
        weights = torch.randn_like(mine)
        slopes = [
            torch.autograd.grad((value * weights).sum(), inputs, retain_graph=True, materialize_grads=True)
            for value in (mine, theirs)
        ]
        torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-10)


def test_phases_hold_the_feed_whatever_the_sign():
    x = td.phase_compositions(Z, RAW, FREE)
    L = torch.cat([FREE, 1 - FREE.sum(-1, keepdim=True)], -1)
    torch.testing.assert_close(torch.einsum("bnp,bp->bn", x, L), Z)


def test_made_mixtures_balance():
    z, K, L, x = made(50, 9, 4)
    assert td.rachford_rice(z, K, L).abs().max() < 1e-12
    torch.testing.assert_close(td.phase_compositions(z, K, L), x)
    torch.testing.assert_close(x.sum(1), torch.ones(50, 4).double())


def test_small_factors_are_not_forgotten():
    """All but the last of the reference gone: u_i = K_i there, far below the rounding of K_i - 1."""
    K = torch.tensor([[1e-20], [2e-20]]).double()
    torch.testing.assert_close(td.dilution(K, torch.ones(1).double()), K[:, 0], rtol=1e-12, atol=0)


def test_on_the_simplex_every_dilution_is_positive():
    K = torch.randn(1000, 6, 3).double().mul(5).exp()
    L = torch.distributions.Dirichlet(torch.ones(4).double() / 4).sample((1000,))[:, :3]
    assert (td.dilution(K, L) > 0).all()


def test_independent_sigmoids_start_above_the_simplex():
    """Erratum to 10h: P - 1 fractions of 1/2 sum above one from P = 4 on, and u_i can be negative."""
    assert td.fraction_excess(torch.zeros(2).sigmoid()) == 0
    assert td.fraction_excess(torch.zeros(3).sigmoid()) == 0.5
    assert td.dilution(torch.full((1, 3), 0.1), torch.zeros(3).sigmoid()) < 0


def test_separator_is_a_softmax_over_phases():
    """Fact 1: r = L K / u = softmax(log L + log K) and x = z r / L."""
    k, L = torch.randn(4, 7, 2).double(), torch.rand(4, 3).double()
    L = L / L.sum(-1, keepdim=True)
    k3 = torch.cat([k, torch.zeros(4, 7, 1).double()], -1)
    r = (L.log().unsqueeze(1) + k3).softmax(-1)
    e = td.enrichment(k, L)
    torch.testing.assert_close(e * L.unsqueeze(1), r)
    z = torch.randn(4, 7).double()
    torch.testing.assert_close(z.unsqueeze(-1) * e, td.phase_compositions(z, k.exp(), L[:, :-1]))
    F = torch.einsum("bn,bnp->bp", z, e[..., :-1] - e[..., -1:])
    torch.testing.assert_close(F, td.rachford_rice(z, k.exp(), L[:, :-1]))


def test_enrichment_outlives_exponentials():
    e = td.enrichment(torch.tensor([[200.0], [-200.0]]), torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(e, torch.tensor([[4.0, 0.0], [0.0, 4 / 3]]))
    k, L = (
        torch.randn(3, 2).double().requires_grad_(),
        torch.tensor([0.2, 0.3, 0.5]).double().requires_grad_(),
    )
    assert torch.autograd.gradcheck(td.enrichment, (k, L))


def test_balance_is_where_prior_and_posterior_agree():
    """Fact 2: F = 0 exactly where L_j = sum_i z_i r_ij, and F_j = load_j / L_j - load_P / L_P elsewhere."""
    z, K, L, _ = made(20, 8, 3)
    for fractions, balanced in ((L, True), (L.flip(0), False)):
        full = torch.cat([fractions, 1 - fractions.sum(-1, keepdim=True)], -1)
        load = torch.einsum("bn,bnp->bp", z, td.enrichment(K.log(), full)) * full
        F = td.rachford_rice(z, K, fractions)
        torch.testing.assert_close(F, load[:, :-1] / full[:, :-1] - load[:, -1:] / full[:, -1:])
        assert torch.allclose(load, full, atol=1e-12) == balanced
        assert torch.allclose(F, torch.zeros_like(F), atol=1e-10) == balanced


def test_every_vertex_agrees_with_itself_without_balance():
    """Fact 2, on the boundary: with L_P = 1 the loads are L for any K, and F is not zero."""
    z, K, _, _ = made(5, 8, 3)
    L = torch.tensor([0.0, 0.0, 1.0]).double().expand(5, 3)
    torch.testing.assert_close(torch.einsum("bn,bnp->bp", z, td.enrichment(K.log(), L)) * L, L)
    assert td.rachford_rice(z, K, L[:, :-1]).abs().max() > 0.1


def test_equal_phases_are_a_trivial_balance():
    """Fact 4: F = 0 at K = 1 for every z and L."""
    assert td.rachford_rice(Z, torch.ones_like(RAW), FREE).abs().max() < 1e-15


def test_root_mean_square():
    F = torch.tensor([[3.0, 4.0], [0.0, 0.0]]).double().requires_grad_()
    rms = td.root_mean_square(F)
    torch.testing.assert_close(rms, torch.tensor([math.sqrt(12.5), 0.0]).double(), atol=2e-8, rtol=0)
    (slope,) = torch.autograd.grad(rms.sum(), F)
    torch.testing.assert_close(slope[0], F[0] / 2 / rms[0])
    assert (slope[1] == 0).all()


def test_constraints_of_the_simplex():
    L = torch.tensor([[0.2, 0.3], [-0.5, 0.1], [0.8, 1.25]]).double()
    expected = torch.tensor([[0, 0], [0.5, 0], [0, 0.25]]).double()
    torch.testing.assert_close(td.bound_violation(L), expected)
    torch.testing.assert_close(td.fraction_excess(L), -(1 - L.sum(-1)))


def test_the_type_of_the_input_is_kept():
    z, K, L = Z.float(), RAW.float(), FREE.float()
    for value in (td.rachford_rice(z, K, L), td.phase_compositions(z, K, L), td.root_mean_square(L)):
        assert value.dtype == torch.float32


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 3), max_size=3),
    st.lists(st.booleans(), min_size=9, max_size=9),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_leading_axes_broadcast(batch, dropped, n, q):
    """Any leading axis may be one or missing in any argument, with the result of the expanded ones."""
    shapes = [
        tuple(1 if drop else size for size, drop in zip(batch, dropped[k::3], strict=False)) for k in range(3)
    ]
    shapes[2] = shapes[2][sum(batch) % (len(batch) + 1) :]
    z, K, L = torch.rand(*shapes[0], n), torch.rand(*shapes[1], n, q), torch.rand(*shapes[2], q)
    whole = torch.broadcast_shapes(*shapes)
    full = z.expand(*whole, n), K.expand(*whole, n, q), L.expand(*whole, q)
    torch.testing.assert_close(td.rachford_rice(z, K, L), td.rachford_rice(*full), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        td.phase_compositions(z, K, L), td.phase_compositions(*full), rtol=1e-4, atol=1e-5
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("z", "K", "L"), [((1,), (3, 2), (2,)), ((3,), (3,), (3,)), ((3,), (3, 2), (1,)), ((0,), (0, 2), (2,))]
)
def test_shapes_that_disagree_are_refused(z, K, L):
    for equation in (td.rachford_rice, td.phase_compositions):
        with pytest.raises(InputError, match="do not fit"):
            equation(torch.rand(z), torch.rand(K), torch.rand(L))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("solver", [td.negative_flash, td.positive_flash])
def test_solvers_refuse_shapes_that_disagree(solver):
    with pytest.raises(InputError, match="do not fit"):
        solver(torch.rand(1), torch.rand(3, 2))
    with pytest.raises(InputError, match="do not broadcast"):
        solver(torch.rand(2, 3), torch.rand(5, 3, 1))
