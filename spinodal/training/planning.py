r"""A budget of time: how many steps of an experiment fit into so many minutes of computing.

    steps = (60 minutes - e) / (s + e / evaluate_every),   evaluate_every >= 10 e / s

s are the seconds of the passes of a step, without the optimiser's own, e those of an evaluation, both measured on
a few batches before the first step, by the clock of the rows of metrics (`seconds`), on the device that trains.
Evaluations so take a tenth of the time at most. The plan is part of the run's configuration: a resumed run has the
number of steps that it began with, at whatever speed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.training.callbacks import clock
from spinodal.training.experiment import Experiment, override
from spinodal.training.passes import constrained_loss, undisturbed
from spinodal.training.processes import process_count
from spinodal.training.tasks import PreparedData, collator

PLANNED = ("steps", "evaluate_every")  # values of a configuration that a plan sets
BATCHES = 3  # of which the time is taken, after one that is not counted
SHARE = 10  # times that an evaluation takes, at least, between two of them


def plan_steps(experiment: Experiment, model: SpinodalPreTrainedModel, data: PreparedData) -> Experiment:
    """The experiment with as many steps as its `minutes` hold, and evaluations that take a tenth of them at most."""
    schedule = experiment.schedule
    nn.Module.to(model, torch.accelerator.current_accelerator(check_available=True) or "cpu")
    step = schedule.accumulate * seconds_of_step(experiment, model, data)
    evaluation = seconds_of_evaluation(experiment, model, data)
    every = max(schedule.evaluate_every, math.ceil(SHARE * evaluation / step))
    steps = max(1, int((60 * schedule.minutes - evaluation) / (step + evaluation / every)))
    return override(experiment, {"steps": steps, "evaluate_every": every})


def follow_plan(experiment: Experiment, config: Mapping[str, Any]) -> Experiment:
    """The experiment with the planned values of the run it resumes, of `config`; itself without `minutes`."""
    if not experiment.schedule.minutes:
        return experiment
    return override(experiment, {name: config[name] for name in PLANNED if name in config})


def seconds_of_step(experiment: Experiment, model: SpinodalPreTrainedModel, data: PreparedData) -> float:
    """Seconds of a forward and a backward pass of a batch; the model and the random numbers are as they were."""
    batch = experiment.schedule.batch
    indices = [[(k * batch + i) % len(data.training) for i in range(batch)] for k in range(BATCHES + 1)]
    samples = [[data.training[i] for i in chosen] for chosen in indices]

    def passes(inputs: dict[str, Tensor]) -> None:
        constrained_loss(experiment, model, inputs).backward()

    with undisturbed(experiment, model, training=True):
        found = timed(experiment, model, samples, passes)
    model.zero_grad()
    return found


@torch.no_grad()
def seconds_of_evaluation(
    experiment: Experiment, model: SpinodalPreTrainedModel, data: PreparedData
) -> float:
    """Seconds in which each process passes through its share of the held-out samples."""
    network: Any = model
    batch = min(4 * experiment.schedule.batch, len(data.held_out))
    samples = [[data.held_out[i] for i in range(batch)]] * (BATCHES + 1)
    with undisturbed(experiment, model, training=False):
        one = timed(experiment, model, samples, lambda inputs: network(**inputs, scored_only=True))
    return one * math.ceil(len(data.held_out) / batch / process_count())


def timed(
    experiment: Experiment,
    model: nn.Module,
    batches: Sequence[list],
    passes: Callable[[dict[str, Tensor]], object],
) -> float:
    """Mean seconds of a call of `passes` over these batches, the first, which warms up, left out."""
    collate, device, seconds = collator(experiment.data), next(model.parameters()).device, []
    for samples in batches:
        start = clock()
        passes({name: value.to(device) for name, value in collate(samples).items()})
        if device.type != "cpu":
            torch.accelerator.synchronize()
        seconds.append(clock() - start)
    return sum(seconds[1:]) / (len(seconds) - 1)
