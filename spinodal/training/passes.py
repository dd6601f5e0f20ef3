"""Passes through a model before it is trained, which leave it and the random numbers as they were."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spinodal.training.constraints import Constraints
from spinodal.training.experiment import Experiment


@contextmanager
def undisturbed(experiment: Experiment, model: nn.Module, *, training: bool) -> Iterator[None]:
    """The model in training or evaluation mode and the run's precision; mode, buffers, random numbers come back."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]  # some count the calls of training
    mode = model.training
    model.train(training)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng())
        if experiment.schedule.precision == "bf16":
            device = next(model.parameters()).device.type
            stack.enter_context(torch.autocast(device, dtype=torch.bfloat16))
        yield
    model.train(mode)
    for buffer, before in buffers:
        buffer.copy_(before)


def constrained_loss(experiment: Experiment, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """The loss of a batch with the constraint of the experiment, as training begins with it."""
    constraints, network = Constraints(experiment.constraint), model
    out: Any = network(**inputs, scored_only=True, output_residuals=constraints.active)
    return out.loss + constraints.loss(out.residuals) if constraints.active else out.loss
