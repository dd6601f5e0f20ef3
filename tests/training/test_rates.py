"""Rates: the article's does not converge, the bounded one does, and a constant one is the optimiser itself."""

from collections.abc import Callable

import pytest
import torch
from marks import slow_but
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from spinodal.errors import InputError
from spinodal.mixers.graph.flow import GraphFlowAttention
from spinodal.training.constraints import Constraint, Constraints
from spinodal.training.rates import bounded_step, constant_step, energy_adaptive, gradient_norm, inverse_step

HESSIAN = torch.diag(torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64))
START = torch.tensor([3.0, -2.0, 5.0], dtype=torch.float64)


def path(make: Callable[[list[Tensor]], Optimizer], *, steps: int = 800) -> Tensor:
    """theta along the descent of theta H theta / 2."""
    theta = nn.Parameter(START.clone())
    optimizer, found = make([theta]), []
    for _ in range(steps):
        optimizer.zero_grad()
        (theta @ HESSIAN @ theta / 2).backward()
        optimizer.step()
        found.append(theta.detach().clone())
    return torch.stack(found)


@pytest.mark.slow
def test_the_articles_rate_does_not_converge_and_the_bounded_one_does():
    gamma = 0.5
    article = path(lambda p: energy_adaptive(SGD(p, lr=gamma), inverse_step))
    safe = path(lambda p: energy_adaptive(SGD(p, lr=gamma), bounded_step))
    moved = article.diff(dim=0).norm(dim=1)
    torch.testing.assert_close(moved, torch.full_like(moved, gamma), rtol=1e-9, atol=0)
    assert article[-500:].norm(dim=1).max() > gamma / 4
    assert safe[-1].norm() < 1e-12
    assert ((HESSIAN.diagonal() * safe.square()).sum(1).diff() <= 0).all()
    for smaller in (0.1, 0.01):  # nor is it a matter of a smaller gamma: the floor shrinks with it, and stays
        kept = path(lambda p, g=smaller: energy_adaptive(SGD(p, lr=g), inverse_step))
        assert kept[-500:].norm(dim=1).max() > smaller / 4


def test_a_bounded_step_is_never_longer_than_gamma():
    theta = nn.Parameter(torch.tensor([1e6], dtype=torch.float64))
    optimizer = energy_adaptive(SGD([theta], lr=0.1))
    theta.square().sum().backward()
    optimizer.step()
    assert 1e6 - theta.item() == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop])
def test_a_constant_rate_is_the_optimiser_itself_bit_for_bit(kind: Callable[..., Optimizer]):
    own = path(lambda p: kind(p, lr=0.1), steps=50)
    assert torch.equal(own, path(lambda p: energy_adaptive(kind(p, lr=0.1), constant_step), steps=50))


def test_a_constant_rate_is_theta_minus_alpha_times_the_gradient():
    theta, found = START.clone(), path(lambda p: energy_adaptive(SGD(p, lr=0.1), constant_step), steps=20)
    for expected in found:
        theta = theta - 0.1 * (HESSIAN @ theta)
        torch.testing.assert_close(theta, expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop])
def test_each_step_is_the_optimisers_at_the_rate_of_that_gradient(kind: Callable[..., Optimizer]):
    ours, theirs = nn.Parameter(START.clone()), nn.Parameter(START.clone())
    scaled, plain = energy_adaptive(kind([ours], lr=0.1)), kind([theirs], lr=0.1)
    for _ in range(10):
        ours.grad, theirs.grad = HESSIAN @ ours.detach(), HESSIAN @ theirs.detach()
        size = float(theirs.grad.norm())
        assert gradient_norm(scaled) == pytest.approx(size, rel=1e-14)
        plain.param_groups[0]["lr"] = 0.1 / (1 + size)
        scaled.step()
        plain.step()
        assert scaled.param_groups[0]["lr"] == 0.1
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=0)


def test_schedulers_checkpoints_and_groups_see_the_optimisers_own_rates():
    weights = [nn.Parameter(START.clone()) for _ in range(2)]
    groups = [{"params": [weights[0]], "lr": 0.1}, {"params": [weights[1]], "lr": 0.01}]
    optimizer = energy_adaptive(SGD(groups))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.state_dict()["param_groups"]] == [0.05, 0.005]
    moved = [(START - weight.detach())[0].item() for weight in weights]
    assert moved == pytest.approx([0.1 / (1 + 6**0.5), 0.01 / (1 + 6**0.5)])


def test_a_closure_is_refused():
    theta = nn.Parameter(START.clone())
    with pytest.raises(InputError, match=r"step\(\) alone"):
        energy_adaptive(torch.optim.LBFGS([theta])).step(lambda: float(theta.square().sum()))


def test_without_a_gradient_nothing_moves():
    theta = nn.Parameter(START.clone())
    for step_size in (inverse_step, bounded_step):
        optimizer = energy_adaptive(SGD([theta], lr=0.1), step_size)
        optimizer.step()
        theta.grad = torch.zeros_like(theta)
        optimizer.step()
        assert torch.equal(theta, START)


@pytest.mark.parametrize("name", slow_but(["density", "energy", "l1"], "density"))
def test_a_regularised_loss_is_the_loss_and_lambda_times_its_residual(name: str):
    """J = L + lambda R: R falls as lambda grows, and without it training is what it was."""
    reached = []
    for rate in (0.0, 0.3, 3.0):
        torch.manual_seed(0)
        mixer, x = GraphFlowAttention(16, heads=2), torch.randn(4, 8, 16)
        target = torch.randn(4, 8, 16)
        optimizer = Adam(mixer.parameters(), lr=0.01)
        constraints = Constraints(Constraint("penalty", name, 0.0, rate) if rate else Constraint())
        for _ in range(25):
            mixed = mixer(x, residuals=True)
            loss = (mixed.tokens - target).square().mean()
            if constraints.active:
                added = constraints.loss(mixed.reported)
                torch.testing.assert_close(added, rate * mixed.reported[name])
                loss = loss + added
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reached.append(mixer(x, residuals=True).reported[name].item())
    assert reached[0] > 1.1 * reached[1]
    assert reached[1] > 1.02 * reached[2] > 0
