r"""Rates that read the gradient of the energy: an optimiser's own step, longer or shorter as it goes.

    theta <- theta - alpha grad J                    alpha constant: gradient descent         row 15
    article   alpha = gamma / |grad J|               steps of length gamma: no convergence    row 14
    safe      alpha = gamma / (1 + |grad J|)         gamma far from a minimum, as SGD at it

The article [preetham2023] proposes the first rate; its formula is lost and this is what its words say. A step
of fixed length jumps back and forth over a minimum at a distance of gamma / 2 and cannot come nearer. The
second is bounded by gamma, and where |grad J| -> 0 it is gradient descent with the rate gamma.

    symbol  meaning
    gamma   the optimiser's own rate, which a scheduler may change
    J       what the gradients are of: loss and residuals
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from spinodal.errors import InputError

Pace = Callable[[float], float]


def constant(size: float) -> float:
    """alpha = gamma  [row 15]."""
    return 1.0


def inverse(size: float) -> float:
    """alpha = gamma / |grad J|: the article's, which does not converge; no step where the gradient is zero."""
    return 1 / size if size else 0.0


def bounded(size: float) -> float:
    """alpha = gamma / (1 + |grad J|)."""
    return 1 / (1 + size)


def gradient_norm(optimizer: Optimizer) -> float:
    """|grad J| over every parameter that has a gradient."""
    norms: list[Float[Tensor, ""]] = [
        torch.linalg.vector_norm(p.grad)
        for group in optimizer.param_groups
        for p in group["params"]
        if p.grad is not None
    ]
    return float(torch.stack(norms).norm()) if norms else 0.0


def energy_adaptive(optimizer: Optimizer, pace: Pace = bounded) -> Optimizer:
    """The same optimiser, whose every step takes its rates times pace(|grad J|).

    Between steps the rates are its own: schedulers and checkpoints see no difference. With an optimiser that
    divides by the size of gradients itself (Adam) the pace acts on what it makes of them. InputError for a step
    with a closure, which knows the gradient too late.
    """
    own: list[float | Tensor] = []

    def before(optimizer: Optimizer, args: tuple, kwargs: dict):
        if any(argument is not None for argument in (*args[1:], *kwargs.values())):
            raise InputError(
                "an energy-adaptive rate needs the gradient before the step: call backward() and then step() alone"
            )
        factor = pace(gradient_norm(optimizer))
        own[:] = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor

    def after(optimizer: Optimizer, args: tuple, kwargs: dict):
        for group, rate in zip(optimizer.param_groups, own, strict=True):
            group["lr"] = rate

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    return optimizer
