r"""A budget of time: how many steps of an experiment fit into so many minutes of computing, and how long steps take.

    seconds = steps (s + e / evaluate_every) + l,   evaluate_every >= 10 e / s

s are the seconds of the passes of a step and of its update, e those of an evaluation between steps and l of
the last, of as many samples as evaluation.py allows them; all are measured on a few batches before the first step, by
the clock of the rows of metrics (`seconds`), on the device that trains. Evaluations so take a tenth of the time at
most. The plan is part of the run's configuration: a resumed run has the number of steps that it began with, at whatever
speed.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice, repeat
from typing import Any

import torch
from torch import Tensor, nn

from spinodal.data import LengthBuckets, PairWindows
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.training.build import step_samples
from spinodal.training.callbacks import clock
from spinodal.training.evaluation import judged_samples
from spinodal.training.experiment import Experiment, override
from spinodal.training.groups import training_groups
from spinodal.training.muon import MuonAdamW
from spinodal.training.passes import constrained_loss, undisturbed
from spinodal.training.prepared import PreparedData
from spinodal.training.processes import process_count
from spinodal.training.schedule import GROUPED
from spinodal.training.tasks import collator

PLANNED = ("steps", "evaluate_every")  # values of a configuration that a plan sets
BATCHES = (
    3  # of which the time is taken, after one that is not counted; three times as many of pairs in buckets
)
SHARE = 10  # times that an evaluation takes, at least, between two of them


@dataclass(frozen=True)
class Pace:
    """Seconds of a step and of an evaluation of all held-out samples, and the samples of both."""

    step: float
    evaluation: float
    trained: int  # samples of a step
    held_out: int

    def periodic_evaluation(self, every: int) -> float:
        """Seconds of an evaluation every so many steps."""
        return self.evaluation * judged_samples(self.held_out, every * self.trained) / self.held_out

    def last_evaluation(self, steps: int, judged: int) -> float:
        """Seconds of the evaluation after so many steps, of `judged` samples where it is not 0."""
        count = min(judged or judged_samples(self.held_out, steps * self.trained), self.held_out)
        return self.evaluation * count / self.held_out

    def seconds(self, experiment: Experiment, done: int = 0) -> float:
        """Seconds of the steps of an experiment after those that are done, evaluations included."""
        schedule = experiment.schedule
        between = self.periodic_evaluation(schedule.evaluate_every) / schedule.evaluate_every
        return (schedule.steps - done) * (self.step + between) + self.last_evaluation(
            schedule.steps, schedule.judged
        )


def measure_pace(experiment: Experiment, model: SpinodalPreTrainedModel, data: PreparedData) -> Pace:
    """The pace of an experiment on this machine, measured on a few batches; the model is as it was."""
    nn.Module.to(model, torch.accelerator.current_accelerator(check_available=True) or "cpu")
    step = experiment.schedule.accumulate * seconds_of_step(experiment, model, data)
    step += seconds_of_update(experiment, model)
    evaluation = seconds_of_evaluation(experiment, model, data)
    return Pace(step, evaluation, step_samples(experiment), len(data.held_out))


def plan_steps(experiment: Experiment, pace: Pace) -> Experiment:
    """The experiment with as many steps as its `minutes` hold, and evaluations that take a tenth of them at most."""
    schedule = experiment.schedule
    every = max(
        schedule.evaluate_every,
        math.ceil(SHARE * pace.periodic_evaluation(schedule.evaluate_every) / pace.step),
    )

    def fitting(last: float) -> int:
        return max(
            1, int((60 * schedule.minutes - last) / (pace.step + pace.periodic_evaluation(every) / every))
        )

    steps = fitting(pace.last_evaluation(fitting(0.0), schedule.judged))
    return override(experiment, {"steps": steps, "evaluate_every": every})


def follow_plan(experiment: Experiment, config: Mapping[str, Any]) -> Experiment:
    """The experiment with the planned values of the run it resumes, of `config`; itself without `minutes`."""
    if not experiment.schedule.minutes:
        return experiment
    return override(experiment, {name: config[name] for name in PLANNED if name in config})


def seconds_of_step(experiment: Experiment, model: SpinodalPreTrainedModel, data: PreparedData) -> float:
    """Seconds of a forward and a backward pass of a batch; the model and the random numbers are as they were."""
    samples = [[data.training[i] for i in chosen] for chosen in first_batches(experiment, data)]

    def passes(inputs: dict[str, Tensor]) -> None:
        constrained_loss(experiment, model, inputs).backward()

    with undisturbed(experiment, model, training=True):
        found = timed(experiment, model, samples, passes)
    model.zero_grad()
    return found


def first_batches(experiment: Experiment, data: PreparedData) -> list[list[int]]:
    """Indices of the batches that are timed: of pairs in buckets those of some steps, as padded as in training."""
    batch, bucket, training = experiment.schedule.batch, experiment.data.bucket, data.training
    order: Iterable[int] = (i % len(training) for i in count())
    batches = BATCHES + 1
    if bucket and isinstance(training, PairWindows):
        order = chain.from_iterable(repeat(list(LengthBuckets(training, step=batch, steps=bucket))))
        batches = 3 * BATCHES + 1
    taken = iter(order)
    return [list(islice(taken, batch)) for _ in range(batches)]


def seconds_of_update(experiment: Experiment, model: SpinodalPreTrainedModel) -> float:
    """Seconds of a step of AdamW or of Muon, on copies of the parameters; 0 of other optimisers and of sharded runs."""
    schedule = experiment.schedule
    if schedule.optimizer not in GROUPED or schedule.sharded:
        return 0.0
    groups = training_groups(model, schedule)
    for group in groups:
        group["params"] = [nn.Parameter(p.detach().clone()) for p in group["params"]]
        for p in group["params"]:
            p.grad = p.detach().clone()
    optimizer = MuonAdamW(groups) if schedule.optimizer == "muon" else torch.optim.AdamW(groups)
    device, seconds = next(model.parameters()).device, []
    for _ in range(BATCHES + 1):
        start = clock()
        optimizer.step()
        if device.type != "cpu":
            torch.accelerator.synchronize()
        seconds.append(clock() - start)
    return sum(seconds[1:]) / BATCHES


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
