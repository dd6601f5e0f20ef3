"""Mass action: against loops, complex logarithms and reactions whose equilibrium is known."""

import cmath
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spinodal import thermodynamics as td
from spinodal.errors import InputError

torch.manual_seed(0)
B, N, P, R = 2, 5, 3, 2
X = torch.randn(B, N, P).double()
Z = torch.randn(B, N).double()
SHARED, OWN = torch.randn(B, N, R).double(), torch.randn(B, N, P, R).double()
OMEGA, OMEGAS = torch.randn(B, R).double(), torch.randn(B, P, R).double()


def looped(z, s, omega):
    """g1 and g2 of one reaction, as eqs. 7 and 10d-f write them."""
    g1 = sum(s[i] * z[i].abs().log() for i in range(len(z))) - omega.abs().log()
    t = [s[i] if z[i] < 0 else 0 * s[i] for i in range(len(z))]
    return g1, sum(t) - (1.0 if omega < 0 else 0.0)


def type_one(z, x, shared, own, omega, omegas):
    loops = [[looped(z[b], shared[b, :, k], omega[b, k]) for k in range(R)] for b in range(B)]
    return td.mass_action(z, shared, omega), loops


def type_two(z, x, shared, own, omega, omegas):
    loops = [
        [looped(x[b, :, j], shared[b, :, k], omega[b, k]) for j in range(P) for k in range(R)]
        for b in range(B)
    ]
    return td.phase_mass_action(x, shared.unsqueeze(-2), omega.unsqueeze(-2)), loops


def type_three(z, x, shared, own, omega, omegas):
    loops = [
        [looped(x[b, :, j], own[b, :, j, k], omegas[b, j, k]) for j in range(P) for k in range(R)]
        for b in range(B)
    ]
    return td.phase_mass_action(x, own, omegas), loops


@pytest.mark.parametrize("system", [type_one, type_two, type_three])
def test_residuals_and_gradients_are_those_of_the_paper(system):
    inputs = [a.clone().requires_grad_() for a in (Z, X, SHARED, OWN, OMEGA, OMEGAS)]
    ours, loops = system(*inputs)
    for which, mine in enumerate(ours):
        theirs = torch.stack([torch.stack([pair[which] for pair in row]) for row in loops])
        torch.testing.assert_close(mine.flatten(1), theirs)
        weights = torch.randn_like(theirs)
        slopes = [
            torch.autograd.grad((value * weights).sum(), inputs, retain_graph=True, materialize_grads=True)
            for value in (mine.flatten(1), theirs)
        ]
        torch.testing.assert_close(*slopes)


@given(
    st.lists(
        st.tuples(st.floats(-2, 2).filter(lambda z: abs(z) > 0.1), st.integers(-3, 3)), min_size=1, max_size=5
    )
)
def test_signs_are_those_of_the_complex_logarithm(components):
    """With Omega = exp(sum s log z), a real number for whole s: g1 = 0 and g2 is even."""
    product = cmath.exp(sum(s * cmath.log(z) for z, s in components))
    assert abs(product.imag) < 1e-9 * abs(product)
    z, s = (torch.tensor(column, dtype=torch.float64) for column in zip(*components, strict=True))
    g = td.mass_action(z, s.unsqueeze(-1), torch.tensor([product.real], dtype=torch.float64))
    assert abs(g.magnitude) < 1e-9
    assert g.sign % 2 == 0


def test_the_sign_condition_asks_for_more_than_the_signs():
    """Fact 6: (-2)^2 = 4 is an equilibrium, and g2 = 2 all the same."""
    g = td.mass_action(torch.tensor([-2.0]), torch.tensor([[2.0]]), torch.tensor([4.0]))
    assert g.magnitude.abs() < 1e-6
    assert g.sign == 2


def test_the_sign_condition_moves_no_composition():
    """Fact 6: the gradient of g2 reaches s alone."""
    z, s, omega = (a.clone().requires_grad_() for a in (Z, SHARED, OMEGA))
    (slope,) = torch.autograd.grad(td.mass_action(z, s, omega).sign.sum(), s)
    torch.testing.assert_close(slope, (Z < 0).double().unsqueeze(-1).expand_as(s))
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(td.mass_action(z, s, omega).sign.sum(), z)


def test_the_sign_condition_depends_on_the_phase():
    """Erratum to 11b-c: one component negative in one phase alone, so t differs from phase to phase."""
    g = td.phase_mass_action(torch.tensor([[1.0, -1.0]]), torch.tensor([[[3.0]]]), torch.tensor([[1.0]]))
    assert g.sign.flatten().tolist() == [0.0, 3.0]


def test_a_reaction_of_ideal_gases():
    """H2 + I2 <-> 2 HI from half a mole of each, half of it reacted: Omega = .5^2 / .25^2."""
    g = td.mass_action(
        torch.tensor([0.25, 0.25, 0.5]).double(),
        torch.tensor([[-1.0], [-1.0], [2.0]]).double(),
        torch.tensor([4.0]).double(),
    )
    assert g.magnitude.abs() < 1e-14
    assert g.sign == 0


def test_no_reaction_is_a_trivial_equilibrium():
    """Fact 4: s = 0 and Omega = 1."""
    g = td.mass_action(Z, torch.zeros_like(SHARED), torch.ones_like(OMEGA))
    assert (g.magnitude == 0).all()
    assert (g.sign == 0).all()


def test_type_two_is_type_one_and_an_orthogonality():
    """Fact 5: differences over phases are S^T log K_j = 0."""
    x, s = X.abs(), SHARED
    g = td.phase_mass_action(x, s.unsqueeze(-2), OMEGA.unsqueeze(-2)).magnitude
    log_K = (x[..., :-1] / x[..., -1:]).log()
    torch.testing.assert_close(g[:, :-1] - g[:, -1:], torch.einsum("bnr,bnq->bqr", s, log_K))
    torch.testing.assert_close(g[:, -1], td.mass_action(x[..., -1], s, OMEGA).magnitude)


def test_log_magnitude():
    z = torch.tensor([-2.0, 1e-30, 3.0])
    torch.testing.assert_close(td.log_magnitude(z), z.abs().log())
    assert td.log_magnitude(torch.zeros(1)) == -math.inf
    z = torch.linspace(-1, 1, 401).double().requires_grad_()
    value = td.log_magnitude(z, eps=1e-2)
    torch.testing.assert_close(value, 0.5 * (z**2 + 1e-4).log())
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert slope.isfinite().all()
    assert slope.abs().max() <= 1 / (2 * 1e-2) + 1e-9


def test_mass_action_in_single_precision_and_broadcast():
    g = td.phase_mass_action(X.float(), OWN[0].float(), OMEGAS[:1].float(), eps=1e-2)
    assert g.magnitude.dtype == g.sign.dtype == torch.float32
    expected = td.phase_mass_action(X, OWN[:1].expand_as(OWN), OMEGAS[:1].expand_as(OMEGAS), eps=1e-2)
    torch.testing.assert_close(g.magnitude.double(), expected.magnitude, rtol=1e-4, atol=1e-4)


def test_degrees_of_freedom():
    assert td.degrees_of_freedom(10, 3, 2) == 5
    assert td.degrees_of_freedom(10, 3, 2, per_phase=True) == 1 == td.degrees_of_freedom(10, 3, 3 * 2)
    assert td.degrees_of_freedom(5, 3, 2) == 0


@pytest.mark.parametrize(("n", "p", "r", "per_phase"), [(4, 3, 2, False), (8, 3, 2, True), (9, 0, 1, False)])
def test_too_few_degrees_of_freedom_are_refused(n, p, r, per_phase):
    with pytest.raises(InputError, match=f"{n} components, {p} phases and {r} reactions"):
        td.degrees_of_freedom(n, p, r, per_phase=per_phase)
