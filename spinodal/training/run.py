r"""A run: one experiment trained into one folder.

    DIR/run.json        configuration, seed, commit, versions and every metric by step
    DIR/model/          for the Auto classes of transformers, after `import spinodal.models`
    DIR/checkpoints/    the last two, whole; `resume` goes on from the newest
    DIR/report.html     and loss.png, where a caller draws them

Everything that can be wrong with the input is found before the first step.
"""

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from spinodal.errors import ScoringError, TerminationError
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.results import Result
from spinodal.runs import (
    Run,
    RunFolder,
    newest_checkpoint,
    open_run,
    picture_files,
    provenance,
    read_run,
)
from spinodal.runs.checkpoints import clear_later, step_of
from spinodal.signals import watch_signal
from spinodal.training.build import build_model, prepare_data
from spinodal.training.experiment import UNWRITTEN, Experiment
from spinodal.training.finite import nonfinite_weights
from spinodal.training.groups import describe_groups
from spinodal.training.memory import estimate_memory, refuse_memory
from spinodal.training.planning import PLANNED, follow_plan, measure_pace, plan_steps
from spinodal.training.prepared import PreparedData
from spinodal.training.probe import probe_model
from spinodal.training.processes import join_group, main_only, on_main, process_count, process_rank, together
from spinodal.training.records import ParameterGroup, Part, Probe, TrainingRun, training_run
from spinodal.training.resumption import (
    FREE,
    SCORING,
    fallen_rate,
    is_shorter,
    refuse_other_end,
    refuse_other_optimizer,
    refuse_other_samples,
)
from spinodal.training.saved import model_damage, model_of_weights, rebuild_model, save_model
from spinodal.training.sharding import gather_weights
from spinodal.training.size import check_size
from spinodal.training.tasks import task_named
from spinodal.training.trainer import Log, PhysicsTrainer
from spinodal.types import Progress

PAGES = ("report.html", *picture_files("loss"))
OWNED = ("checkpoints", "model", *PAGES)
TRAINED = ("held_out_loss", "seconds", "tokens_per_second", "steps")  # of `final`, measured in training
Number = int | float
Record = dict[str, Any]  # of a run, as its run.json holds it
Draw = Callable[[RunFolder, dict[str, dict[str, list[TrainingRun]]]], None]  # folder, {arm: {model: runs}}
Expect = Callable[[float], object]  # called with the seconds that something takes, about


@dataclass(frozen=True)
class Label:
    """The name of a run, the name of its recipe, and the command that writes it."""

    name: str
    recipe: str
    command: str


@dataclass(frozen=True, repr=False)
class TrainingResult(Result):
    """The result of training an experiment.

    `metrics` are rows by step: means of the loss and of residuals, the clock, the held-out loss where it was measured.
    `final` is the last held-out loss, the time it took and the scores of the task. `scored` is false between saving
    the model and measuring it. `parts` are the origins of the steps, one for each time that the run was begun
    or resumed.
    """

    parameters: int
    metrics: list[dict[str, Number]] = field(repr=False)
    final: dict[str, Number]
    probe: Probe | None = field(default=None, repr=False)
    scored: bool = True
    parts: list[Part] = field(default_factory=list, repr=False)
    groups: list[ParameterGroup] = field(default_factory=list, repr=False)


def train(
    experiment: Experiment,
    out: Path | str,
    label: Label | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    log: Log | None = None,
    scoring: Progress | None = None,
    expect: Expect | None = None,
    draw: Draw | None = None,
) -> TrainingResult:
    """theta <- theta - alpha AdamW(grad J), J the loss of the task and of the constraint, for as many steps as asked.

    Trains the model of an experiment into the folder `out`, which then holds run.json, the model and checkpoints, and
    returns the result: losses by step and at the end. `label` names the run, by default after the folder. A folder
    that already holds a run is refused unless `resume` (from its newest whole checkpoint; a finished run is returned
    as it is) or `overwrite`. `progress` is called with the steps that are done and all steps, `log` with a step and
    what was measured there ("loss", "held_out_loss" and what the task says of it, residuals), both after every row of
    metrics; `scoring`, while the trained model is scored, with the batches that are done and all batches; `expect`,
    before the first step, with the seconds that it and the others take here, about; `draw`, last of all, with the
    finished run, and may write PAGES.

    InputError for anything wrong with the experiment, SaveError if the disk fails, FloatingPointError if the loss, a
    gradient or the weights are not finite, TerminationError after SIGTERM, when the step that was done is saved. The
    model is saved before it is scored: ScoringError if that fails, and `resume` then scores it.

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
    join_group()
    with contextlib.ExitStack() as stack:

        def open_folder() -> RunFolder:
            folder = stack.enter_context(
                open_run(
                    out,
                    kind="train",
                    config=experiment.flat(),
                    seed=experiment.schedule.seed,
                    owned=OWNED,
                    resume=resume,
                    overwrite=overwrite,
                    ignored=(*FREE, "optimizer", *(["hidden"] if experiment.parameters else [])),
                    label=vars(label),
                )
            )
            if folder.previous is not None:
                refuse_other_optimizer(folder.previous, experiment)
                refuse_other_samples(folder.previous, experiment)
                refuse_other_end(folder.previous, follow_plan(experiment, folder.previous.config))
            return folder

        folder = main_only(open_folder)  # the others read what it writes
        previous = on_main(lambda: folder.previous)
        if previous is not None:
            experiment = follow_plan(experiment, previous.config)
        if previous is not None and previous.finished and not is_shorter(previous, experiment):
            result = on_main(lambda: finished_result(folder, previous, experiment, progress, log, scoring))
        else:
            listeners = {"progress": progress, "log": log}
            result = train_in(folder, out, experiment, listeners, scoring, expect, new=previous is None)
        if draw:
            run = training_run(read_run(out).record)
            main_only(lambda: draw(folder, {"": {label.name: [run]}}))
    return result


def train_in(
    folder: RunFolder,
    out: Path,
    experiment: Experiment,
    listeners: Mapping[str, Any],
    scoring: Progress | None,
    expect: Expect | None,
    *,
    new: bool,
) -> TrainingResult:
    """The result of training from the start, or from the newest whole checkpoint of what the folder `out` holds.

    `folder` is that of the main process, None in the others. A run that is `new` plans its steps where it has minutes.
    """

    def show(rows: list[dict[str, Number]]) -> None:
        folder.show({"parameters": parameters, "metrics": rows})

    def prepare() -> tuple[PreparedData, SpinodalPreTrainedModel]:
        check_size(experiment)
        data = prepare_data(experiment)
        model = build_model(experiment, data)
        refuse_memory(experiment, estimate_memory(experiment, model, data))
        return data, model

    data, model = together(prepare)
    planned: dict[str, Any] = {}
    plans = bool(experiment.schedule.minutes) and new
    pace = on_main(partial(measure_pace, experiment, model, data)) if plans or expect else None
    if experiment.schedule.minutes:
        if plans and pace:
            experiment = plan_steps(experiment, pace)
        planned = {name: experiment.flat()[name] for name in PLANNED}
    hears = {} if process_rank() else {**listeners, "show": show}
    trainer = together(lambda: PhysicsTrainer(model, data, experiment, out, **hears))
    parameters = sum(p.numel() for p in model.parameters())

    def usable_checkpoint() -> Path | None:
        if not folder.previous:
            return None
        return newest_checkpoint(
            out,
            experiment=experiment.flat(),
            ignored=FREE,
            check=lambda checkpoint: nonfinite_weights(checkpoint) or fallen_rate(checkpoint, experiment),
        )

    checkpoint = on_main(usable_checkpoint)
    if checkpoint:
        together(lambda: trainer.resume(checkpoint))
    step = step_of(checkpoint) if checkpoint else 0
    origin = Part(step, **dataclasses.asdict(provenance()), processes=process_count())
    trainer.parts = [*(part for part in trainer.parts if part.step < step), origin]

    def begin() -> None:
        folder.begin(hidden=model.config.hidden, digests=trainer.data.digests, **trainer.split, **planned)
        clear_later(out, step)  # of the end of a shorter run, or not whole: these steps are done again

    main_only(begin)
    if expect and pace and not process_rank():
        expect(pace.seconds(experiment, step))
    if checkpoint and step >= experiment.schedule.steps:
        trainer.restore_end(checkpoint)
    else:
        with watch_signal(signal.SIGTERM) as trainer.terminated:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < trainer.state.max_steps:
        raise TerminationError(
            f"SIGTERM ended training at step {trainer.state.global_step} of {trainer.state.max_steps}, which is "
            f"saved in {out}: `resume` goes on from there"
        )

    weights = gather_weights(model) if trainer.sharded else None

    def finish() -> TrainingResult:
        result = training_result(trainer, parameters)
        alone = model if weights is None else model_of_weights(experiment, model.config, weights)
        save_model(folder, alone, trainer.data.tokenizer)
        folder.finish(result)
        return score_model(folder, result, experiment, alone, trainer.data, scoring)

    return on_main(finish)


def finished_result(
    folder: RunFolder,
    run: Run,
    experiment: Experiment,
    progress: Progress | None,
    log: Log | None,
    scoring: Progress | None,
) -> TrainingResult:
    """The result of a finished run, scored now where it was not, or was otherwise than is asked.

    Its model is written again where it is damaged.
    """
    result = run.result_as(TrainingResult)
    asked, there = (
        {name: values.get(name, UNWRITTEN[name]) for name in SCORING}
        for values in (experiment.flat(), run.config)
    )
    if asked == there:
        folder.adopt()
    else:
        kept = {name: value for name, value in run.config.items() if name not in SCORING}
        folder.adopt(config=kept | {n: value for n, value in asked.items() if value != UNWRITTEN[n]})
        measured = {name: result.final[name] for name in TRAINED if name in result.final}
        result = replace(result, final=measured, scored=False)
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
    model = experiment.kind.from_pretrained(folder.path / "model")
    return score_model(folder, result, experiment, model, prepare_data(experiment), scoring)


def score_model(
    folder: RunFolder,
    result: TrainingResult,
    experiment: Experiment,
    model: SpinodalPreTrainedModel,
    data: PreparedData,
    progress: Progress | None,
) -> TrainingResult:
    """The result with probe and scores, measured on the model that is saved; ScoringError if that fails."""
    try:
        probe = None if experiment.network else probe_model(model.eval(), data)
        final = result.final | task_named(experiment.data.task).scores(model, data, progress)
    except Exception as error:  # whatever it is, the model is there and must not look lost
        raise ScoringError(
            f"{folder.path}: the model is trained and saved in {folder.path / 'model'}, but scoring it failed "
            f"({type(error).__name__}: {error}); `resume` scores it again"
        ) from error
    result = replace(result, probe=probe, final=final, scored=True)
    folder.finish(result)
    return result


def training_result(trainer: PhysicsTrainer, parameters: int) -> TrainingResult:
    """The result of a finished trainer: its metrics by step, and the last of them."""
    last = [row for row in trainer.rows if "held_out_loss" in row][-1]
    final = {
        "held_out_loss": last["held_out_loss"],
        "seconds": trainer.seconds,
        "tokens_per_second": last["tokens"] / trainer.seconds,
        "steps": last["step"],
    }
    groups = describe_groups(trainer.network, trainer.experiment.schedule)
    return TrainingResult(parameters, trainer.rows, final, scored=False, parts=trainer.parts, groups=groups)
