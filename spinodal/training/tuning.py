r"""Tuning: every model of a comparison is given the same budget, and keeps the values with which it predicts best.

    trials of all n combinations of a grid, each over a quarter of the steps;  the best max(2, ceil(n / 3)) over all
    steps;  the best of these

which is successive halving [jamieson2016] in two rungs. The loss of a trial is that on a part of the training
data that it is not trained on (`held_out=development`), never that of the comparison, and its seed is none of
the comparison's. Each trial is a cell of a sweep, computed once, on dask; the same command resumes the sweep.
"""

import math
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from spinodal.errors import InputError
from spinodal.runs import sweep
from spinodal.training.build import build_model, prepare_data
from spinodal.training.experiment import Experiment, override, parse_value, value_types
from spinodal.training.trainer import PhysicsTrainer
from spinodal.types import Progress

QUARTER, THIRD = 4, 3  # the share of the steps of the first rung, and of its trials that reach the second
SEED = 10_000  # trials are of the experiment's seed and so many more
TUNED = (  # what changes neither the size of a model nor its time
    "lr", "matrix_lr", "warmup", "weight_decay", "clip", "decay", "optimizer", "step_size", "dropout",
    "initializer_range",
)  # fmt: skip
Grid = Mapping[str, Sequence[Any]]
ALONE = threading.Lock()  # of a worker with several threads: random numbers are of the process


@dataclass(frozen=True)
class Trial:
    """The values and steps of one training, and its loss on the development samples; None if not finite."""

    values: dict[str, Any]
    steps: int
    loss: float | None


@dataclass(frozen=True)
class Tuning:
    """The values chosen for a model, and all trials from which they were chosen."""

    chosen: dict[str, Any]
    trials: list[Trial]


def parse_grid(arguments: Sequence[str]) -> dict[str, list[Any]]:
    """{"lr": [0.004, 0.008]} from ["lr=.004,.008"]; InputError for what is no grid."""
    grid: dict[str, list[Any]] = {}
    words = [word for words in arguments for word in words.split()]
    if arguments and not words:
        raise InputError("`tune` is empty: it takes KEY=VALUE,VALUE, such as lr=.004,.008", field="tune")
    for argument in words:
        key, equals, text = argument.partition("=")
        if not equals:
            raise InputError(
                f"{argument!r}: `tune` takes KEY=VALUE,VALUE, such as lr=.004,.008", field="tune"
            )
        if key in grid:
            raise InputError(f"{key} is given twice in `tune`: give all its values at once", field="tune")
        if key not in TUNED:
            raise InputError(f"{key} is not tuned: `tune` takes {', '.join(TUNED)}", field="tune")
        kind = value_types()[key]
        grid[key] = [text if kind is str else parse_value(key, text, kind) for text in text.split(",")]
    check_grid(grid)
    return grid


def check_grid(grid: Grid) -> None:
    """InputError for a grid without a choice, with a value twice, or with a key that is not tuned."""
    if unknown := sorted(set(grid) - set(TUNED)):
        raise InputError(f"{unknown[0]} is not tuned: `tune` takes {', '.join(TUNED)}", field="tune")
    for key, values in grid.items():
        if len(set(values)) < len(values):
            raise InputError(
                f"{key}={','.join(map(str, values))}: `tune` takes each value once", field="tune"
            )
    if grid and math.prod(len(values) for values in grid.values()) < 2:
        raise InputError("`tune` leaves no choice: it takes two values or more of a key", field="tune")


def trial_share(grid: Grid) -> float:
    """The steps of all trials of a model, in multiples of those of a run."""
    count = math.prod(len(values) for values in grid.values()) if grid else 0
    return count / QUARTER + finalists(count)


def finalists(count: int) -> int:
    """How many of so many trials of the first rung reach the second: a third, and two at least."""
    return min(count, max(2, math.ceil(count / THIRD)))


def candidates(model: str, experiment: Experiment, grid: Grid) -> list[dict[str, Any]]:
    """Every combination of the grid's values; InputError for one with which the model cannot be trained."""
    found = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    for values in found:
        try:
            trial_experiment(experiment, values, experiment.schedule.steps)
        except InputError as error:
            raise InputError(f"{model}: {error}", field="tune") from None
    return found


def trial_experiment(experiment: Experiment, values: Mapping[str, Any], steps: int) -> Experiment:
    """The experiment with a trial's values and steps, another seed, and the development samples held out."""
    own = {"held_out": "development", "seed": experiment.schedule.seed + SEED, "steps": steps}
    return override(experiment, dict(values) | own)


def development_loss(configuration: dict[str, Any]) -> float | None:
    """A trial's loss on development samples, nats per predicted token; None if not finite. For a sweep."""
    experiment = Experiment.from_flat(configuration)
    steps, every = experiment.schedule.steps, experiment.schedule.log_every
    once = {"evaluate_every": steps, "save_every": every * math.ceil(steps / every)}
    experiment = override(experiment, once)
    data = prepare_data(experiment)
    with ALONE, tempfile.TemporaryDirectory(prefix="spinodal-trial-") as folder:
        trainer = PhysicsTrainer(build_model(experiment, data), data, experiment, Path(folder))
        try:
            trainer.train()
        except FloatingPointError:
            return None
    return [row["held_out_loss"] for row in trainer.rows if "held_out_loss" in row][-1]


def tune_models(
    models: Mapping[str, Experiment],
    grid: Grid,
    folder: Path,
    *,
    digests: Mapping[str, Mapping[str, str]] | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> dict[str, Tuning]:
    """The values of the grid with which each model predicts best, after the same trials for all.

    Cells lie in `folder`; `digests` are those of what each model reads, and a cell is of it. InputError for what cannot
    be trained, before anything is; FloatingPointError where no trial of a model has a finite loss.
    """
    check_grid(grid)
    trials: dict[str, list[Trial]] = {model: [] for model in models}
    left = {model: candidates(model, experiment, grid) for model, experiment in models.items()}
    for rung, share in enumerate((QUARTER, 1)):
        asked = [
            (model, values, max(1, models[model].schedule.steps // share))
            for model, found in left.items()
            for values in found
        ]
        cells = [
            trial_experiment(models[model], values, steps).flat()
            | {"digests": dict((digests or {}).get(model, {}))}
            for model, values, steps in asked
        ]
        name = f"tuning, {'all' if rung else f'1/{QUARTER} of the'} steps"
        losses = sweep.run(
            development_loss, cells, folder, workers=workers, scheduler=scheduler,
            progress=progress and progress(name),
        )  # fmt: skip
        for (model, values, steps), loss in zip(asked, losses, strict=True):
            trials[model].append(Trial(values, steps, loss))
        left = {
            model: [trial.values for trial in best(model, trials[model][-len(found) :])]
            for model, found in left.items()
        }
    return {model: Tuning(left[model][0], trials[model]) for model in models}


def best(model: str, rung: Sequence[Trial]) -> list[Trial]:
    """The trials of a rung that are left, the best first; FloatingPointError where no loss is finite."""
    finite = [trial for trial in rung if trial.loss is not None]
    if not finite:
        raise FloatingPointError(f"{model}: no trial of `tune` has a finite loss; take smaller rates")
    return sorted(finite, key=lambda trial: trial.loss or 0.0)[: finalists(len(rung))]
