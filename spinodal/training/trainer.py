r"""The training loop: Hugging Face's Trainer with the physics loss, computing time and complete checkpoints.

    loss = cross entropy + constraints(residuals)

Several processes (torchrun, accelerate launch) share a step: `batch` samples each. The cross entropy is the mean over
the predicted tokens of all, as one process computes it of the same samples; a residual is the mean of what each
process measures on its own.

Everything that a step draws is a function of (seed, epoch, index), and the state beyond
Trainer's own (multipliers, seconds of training) travels in `spinodal.json` of each checkpoint,
so a run killed at any moment and resumed ends bit for bit where it would have ended.
"""

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import RandomSampler, Sampler
from transformers import Trainer, TrainerState
from transformers.trainer import SCHEDULER_NAME, TRAINER_STATE_NAME

from spinodal.data import LengthBuckets, PairWindows
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.runs import (
    SaveError,
    close_checkpoint,
    decode,
    discard,
    encode,
    rotate_checkpoints,
    write_json,
)
from spinodal.runs.checkpoints import kept_checkpoint
from spinodal.training.arguments import arguments
from spinodal.training.build import step_samples
from spinodal.training.callbacks import TrainingCallback
from spinodal.training.constraints import Constraints
from spinodal.training.evaluation import held_out_loss, judged_samples
from spinodal.training.experiment import Experiment
from spinodal.training.finite import first_nonfinite
from spinodal.training.groups import training_groups
from spinodal.training.memory import enable_checkpointing
from spinodal.training.muon import MuonAdamW
from spinodal.training.passes import undisturbed
from spinodal.training.prepared import PreparedData
from spinodal.training.processes import process_count, process_rank
from spinodal.training.rates import constant_step, energy_adaptive, step_size_named
from spinodal.training.records import Part
from spinodal.training.resumption import refuse_other_digests
from spinodal.training.schedule import GROUPED
from spinodal.training.sharding import (
    is_sharded,
    load_moments,
    load_weights,
    moments_of,
    save_shards,
    shard,
    whole,
)
from spinodal.training.tasks import collator, task_named
from spinodal.types import Progress

STATE = "spinodal.json"
SKIPS = 10  # steps that may be left out one after another
Log = Callable[[int, Mapping[str, float]], object]  # called with a step and what was measured there, by name
Show = Callable[[list[dict[str, float]]], object]  # called with all rows of metrics so far


class PhysicsTrainer(Trainer):
    """Trainer whose loss contains the constraints on the mixers' residuals and whose log contains their means."""

    def __init__(
        self,
        model: SpinodalPreTrainedModel,
        data: PreparedData,
        experiment: Experiment,
        out: Path,
        *,
        progress: Progress | None = None,
        log: Log | None = None,
        show: Show | None = None,
    ):
        self.constraints = Constraints(experiment.constraint)
        self.network, self.data, self.out, self.show = model, data, out, show
        self.experiment, self.seconds = experiment, 0.0
        self.split = {"processes": process_count()} if process_count() > 1 else {}
        self.step_values: dict[str, list[Tensor]] = {}  # of the parts of a step
        self.recorded: dict[str, list[Tensor]] = {}  # of the steps since the last row
        self.parts: list[Part] = []
        self.skipping, self.skipped, self.skipped_in_a_row = False, 0, 0
        self.terminated: Callable[[], bool] = lambda: False
        self.collate = collator(experiment.data)
        super().__init__(
            model,
            arguments(experiment, out),
            self.collate,
            train_dataset=data.training,
            eval_dataset=data.held_out,
        )
        if experiment.schedule.activation_checkpointing:
            enable_checkpointing(model)
        self.sharded = experiment.schedule.sharded
        if self.sharded:
            shard(model)
            self.accelerator.prepare_model = partial(
                self.accelerator.prepare_model, evaluation_mode=True
            )  # no DDP
        self.callback_handler.callbacks = [
            c for c in self.callback_handler.callbacks if type(c).__name__ != "PrinterCallback"
        ]
        self.add_callback(TrainingCallback(self, progress, log))
        if process_rank():  # else dropout would hide the same places in every process
            torch.manual_seed(experiment.schedule.seed + process_rank())

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ):
        """Cross entropy plus constraints; residuals are asked for where they act or are logged.

        `num_items_in_batch` counts the predicted tokens of all processes, whose gradients are averaged: hence the
        factor of their number.
        """
        due = (self.state.global_step + 1) % self.args.logging_steps == 0
        out = model(
            **inputs,
            scored_only=True,
            num_items_in_batch=num_items_in_batch,
            output_residuals=self.constraints.active or due,
        )
        residuals, loss = out.residuals or {}, out.loss * self.args.world_size
        for name, value in {"loss": loss, **residuals}.items():
            self.step_values.setdefault(name, []).append(value.detach())
        if self.constraints.active:
            loss = loss + self.constraints.loss(residuals) / self.current_gradient_accumulation_steps
        return (loss, out) if return_outputs else loss

    def end_step(self) -> None:
        """Records loss and mean residuals of a step and updates the multipliers, unless it was skipped."""
        values = {
            name: torch.stack(parts).sum() if name == "loss" else torch.stack(parts).mean()
            for name, parts in self.step_values.items()
        }
        self.step_values.clear()
        if self.skipping:
            self.skipping = False
            return
        self.skipped_in_a_row = 0
        for name, value in values.items():
            self.recorded.setdefault(name, []).append(value)
        if self.constraints.ascends:
            values.pop("loss")
            self.constraints.ascend(self.process_mean(values))

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clips the gradient and returns its norm; one that is not finite ends training, or the step is skipped."""
        parameters = [p for p in model.parameters() if p.grad is not None]
        split_norm = nn.utils.get_total_norm([cast(Tensor, p.grad) for p in parameters])
        norm = whole(split_norm)
        if norm.isfinite():
            nn.utils.clip_grads_with_norm_(parameters, self.args.max_grad_norm, split_norm)
            return norm
        gradients = ((name, p.grad) for name, p in self.network.named_parameters() if p.grad is not None)
        first, step = first_nonfinite(gradients) or "all together", self.state.global_step + 1
        loss = float(torch.stack(self.step_values["loss"]).sum())
        told = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient is {float(norm)}"
        told = f"{told} at step {step}; {self.advice()}; the first gradient that is not finite is that of {first}"
        self.skipping, self.skipped, self.skipped_in_a_row = True, self.skipped + 1, self.skipped_in_a_row + 1
        if self.experiment.schedule.nonfinite == "stop":
            raise FloatingPointError(f"{told}; nonfinite=skip leaves such a step out")
        if self.skipped_in_a_row > SKIPS:
            raise FloatingPointError(f"{told}; {SKIPS} steps before it were skipped")
        return norm

    def advice(self) -> str:
        """For an error message: what helps against values not finite, and which checkpoint is kept."""
        kept = kept_checkpoint(self.out)
        return (
            f"lower lr (now {self.args.learning_rate}) or choose another parameterisation; "
            f"{f'{kept} is kept' if kept else 'no checkpoint was written yet'}"
        )

    @property
    def samples(self) -> int:
        """The number of samples of a step, of all processes."""
        return step_samples(self.experiment)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        """The sampler of an epoch: whole steps of samples in random order, or of buckets of like length."""
        steps, training = self.experiment.data.bucket, self.data.training
        if steps and isinstance(training, PairWindows):
            seed = self.experiment.schedule.seed
            return LengthBuckets(training, step=self.samples, steps=steps, seed=seed)
        return RandomSampler(
            self.data.training, num_samples=len(self.data.training) // self.samples * self.samples
        )

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """The optimiser of the schedule, its learning rate scaled by the rule `step_size` in each step."""
        schedule = self.experiment.schedule
        if schedule.optimizer in GROUPED:
            groups = training_groups(self.network, schedule)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            muon = schedule.optimizer == "muon"
            self.optimizer = MuonAdamW(groups, betas=options["betas"]) if muon else kind(groups, **options)
        optimizer = super().create_optimizer(model)
        rule = step_size_named(schedule.step_size)
        return optimizer if rule is constant_step else energy_adaptive(optimizer, rule)

    def process_mean(self, values: dict[str, Tensor]) -> dict[str, float]:
        """{name: mean over processes} of these values, the same in every process."""
        mean = cast(Tensor, self.accelerator.reduce(torch.stack(list(values.values())), "mean"))
        return dict(zip(values, mean.tolist(), strict=True))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds a row of metrics: means since the last row, seconds, tokens and the multipliers."""
        tokens = self.state.global_step * self.samples * self.data.tokens
        row: dict[str, Any] = {"seconds": self.seconds, "tokens": tokens}
        if "loss" in logs:
            if not self.recorded:
                return  # every step since the last row was skipped
            row |= self.process_mean({name: torch.stack(v).mean() for name, v in self.recorded.items()})
            if self.constraints.ascends:
                row |= {f"multiplier_{name}": value for name, value in self.constraints.multipliers.items()}
            row |= {"learning_rate": logs["learning_rate"], "grad_norm": logs.get("grad_norm", 0.0)}
            if self.skipped:
                row["skipped"] = self.skipped
            self.recorded.clear()
        elif "held_out_loss" in logs:
            row |= logs
        else:
            return  # Trainer's own summary of its run
        super().log(row)

    def evaluate(
        self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """{"held_out_loss": nats per predicted token}, over `held_out_count` held-out samples; it is logged as well."""
        held_out, batch = self.data.held_out, self.args.eval_batch_size
        loss = held_out_loss(self.network, held_out, batch, self.collate, count=self.held_out_count)
        metrics = {"held_out_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @property
    def held_out_count(self) -> int:
        """The number of held-out samples that an evaluation reads at this step."""
        held_out, schedule = len(self.data.held_out), self.experiment.schedule
        last = min(schedule.judged or judged_samples(held_out, schedule.steps * self.samples), held_out)
        if self.state.global_step >= self.state.max_steps:
            return last
        return min(last, judged_samples(held_out, schedule.evaluate_every * self.samples))

    def task_numbers(self, loss: float) -> dict[str, float]:
        """What the task says of a held-out loss, and of the model as it is: a perplexity, a share of errors."""
        if self.sharded:
            return {}
        with undisturbed(self.experiment, self.network, training=False):
            return task_named(self.experiment.data.task).progress(self.network, self.data, loss)

    @property
    def rows(self) -> list[dict[str, float]]:
        """The rows of metrics so far, by step."""
        return [{k: v for k, v in row.items() if k != "epoch"} for row in self.state.log_history]

    def _save_checkpoint(self, model: nn.Module, trial) -> None:
        """Writes Trainer's checkpoint, `own_state` and the manifest; after a failure the older ones stay."""
        folder = self.out / "checkpoints" / f"checkpoint-{self.state.global_step}"
        moments = moments_of(self.network, self.plain_optimizer())
        named = ((f"{kind} of {name}", value) for name, kind, value in moments)
        if name := first_nonfinite([*self.network.named_parameters(), *named]):
            raise FloatingPointError(
                f"{name} is not finite after step {self.state.global_step}, which is not saved; {self.advice()}"
            )
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()  # each process writes a file of its own
            if self.args.should_save:
                write_json(folder / STATE, encode(self.own_state())[0])
                close_checkpoint(folder, experiment=self.experiment.flat() | self.split)
                schedule = self.experiment.schedule
                rotate_checkpoints(folder, keep=schedule.save_total, spare=schedule.spare)
        except (OSError, RuntimeError, SafetensorError) as error:
            if self.args.should_save:
                discard(folder)
            kept = kept_checkpoint(self.out)
            left = "the one before it is kept" if kept else "there is none before it"
            raise SaveError(f"{folder} could not be written ({error}); {left}") from error

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Writes the model's configuration and weights; sharded weights are written with the moments."""
        if self.sharded:
            self.network.config.save_pretrained(cast(str, output_dir))
        else:
            super()._save(output_dir, state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.sharded:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        save_shards(Path(output_dir), self.network, self.plain_optimizer())
        if self.args.should_save:
            torch.save(cast(LRScheduler, self.lr_scheduler).state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if is_sharded(Path(resume_from_checkpoint)):
            load_weights(Path(resume_from_checkpoint), self.network)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self.sharded:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        optimizer, scheduler = self.plain_optimizer(), cast(LRScheduler, self.lr_scheduler)
        load_moments(Path(checkpoint), self.network, optimizer)
        scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
        for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
            group["lr"] = rate

    def plain_optimizer(self) -> Optimizer:
        """The optimiser without accelerate's wrapper."""
        return getattr(self.optimizer, "optimizer", cast(Optimizer, self.optimizer))

    def own_state(self) -> dict[str, Any]:
        """The state that an exact resumption needs and Trainer does not save: seconds, multipliers, ..."""
        recorded = {
            name: {
                "type": str(values[0].dtype).removeprefix("torch."),
                "values": torch.stack(values).tolist(),
            }
            for name, values in self.recorded.items()
        }
        return {
            "seconds": self.seconds, "multipliers": self.constraints.multipliers, "recorded": recorded,
            "skipped": self.skipped, "digests": self.data.digests, "parts": self.parts,
            "warmup_steps": self.args.warmup_steps,
        }  # fmt: skip

    def resume(self, checkpoint: Path) -> None:
        """Restores what `own_state` saved in a checkpoint; Trainer restores the rest.

        InputError where the text or the tokenizer is not what it was.
        """
        own = json.loads((checkpoint / STATE).read_text())
        refuse_other_digests(checkpoint, own.get("digests", {}), self.data.digests)
        self.seconds, self.skipped = own["seconds"], own.get("skipped", 0)
        self.args.warmup_steps = own.get("warmup_steps", self.args.warmup_steps)  # of the run as it began
        self.constraints.multipliers |= {name: float(value) for name, value in own["multipliers"].items()}
        self.parts = [decode(Part, part, {}) for part in own.get("parts", [])]
        for name, kept in own.get("recorded", {}).items():
            values = torch.tensor([float(v) for v in kept["values"]], dtype=getattr(torch, kept["type"]))
            self.recorded[name] = list(values.to(self.args.device))

    def restore_end(self, checkpoint: Path) -> None:
        """Restores weights and metrics from a checkpoint of the last step, after which Trainer would take one more."""
        self._load_from_checkpoint(str(checkpoint), self.network)
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
