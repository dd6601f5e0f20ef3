"""The training callback: it sets epochs, times steps, reports rows and progress, and stops after SIGTERM."""

import math
import time
from typing import TYPE_CHECKING

import torch
from transformers import TrainerCallback

from spinodal.training.finite import first_nonfinite
from spinodal.training.processes import any_of
from spinodal.types import Progress

if TYPE_CHECKING:
    from spinodal.training.trainer import Log, PhysicsTrainer

SHARE = 0.01  # of the time, at most, that goes into writing the rows of an unfinished run


def clock() -> float:
    """Seconds from an arbitrary origin: wall time with a GPU, else the process's CPU time per thread."""
    if torch.cuda.is_available():
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


class TrainingCallback(TrainerCallback):
    """Sets the epoch of the data, times every step, reports steps and rows, and stops at a loss that is not finite."""

    def __init__(self, trainer: "PhysicsTrainer", progress: Progress | None, log: "Log | None"):
        self.trainer, self.progress, self.log = trainer, progress, log
        self.due = -math.inf  # when the rows are written next

    def on_train_begin(self, args, state, control, **kwargs):
        state.compute_steps(args, state.max_steps)  # else a resumed run keeps those of its checkpoint
        self.show_rows()
        if self.progress:
            self.progress(state.global_step, state.max_steps)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.data.training.set_epoch(int(state.epoch))

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = clock()

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        if self.trainer.skipping:
            model.zero_grad()  # without gradients a step changes nothing

    def on_step_end(self, args, state, control, **kwargs):
        self.trainer.end_step()
        self.trainer.seconds += clock() - self.started
        if any_of(self.trainer.terminated()):
            control.should_save = control.should_training_stop = True
        if state.global_step == self.trainer.experiment.schedule.spare:
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        self.due = -math.inf
        self.show_rows()

    def on_log(self, args, state, control, logs, **kwargs):
        name = "loss" if "loss" in logs else "held_out_loss"
        if not math.isfinite(logs[name]):
            first = first_nonfinite(self.trainer.network.named_parameters())
            raise FloatingPointError(
                f"the {name} is {logs[name]} at step {state.global_step}; {self.trainer.advice()}"
                + (f"; the first weights that are not finite are {first}" if first else "")
            )
        self.show_rows()
        if self.progress:
            self.progress(state.global_step, state.max_steps)
        if self.log:
            told = self.trainer.task_numbers(logs[name]) if name == "held_out_loss" else {}
            self.log(state.global_step, logs | told)

    def show_rows(self) -> None:
        """Calls `trainer.show` with the rows of metrics, unless it would take more than SHARE of the time."""
        if self.trainer.show and (started := time.monotonic()) >= self.due:
            self.trainer.show(self.trainer.rows)
            self.due = time.monotonic() + (time.monotonic() - started) / SHARE
