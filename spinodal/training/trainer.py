r"""The training loop: Hugging Face's Trainer with the physics loss, computing time and complete checkpoints.

    loss = cross entropy + constraints(residuals)

Everything that a step draws is a function of (seed, epoch, index), and the state beyond
Trainer's own (multipliers, seconds of training) travels in `spinodal.json` of each checkpoint,
so a run killed at any moment and resumed ends bit for bit where it would have ended.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from spinodal.data import Samples
from spinodal.models.tasks import IGNORED
from spinodal.runs import SaveError, close_checkpoint, discard, encode, rotate_checkpoints, write_json
from spinodal.runs.checkpoints import kept_checkpoint
from spinodal.training.constraints import Constraints
from spinodal.training.experiment import Experiment
from spinodal.training.rates import constant_step, energy_adaptive, step_size_named
from spinodal.training.tasks import Collator, PreparedData, task_named
from spinodal.types import Progress

STATE = "spinodal.json"
KEPT = 2  # checkpoints of a run
Log = Callable[[int, Mapping[str, float]], object]  # called with a step and what was measured there, by name


def clock() -> float:
    """Seconds on a GPU's clock; on a CPU seconds of computing, a thread's share, whatever else the machine does."""
    if torch.cuda.is_available():
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def arguments(experiment: Experiment, out: Path) -> TrainingArguments:
    """Trainer's settings for an experiment: AdamW, warm-up then cosine, no network, no hidden NaN."""
    s = experiment.schedule
    return TrainingArguments(
        output_dir=str(out / "checkpoints"),
        max_steps=s.steps,
        per_device_train_batch_size=s.batch,
        per_device_eval_batch_size=4 * s.batch,
        learning_rate=s.lr,
        warmup_steps=round(s.warmup * s.steps),
        lr_scheduler_type="cosine",
        weight_decay=s.weight_decay,
        adam_beta2=0.98,
        max_grad_norm=s.clip,
        logging_steps=s.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=s.evaluate_every,
        save_steps=s.save_every,
        seed=s.seed,
        data_seed=s.seed,
        remove_unused_columns=False,
        dataloader_drop_last=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
    )


class TrainingCallback(TrainerCallback):
    """Sets the epoch of the data, times every step, reports steps and rows, and stops at a loss that is not finite."""

    def __init__(self, trainer: "PhysicsTrainer", progress: Progress | None, log: Log | None):
        self.trainer, self.progress, self.log = trainer, progress, log

    def on_train_begin(self, args, state, control, **kwargs):
        if self.progress:
            self.progress(state.global_step, state.max_steps)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.data.training.set_epoch(int(state.epoch))

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = clock()

    def on_step_end(self, args, state, control, **kwargs):
        self.trainer.seconds += clock() - self.started

    def on_log(self, args, state, control, logs, **kwargs):
        name = "loss" if "loss" in logs else "held_out_loss"
        if not math.isfinite(logs[name]):
            kept = kept_checkpoint(self.trainer.out)
            left = f"{kept} is kept" if kept else "no checkpoint was written yet"
            raise FloatingPointError(
                f"the {name} is {logs[name]} at step {state.global_step}; lower lr (now {args.learning_rate}) "
                f"or choose another parameterisation; {left}"
            )
        if self.progress:
            self.progress(state.global_step, state.max_steps)
        if self.log:
            self.log(state.global_step, logs)


class PhysicsTrainer(Trainer):
    """Trainer whose loss contains the constraints on the mixers' residuals and whose log contains their means."""

    def __init__(
        self,
        model: nn.Module,
        data: PreparedData,
        experiment: Experiment,
        out: Path,
        *,
        progress: Progress | None = None,
        log: Log | None = None,
    ):
        self.constraints = Constraints(experiment.constraint)
        self.network, self.data, self.out = model, data, out
        self.experiment, self.seconds = experiment, 0.0
        self.recorded: dict[str, list[Tensor]] = {}
        self.collate = task_named(experiment.data.task).collate
        super().__init__(
            model,
            arguments(experiment, out),
            self.collate,
            train_dataset=data.training,
            eval_dataset=data.held_out,
        )
        self.callback_handler.callbacks = [
            c for c in self.callback_handler.callbacks if type(c).__name__ != "PrinterCallback"
        ]
        self.add_callback(TrainingCallback(self, progress, log))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ):
        """Cross entropy plus constraints; residuals are asked for where they act or are logged."""
        due = (self.state.global_step + 1) % self.args.logging_steps == 0
        out = model(
            **inputs,
            scored_only=True,
            num_items_in_batch=num_items_in_batch,
            output_residuals=self.constraints.active or due,
        )
        residuals = out.residuals or {}
        for name, value in {"loss": out.loss, **residuals}.items():
            self.recorded.setdefault(name, []).append(value.detach())
        loss = out.loss
        if self.constraints.active:
            loss = loss + self.constraints.loss(residuals)
            self.constraints.ascend(self.process_mean(residuals))
        return (loss, out) if return_outputs else loss

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """AdamW, each of whose steps has the size that the experiment's `step_size` gives it."""
        optimizer = super().create_optimizer(model)
        rule = step_size_named(self.experiment.schedule.step_size)
        return optimizer if rule is constant_step else energy_adaptive(optimizer, rule)

    def process_mean(self, residuals: dict[str, Tensor]) -> dict[str, float]:
        """The residuals averaged over processes, so that every process has the same multipliers."""
        values = torch.stack([value.detach() for value in residuals.values()])
        mean = cast(Tensor, self.accelerator.reduce(values, "mean"))
        return dict(zip(residuals, mean.tolist(), strict=True))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """A row of metrics: the means since the last row, the clock and the multipliers."""
        tokens = self.state.global_step * self.args.train_batch_size * self.data.tokens
        row = {"seconds": self.seconds, "tokens": tokens * self.args.world_size}
        if "loss" in logs:
            row |= {name: float(torch.stack(values).mean()) for name, values in self.recorded.items()}
            if self.constraints.ascends:
                row |= {f"multiplier_{name}": value for name, value in self.constraints.multipliers.items()}
            row |= {"learning_rate": logs["learning_rate"], "grad_norm": logs.get("grad_norm", 0.0)}
            self.recorded.clear()
        elif "held_out_loss" in logs:
            row |= logs
        else:
            return  # Trainer's own summary of its run
        super().log(row)

    def evaluate(
        self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """{"held_out_loss"}: nats a predicted token over the held-out samples, always the same."""
        loss = held_out_loss(self.network, self.data.held_out, self.args.eval_batch_size, self.collate)
        metrics = {"held_out_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: nn.Module, trial) -> None:
        """Trainer's checkpoint, our state and the manifest that closes it; on failure the older ones stay."""
        folder = self.out / "checkpoints" / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                own = {"seconds": self.seconds, "multipliers": self.constraints.multipliers}
                write_json(folder / STATE, encode(own)[0])
                close_checkpoint(folder, experiment=self.experiment.flat())
                rotate_checkpoints(folder, keep=KEPT)
        except (OSError, RuntimeError, SafetensorError) as error:
            discard(folder)
            kept = kept_checkpoint(self.out)
            left = "the one before it is kept" if kept else "there is none before it"
            raise SaveError(f"{folder} could not be written ({error}); {left}") from error

    def resume(self, checkpoint: Path) -> None:
        """Restores seconds and multipliers from a checkpoint; Trainer restores the rest."""
        own = json.loads((checkpoint / STATE).read_text())
        self.seconds = own["seconds"]
        self.constraints.multipliers |= {name: float(value) for name, value in own["multipliers"].items()}

    def restore_end(self, checkpoint: Path) -> None:
        """Restores weights and metrics from a checkpoint of the last step, after which Trainer would take one more."""
        self._load_from_checkpoint(str(checkpoint), self.network)
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))


@torch.no_grad()
def held_out_loss(model: Any, samples: Samples, batch: int, collate: Collator) -> float:
    """-sum log p(token) / number of tokens predicted, over all samples; the model's mode is kept."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    total, count = 0.0, 0
    for items in DataLoader(samples, batch_size=batch, collate_fn=collate):
        inputs = {name: value.to(device) for name, value in items.items()}
        total += float(model(**inputs, scored_only=True, num_items_in_batch=1).loss)
        count += int((model.targets(inputs["labels"]) != IGNORED).sum())
    model.train(training)
    return total / count
