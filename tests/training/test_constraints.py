"""Penalty, dual ascent and augmented Lagrangian on a problem whose multiplier is known."""

import pytest
import torch
from marks import slow_but

from spinodal.errors import InputError
from spinodal.training.constraints import Constraint, Constraints

# minimise (x - 2)^2 subject to x <= 1: x = 1, and 2 (x - 2) + lambda = 0 gives lambda = 2


def solved(method: str, rate: float, steps: int = 3000) -> tuple[float, float]:
    constraints = Constraints(Constraint(method, "F", 1.0, rate))
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        loss = (x - 2).square() + constraints.loss({"F": x})
        (gradient,) = torch.autograd.grad(loss, x)
        x.data -= 0.02 * gradient
        constraints.ascend({"F": x.item()})
    return x.item(), constraints.multipliers["F"]


@pytest.mark.parametrize("method", slow_but(["dual", "augmented"], "dual"))
def test_multipliers_find_the_kkt_point(method: str):
    x, multiplier = solved(method, rate=0.05)
    assert x == pytest.approx(1.0, abs=1e-6)
    assert multiplier == pytest.approx(2.0, abs=1e-5)


@pytest.mark.slow
def test_penalty_is_exact_above_the_multiplier_and_biased_below():
    assert solved("penalty", rate=1.0)[0] == pytest.approx(1.5, abs=1e-6)  # 2 (x - 2) + 1 = 0
    assert solved("penalty", rate=5.0)[0] == pytest.approx(1.0, abs=0.1)  # rattles about the kink


def test_a_penalty_has_no_multiplier():
    assert solved("penalty", rate=1.0, steps=300)[1] == 0


def test_a_residual_below_its_tolerance_costs_nothing():
    for method in ("penalty", "dual", "augmented"):
        constraints = Constraints(Constraint(method, "F", 1.0, 0.1))
        F = torch.tensor(0.5, requires_grad=True)
        loss = constraints.loss({"F": F})
        assert loss.item() == 0
        assert torch.autograd.grad(loss, F)[0].item() == 0
        constraints.ascend({"F": 0.5})
        assert constraints.multipliers["F"] == 0


def test_augmented_gradient_is_the_raised_multiplier():
    constraints = Constraints(Constraint("augmented", "F", 0.2, 0.3))
    constraints.multipliers["F"] = 0.7
    F = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(constraints.loss({"F": F, "g2": F}), F)
    assert gradient.item() == pytest.approx(0.7 + 0.3 * (0.9 - 0.2))


def test_only_named_residuals_act():
    constraints = Constraints(Constraint("penalty", "F, g1", 0.0, 1.0))
    residuals = {name: torch.tensor(1.0, requires_grad=True) for name in ("F", "g1", "g2", "spread")}
    loss = constraints.loss(residuals)
    gradients = torch.autograd.grad(loss, list(residuals.values()), allow_unused=True)
    assert [g is not None for g in gradients] == [True, True, False, False]


@pytest.mark.parametrize(
    ("method", "names", "tolerance", "rate", "said"),
    [
        ("lagrange", "F", 0.1, 0.1, "method=lagrange"),
        ("dual", "F,g3", 0.1, 0.1, "g3"),
        ("dual", "F", -0.1, 0.1, "tolerance=-0.1"),
        ("dual", "F", 0.1, 0.0, "rate=0"),
    ],
)
def test_wrong_values_are_named(method: str, names: str, tolerance: float, rate: float, said: str):
    with pytest.raises(InputError, match=said):
        Constraint(method, names, tolerance, rate)


def test_a_model_without_the_residual_is_refused():
    with pytest.raises(InputError, match="reports none"):
        Constraints(Constraint("dual", "F")).loss({})
