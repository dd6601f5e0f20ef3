r"""Energy-adaptive step sizes: the learning rate of an optimiser times a factor of the gradient's size.

    theta <- theta - alpha grad J
    constant   alpha = gamma                         gradient descent                             row 15
    inverse    alpha = gamma / |grad J|              the article's: steps of length gamma         row 14
    bounded    alpha = gamma / (1 + |grad J|)        no step longer than gamma, SGD near a minimum

The article [preetham2023] proposes `inverse`; its formula is lost, and this follows its words. A step
of fixed length jumps back and forth over a minimum at a distance of gamma / 2 and cannot come nearer. `bounded`
is limited by gamma, and where |grad J| -> 0 it is gradient descent with the rate gamma. Rows are those of
docs/graph_attention.md; in training the key `step_size` chooses, and |grad J| is measured after clipping.

    symbol  meaning
    gamma   the optimiser's own learning rate, which a scheduler may change
    J       what the gradients are of: loss and residuals
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

from spinodal.errors import InputError
from spinodal.training.sharding import whole

StepSize = Callable[[float], float]  # |grad J| -> alpha / gamma


def constant_step(size: float) -> float:
    """alpha = gamma  [row 15]."""
    return 1.0


def inverse_step(size: float) -> float:
    """alpha = gamma / |grad J|: the article's, which does not converge; no step where the gradient is zero."""
    return 1 / size if size else 0.0


def bounded_step(size: float) -> float:
    """alpha = gamma / (1 + |grad J|)."""
    return 1 / (1 + size)


STEP_SIZES: dict[str, StepSize] = {
    "constant": constant_step,
    "inverse": inverse_step,
    "bounded": bounded_step,
}


def step_size_named(name: str) -> StepSize:
    """The step size of this name; InputError lists them all."""
    if name not in STEP_SIZES:
        raise InputError(f"step_size={name}: one of {', '.join(STEP_SIZES)}")
    return STEP_SIZES[name]


def gradient_norm(optimizer: Optimizer) -> float:
    """|grad J| over every parameter that has a gradient."""
    norms: list[Float[Tensor, ""]] = [
        whole(torch.linalg.vector_norm(p.grad))
        for group in optimizer.param_groups
        for p in group["params"]
        if p.grad is not None
    ]
    return float(torch.stack(norms).norm()) if norms else 0.0


def energy_adaptive(optimizer: Optimizer, step_size: StepSize = bounded_step) -> Optimizer:
    """theta <- theta - step_size(|grad J|) gamma step: each step of the optimiser at a learning rate times that factor.

    The optimiser is returned, and between steps its learning rates are its own: schedulers and checkpoints see no
    difference. With one that divides by the size of gradients itself (Adam) the factor scales what it makes of them.
    InputError for a step with a closure, which computes the gradient too late.
    """
    own: list[float | Tensor] = []

    def before(optimizer: Optimizer, args: tuple, kwargs: dict):
        if any(argument is not None for argument in (*args[1:], *kwargs.values())):
            raise InputError(
                "an energy-adaptive rate needs the gradient before the step: call backward() and then step() alone"
            )
        factor = step_size(gradient_norm(optimizer))
        own[:] = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor

    def after(optimizer: Optimizer, args: tuple, kwargs: dict):
        for group, rate in zip(optimizer.param_groups, own, strict=True):
            group["lr"] = rate

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    return optimizer
