"""Checks that an experiment may resume a run: which values must agree with it, and which may differ."""

import math
from collections.abc import Mapping
from pathlib import Path

from spinodal.errors import InputError
from spinodal.runs import Run, difference
from spinodal.runs.checkpoints import read_manifest, step_of
from spinodal.training.experiment import UNWRITTEN, Experiment
from spinodal.training.processes import process_count

SPLIT = ("batch", "accumulate", "processes")  # their product is the number of samples of a step
SCORING = ("scored", "beams", "baselines")  # how a trained model is scored
FREE = (  # what may differ where a run goes on, or is compared elsewhere
    *SPLIT, *SCORING, "digests", "steps", "log_every", "evaluate_every", "save_every", "save_total", "workers",
    "activation_checkpointing", "nonfinite", "judged",
)  # fmt: skip


def refuse_other_samples(run: Run, experiment: Experiment) -> None:
    """InputError where the run's steps have another number of samples than the experiment's.

    How the samples of a step are split (batch, accumulate, processes) may change.
    """
    here = {name: v for name, v in experiment.flat().items() if name in SPLIT} | {
        "processes": process_count()
    }
    there = {name: run.config.get(name, 1) for name in SPLIT}
    asked = {name: here.get(name, 1) for name in SPLIT}
    if math.prod(there.values()) != math.prod(asked.values()):
        raise InputError(
            f"{run.folder} holds a run of another experiment ({difference(there, asked)}): a step there is of "
            f"{math.prod(there.values())} samples ({' x '.join(SPLIT)}), one of this command of "
            f"{math.prod(asked.values())}; `overwrite` starts it again, or choose another `out`",
            field=("overwrite", "out"),
        )


def refuse_other_optimizer(run: Run, experiment: Experiment) -> None:
    """InputError where the run has another optimiser; a record that names none is of AdamW at one rate."""
    there, asked = run.config.get("optimizer", UNWRITTEN["optimizer"]), experiment.schedule.optimizer
    if there == asked:
        return
    raise InputError(
        f"{run.folder} holds a run of another experiment (optimizer={there} there, {asked} asked): it goes on with "
        f"optimizer={there}, `overwrite` starts it again, or choose another `out`",
        field=("overwrite", "out"),
    )


def is_shorter(run: Run, experiment: Experiment) -> bool:
    """Whether the run was started with fewer steps than the experiment has."""
    return run.config.get("steps", experiment.schedule.steps) < experiment.schedule.steps


def refuse_other_end(run: Run, experiment: Experiment) -> None:
    """InputError where the run has another number of steps, unless its schedule can be extended to more."""
    there, asked = run.config.get("steps", experiment.schedule.steps), experiment.schedule.steps
    if there == asked or (there < asked and experiment.schedule.decay != "cosine"):
        return
    why = "a run is extended to more steps, not to fewer"
    if there < asked:
        why = (
            f"the rate of decay=cosine has fallen to 0 after {there} steps, which is another run than {asked} steps; "
            f"decay=constant, warm-stable-decay and plateau-decay can be extended"
        )
    raise InputError(
        f"{run.folder} holds a run of another experiment (steps={there} there, {asked} asked): {why}; `overwrite` "
        f"starts it again, or choose another `out`",
        field=("overwrite", "out"),
    )


def fallen_rate(checkpoint: Path, experiment: Experiment) -> str | None:
    """Why a longer run cannot resume from a checkpoint, whose rate had begun to fall; None where it can."""
    there = Experiment.from_flat(read_manifest(checkpoint)["experiment"]).schedule
    if there.steps == experiment.schedule.steps or step_of(checkpoint) <= there.stable_until:
        return None
    return f"its rate had begun to fall for an end after {there.steps} steps"


def refuse_other_digests(checkpoint: Path, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """InputError that names the inputs (text, tokenizer) whose sha256 differs from the checkpoint's."""
    other = [name for name in there if name in here and here[name] != there[name]]
    if other:
        told = ", ".join(
            f"the {name} (sha256 {there[name][:12]}... there, {here[name][:12]}... now)" for name in other
        )
        raise InputError(
            f"{checkpoint} was trained on something else: {told}; go on with what it was, `overwrite` starts it again, "
            f"or choose another `out`",
            field=("overwrite", "out"),
        )
