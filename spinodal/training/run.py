r"""A run: one experiment trained into one folder.

    DIR/run.json        configuration, seed, commit, versions and every metric by step
    DIR/model/          for the Auto classes of transformers, after `import spinodal.models`
    DIR/checkpoints/    the last two, whole; `resume` goes on from the newest
    DIR/report.html     and loss.png, where a caller draws them

Everything that can be wrong with the input is found before the first step.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import set_seed

from spinodal.errors import InputError, ScoringError
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.runs import Run, RunFolder, newest_checkpoint, open_run, read_run
from spinodal.runs.checkpoints import step_of
from spinodal.training.constraints import Constraints
from spinodal.training.experiment import Experiment, model_config
from spinodal.training.probe import Probe, probe_model
from spinodal.training.records import TrainingRun, training_run
from spinodal.training.saved import model_damage, rebuild_model, save_model
from spinodal.training.size import check_size
from spinodal.training.tasks import PreparedData, task_named
from spinodal.training.trainer import Log, PhysicsTrainer
from spinodal.types import Progress

PAGES = ("report.html", "loss.png")
REACTIONS = {
    "stoichiometry",
    "constants",
}  # layers of a partition's network that its mixtures do not depend on
OWNED = ("checkpoints", "model", *PAGES)
Number = int | float
Record = dict[str, Any]  # of a run, as its run.json holds it
Draw = Callable[[RunFolder, dict[str, dict[str, list[TrainingRun]]]], None]  # folder, {arm: {model: runs}}


@dataclass(frozen=True)
class Label:
    """The name of a run, the recipe that it is of and the command that wrote it."""

    name: str
    recipe: str
    command: str


@dataclass(frozen=True)
class TrainingResult:
    """What training an experiment gave.

    `metrics` are rows by step: means of the loss and of residuals, the clock, the held-out loss where it was measured.
    `final` is the last held-out loss, the time it took and the scores of the task. `scored` is false between saving
    the model and measuring it.
    """

    parameters: int
    metrics: list[dict[str, Number]] = field(repr=False)
    final: dict[str, Number]
    probe: Probe | None = field(default=None, repr=False)
    scored: bool = True


def prepare_data(experiment: Experiment) -> PreparedData:
    """Samples and tokenizer of an experiment; InputError where they do not fill one batch."""
    config, schedule = experiment.data, experiment.schedule
    found = task_named(config.task).prepare(config, schedule.seed, schedule.batch)
    if len(found.training) < schedule.batch:
        raise InputError(
            f"{config.corpus} gives {len(found.training)} samples of {found.tokens} tokens, less than one batch of "
            f"{schedule.batch}: lower batch, or take more text"
        )
    return found


def train(
    experiment: Experiment,
    out: Path | str,
    label: Label | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    log: Log | None = None,
    draw: Draw | None = None,
) -> TrainingResult:
    """theta <- theta - alpha AdamW(grad J), J the loss of the task and of the constraint, for as many steps as asked.

    Trains the model of an experiment into the folder `out`, which then holds run.json, the model and checkpoints, and
    returns the result: losses by step and at the end. `label` names the run, by default after the folder. A folder
    that already holds a run is refused unless `resume` (from its newest whole checkpoint; a finished run is returned
    as it is) or `overwrite`. `progress` is called with the steps that are done and all steps, `log` with a step and
    what was measured there ("loss", "held_out_loss", residuals), both after every row of metrics; `draw`, last of
    all, with the finished run, and may write PAGES.

    InputError for anything wrong with the experiment, SaveError if the disk fails, FloatingPointError if the loss is
    not finite. The model is saved before it is scored: ScoringError if that fails, and `resume` then scores it.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from spinodal.training import DataConfig, Experiment, Schedule, train
    >>> folder = tempfile.TemporaryDirectory()
    >>> text = Path(folder.name, "text.txt")
    >>> _ = text.write_text("to be or not to be, that is the question\\n" * 200)
    >>> data = DataConfig(corpus=str(text), tokenizer="characters", length=16)
    >>> model = {"width": 8, "depth": 1, "heads": 2, "hidden": 8}
    >>> schedule = Schedule(steps=4, batch=2, log_every=2, evaluate_every=2, save_every=4)
    >>> result = train(Experiment(data, model, schedule), Path(folder.name, "run"))
    >>> result.parameters, [row["step"] for row in result.metrics if "held_out_loss" in row]
    (2540, [2, 4])
    >>> folder.cleanup()
    """
    out = Path(out)
    label = label or Label(out.name, out.name, "spinodal.training.train")
    with open_run(
        out,
        kind="train",
        config=experiment.flat(),
        seed=experiment.schedule.seed,
        owned=OWNED,
        resume=resume,
        overwrite=overwrite,
        ignored=("hidden",) if experiment.parameters else (),
        label=vars(label),
    ) as folder:
        if folder.previous is not None and folder.previous.finished:
            result = finished_result(folder, folder.previous, experiment, progress, log)
        else:
            result = train_in(folder, experiment, progress, log)
        if draw:
            draw(folder, {"": {label.name: [training_run(read_run(out).record)]}})
    return result


def train_in(
    folder: RunFolder, experiment: Experiment, progress: Progress | None, log: Log | None
) -> TrainingResult:
    """The result of training from the start, or from the newest whole checkpoint of what the folder holds."""
    check_size(experiment)
    data = prepare_data(experiment)
    model = build_model(experiment, data)
    trainer = PhysicsTrainer(model, data, experiment, folder.path, progress=progress, log=log)
    checkpoint = newest_checkpoint(folder.path, experiment=experiment.flat()) if folder.previous else None
    if checkpoint:
        trainer.resume(checkpoint)
    folder.begin(hidden=model.config.hidden)
    if checkpoint and step_of(checkpoint) >= experiment.schedule.steps:
        trainer.restore_end(checkpoint)
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    result = training_result(trainer, sum(p.numel() for p in model.parameters()))
    save_model(folder, model, data.tokenizer)
    folder.finish(result)
    return score_model(folder, result, experiment, model, data)


def finished_result(
    folder: RunFolder, run: Run, experiment: Experiment, progress: Progress | None, log: Log | None
) -> TrainingResult:
    """The result of a finished run, scored now where it was not; its model is written again where it is damaged."""
    result = run.result_as(TrainingResult)
    folder.adopt()
    if damage := model_damage(run):
        rebuild_model(
            folder,
            experiment,
            lambda: prepare_data(experiment).tokenizer,
            damage=damage,
            step=int(result.final["steps"]),
        )
        folder.finish(result)
    if progress:
        progress(result.final["steps"], experiment.schedule.steps)
    if log:
        log(int(result.final["steps"]), {"held_out_loss": result.final["held_out_loss"]})
    if result.scored:
        return result
    model = task_named(experiment.data.task).model.from_pretrained(folder.path / "model")
    return score_model(folder, result, experiment, model, prepare_data(experiment))


def score_model(
    folder: RunFolder,
    result: TrainingResult,
    experiment: Experiment,
    model: SpinodalPreTrainedModel,
    data: PreparedData,
) -> TrainingResult:
    """The result with probe and scores, measured on the model that is saved; ScoringError if that fails."""
    try:
        probe = probe_model(model.eval(), data)
        final = result.final | task_named(experiment.data.task).scores(model, data)
    except Exception as error:  # whatever it is, the model is there and must not look lost
        raise ScoringError(
            f"{folder.path}: the model is trained and saved in {folder.path / 'model'}, but scoring it failed "
            f"({type(error).__name__}: {error}); `resume` scores it again"
        ) from error
    result = replace(result, probe=probe, final=final, scored=True)
    folder.finish(result)
    return result


def build_model(experiment: Experiment, data: PreparedData) -> SpinodalPreTrainedModel:
    """The model of an experiment with its initial weights, after a forward pass of one sample.

    What does not fit into memory is refused before it is built; the pass raises what does not fit together, shapes or
    a constraint on a residual that the model has not, before the first step. Warns of parameters that learn nothing.
    """
    check_size(experiment, vocabulary=data.vocabulary)
    set_seed(experiment.schedule.seed)
    config = model_config(experiment, vocabulary=data.vocabulary)
    if data.tokenizer:
        for name in ("pad", "bos", "eos", "mask"):
            setattr(config, f"{name}_token_id", getattr(data.tokenizer, f"{name}_token_id"))
    model = task_named(experiment.data.task).model(config)
    sample = {name: value[None] for name, value in data.held_out[0].items()}
    reactions = [p for name, p in model.named_parameters() if REACTIONS & set(name.split("."))]
    with torch.set_grad_enabled(bool(reactions)):
        out = model.eval()(**sample, output_residuals=True)
        constraints, residuals = Constraints(experiment.constraint), out.residuals or {}
        constrained = constraints.violations(residuals) if constraints.active else {}
        loss = out.loss + constraints.loss(residuals) if constraints.active else out.loss
    if reactions:
        warn_idle(reactions, loss)
    if "selection" in residuals and "selection" not in constrained:
        warnings.warn(
            "nothing teaches which blocks look at which: add method=penalty constrain=selection tolerance=0 rate=1",
            stacklevel=2,
        )
    return model


def warn_idle(parameters: list[nn.Parameter], loss: Tensor) -> None:
    """Warns of those parameters that the loss does not depend on, the reactions of a partition without a constraint."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    idle = sum(p.numel() for p, gradient in zip(parameters, gradients, strict=True) if gradient is None)
    if idle:
        warnings.warn(
            f"{idle:,} parameters learn nothing: the reactions of a pathway enter the loss by a constraint alone; add "
            f"method=augmented constrain=F,g1,g2, or take pathway=none",
            stacklevel=3,
        )


def training_result(trainer: PhysicsTrainer, parameters: int) -> TrainingResult:
    """The result of a finished trainer: its metrics by step, and the last of them."""
    rows = [{k: v for k, v in row.items() if k != "epoch"} for row in trainer.state.log_history]
    last = [row for row in rows if "held_out_loss" in row][-1]
    final = {
        "held_out_loss": last["held_out_loss"],
        "seconds": trainer.seconds,
        "tokens_per_second": last["tokens"] / trainer.seconds,
        "steps": last["step"],
    }
    return TrainingResult(parameters, rows, final, scored=False)
