r"""A run: one experiment trained into one folder.

    DIR/run.json        configuration, seed, commit, versions and every metric by step
    DIR/model/          for the Auto classes of transformers, after `import spinodal`
    DIR/checkpoints/    the last two, whole; `resume` goes on from the newest

Everything that can be wrong with the input is found before the first step.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, set_seed

from spinodal.errors import InputError, ScoringError
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.runs import (
    SaveError,
    commit,
    discard,
    machine,
    newest_checkpoint,
    now,
    replacing,
    versions,
    write_json,
)
from spinodal.training.constraints import Constraints
from spinodal.training.experiment import Experiment, model_config
from spinodal.training.portrait import portrait
from spinodal.training.tasks import Prepared, task_named
from spinodal.training.trainer import PhysicsTrainer, Progress

FORMAT = 1
OWN = ("checkpoints", "model")  # folders that a run writes, and replaces


@dataclass(frozen=True)
class Label:
    """How a run is called: its own name, the recipe it came from and the command that made it."""

    name: str
    recipe: str
    command: str


def prepared(experiment: Experiment) -> Prepared:
    """Samples and tokenizer of an experiment; InputError where they do not fill one batch."""
    text, schedule = experiment.text, experiment.schedule
    found = task_named(text.task).prepared(text, schedule.seed)
    if len(found.training) < schedule.batch:
        raise InputError(
            f"{text.corpus} gives {len(found.training)} samples of {found.tokens} tokens, less than one batch of "
            f"{schedule.batch}: lower batch or length, or take more text"
        )
    return found


def train(
    experiment: Experiment,
    out: Path,
    label: Label,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict:
    """Trains into `out` and returns what run.json holds.

    A folder that already holds a run is refused unless `resume` (from its newest whole checkpoint;
    a finished run is returned as it is) or `overwrite`. InputError for anything wrong with the
    experiment, SaveError if the disk fails, FloatingPointError if the loss does. The model is saved before it is
    scored: ScoringError if that fails, and `resume` then scores the saved model.
    """
    started = opened(out, experiment, resume=resume, overwrite=overwrite)
    if started is not None and started["finished"]:
        if progress:
            progress(started["final"]["steps"], started["final"]["held_out_loss"])
        if started.get("scored", True):
            return started
        model = task_named(experiment.text.task).model.from_pretrained(out / "model")
        return scored(out, started, experiment, model, prepared(experiment))
    data = prepared(experiment)
    model = rehearsed(experiment, data)
    if overwrite:
        (out / "run.json").unlink(missing_ok=True)
        for old in OWN:
            discard(out / old)
    trainer = PhysicsTrainer(model, data, experiment, out, progress=progress)
    checkpoint = newest_checkpoint(out, experiment=experiment.flat()) if resume else None
    if checkpoint:
        trainer.resume(checkpoint)
    run = {
        "format": FORMAT,
        "name": label.name,
        "recipe": label.recipe,
        "command": label.command,
        "config": experiment.flat() | {"hidden": model.config.hidden},
        "seed": experiment.schedule.seed,
        "commit": commit(),
        "date": now(),
        "versions": versions(),
        "machine": machine(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "finished": False,
        "scored": False,
        "metrics": [],
        "final": {},
        "probe": None,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "run.json", run)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    run |= results(trainer)
    save(out, run, model, data.tokenizer)
    return scored(out, run, experiment, model, data)


def scored(
    out: Path, run: dict, experiment: Experiment, model: SpinodalPreTrainedModel, data: Prepared
) -> dict:
    """The run with its portrait and scores, measured on the model that it saved; ScoringError if that fails."""
    try:
        measured = {
            "probe": portrait(model.eval(), data),
            "final": run["final"] | task_named(experiment.text.task).scores(model, data),
        }
    except Exception as error:  # whatever it is, the model is there and must not look lost
        raise ScoringError(
            f"{out}: the model is trained and saved in {out / 'model'}, but scoring it failed "
            f"({type(error).__name__}: {error}); --resume scores it again"
        ) from error
    run = run | measured | {"scored": True}
    write_run(out, run)
    return run


@torch.no_grad()
def rehearsed(experiment: Experiment, data: Prepared) -> SpinodalPreTrainedModel:
    """The experiment's model at its start, through which one sample went: what does not fit together shows here."""
    set_seed(experiment.schedule.seed)
    config = model_config(experiment, vocabulary=data.vocabulary)
    if data.tokenizer:
        for name in ("pad", "bos", "eos", "mask"):
            setattr(config, f"{name}_token_id", getattr(data.tokenizer, f"{name}_token_id"))
    model = task_named(experiment.text.task).model(config)
    sample = {name: value[None] for name, value in data.held_out[0].items()}
    out = model.eval()(**sample, output_residuals=True)
    constraints = Constraints(experiment.constraint)
    taught = constraints.violations(out.residuals) if constraints.active else {}
    if "selection" in (out.residuals or {}) and "selection" not in taught:
        warnings.warn(
            "nothing teaches which blocks look at which: add method=penalty constrain=selection tolerance=0 rate=1",
            stacklevel=2,
        )
    return model


def require_folder(out: Path):
    """InputError where a file has the name of the folder."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out takes a folder")


def opened(out: Path, experiment: Experiment, *, resume: bool, overwrite: bool) -> dict | None:
    """The run that `out` holds, None if none; InputError where one is in the way."""
    path = out / "run.json"
    if resume and overwrite:
        raise InputError("--resume goes on with a run and --overwrite starts it again: give one of them")
    require_folder(out)
    if not path.exists() and (taken := [name for name in OWN if (out / name).exists()]):
        raise InputError(f"{out} holds {' and '.join(taken)}, but no run: choose another --out")
    if overwrite or not path.exists():
        return None
    if not resume:
        raise InputError(f"{out} holds a run already: --resume goes on with it, --overwrite starts it again")
    try:
        run = json.loads(path.read_text())
        finished, config = run["finished"], run["config"]
    except (ValueError, KeyError):
        raise InputError(f"{path} is not a run that spinodal wrote; choose another --out") from None
    asked = experiment.flat()
    solved = {"hidden"} if experiment.parameters else set()
    differing = [key for key in asked.keys() - solved if asked[key] != config.get(key)]
    if finished and differing:
        pairs = ", ".join(f"{key}={config.get(key)} there, {asked[key]} asked" for key in sorted(differing))
        raise InputError(f"{out} holds a finished run of another experiment ({pairs}); choose another --out")
    return run


def results(trainer: PhysicsTrainer) -> dict:
    """Metrics by step, and the last of them, of a trainer that is done."""
    rows = [{k: v for k, v in row.items() if k != "epoch"} for row in trainer.state.log_history]
    last = [row for row in rows if "held_out_loss" in row][-1]
    final = {
        "held_out_loss": last["held_out_loss"],
        "seconds": trainer.seconds,
        "tokens_per_second": last["tokens"] / trainer.seconds,
        "steps": last["step"],
    }
    return {"metrics": rows, "final": final, "finished": True}


def save(out: Path, run: dict, model: SpinodalPreTrainedModel, tokenizer: PreTrainedTokenizerBase | None):
    """The model's folder, then run.json: whoever finds run.json finished finds the model whole."""
    try:
        with replacing(out / "model") as part:
            model.save_pretrained(part)
            if tokenizer:
                tokenizer.save_pretrained(part)
    except (OSError, RuntimeError) as error:
        raise SaveError(f"{out} could not be written ({error}); its checkpoints are kept") from error
    write_run(out, run)


def write_run(out: Path, run: dict):
    """run.json; SaveError if it cannot be written."""
    try:
        write_json(out / "run.json", run)
    except OSError as error:
        raise SaveError(
            f"{out / 'run.json'} could not be written ({error}); what {out} holds is kept"
        ) from error
