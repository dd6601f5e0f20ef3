r"""A comparison: several models on one text, at equal parameters and at equal time, over seeds.

Equal parameters: every rival's `hidden` is solved so that it has as many parameters as the
recipe's own model, and all take the same number of steps. Equal time: a faster model is given
the steps that fill the time of the slowest, with a schedule of its own over them. Runs are
interleaved over models, `jobs` at once, each on its share of the cores, so that the machine is equally
busy for all; they run on dask workers, as the cells of a sweep do. A finished run is not run again.
"""

import contextlib
import os
import re
import uuid
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from spinodal.errors import InputError, TerminationError
from spinodal.results import Result
from spinodal.runs import Run, decode, open_run, read_run, sweep
from spinodal.training.build import build_model, prepare_data, step_samples
from spinodal.training.experiment import Experiment, model_config, override, parameter_count
from spinodal.training.planning import measure_pace
from spinodal.training.prepared import PreparedData
from spinodal.training.processes import process_count
from spinodal.training.records import TrainingRun, training_run
from spinodal.training.resumption import refuse_other_digests
from spinodal.training.run import PAGES, Draw, Expect, Label, Record, train
from spinodal.training.schedule import Schedule
from spinodal.training.size import check_size, model_size
from spinodal.training.tasks import least_vocabulary
from spinodal.training.trainer import Log
from spinodal.training.tuning import ALONE, Grid, Tuning, candidates, check_grid, trial_share, tune_models
from spinodal.types import Progress

PARAMETERS, TIME = "equal parameters", "equal time"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")  # of a rival, whose runs have folders of that name
SCHEDULED = {part.name for part in fields(Schedule)}
TRIALS = "tuning"  # the folder of its cells


@dataclass(frozen=True)
class Recipe:
    """An experiment and its rivals: by name, the values in which each differs from the experiment."""

    experiment: Experiment
    rivals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def keep_rivals(self, rivals: Collection[str]) -> "Recipe":
        """The recipe with these rivals alone, in its own order; InputError for one that it does not have."""
        if unknown := set(rivals) - set(self.rivals):
            raise InputError(
                f"the recipe has no rival {', '.join(sorted(unknown))}, but {', '.join(self.rivals) or 'none at all'}"
            )
        return replace(self, rivals={name: self.rivals[name] for name in self.rivals if name in rivals})

    def with_rivals(self, rivals: Collection[str]) -> "Recipe":
        """The recipe with these rivals: its own by name, others as "package.module:Class" or "NAME=..."."""
        rivals = [rival.strip() for rival in rivals]
        own = [rival for rival in rivals if ":" not in rival]
        others: dict[str, dict[str, Any]] = {}
        for rival in rivals:
            if ":" in rival:
                name, _, path = rival.rpartition("=")
                name = name or path.rpartition(":")[2]
                if name in others or name in own:
                    raise InputError(
                        f"{rival}: there is a rival {name} already; NAME={path} calls it otherwise"
                    )
                if not NAME.fullmatch(name):
                    raise InputError(f"{rival}: a name is of letters, digits and . _ -, not {name!r}")
                others[name] = {"network": path}
        return replace(self.keep_rivals(own), rivals=dict(self.keep_rivals(own).rivals) | others)

    def with_values(self, values: Mapping[str, Any]) -> "Recipe":
        """The recipe with these values for all its models, but for the mixers that make a rival what it is.

        A rate that the recipe chose for a rival yields to one that is given, and to another optimiser.
        """
        given = {name for name in values if name in SCHEDULED} | (
            {"matrix_lr"} if "optimizer" in values else set()
        )
        rivals = {
            rival: {name: value for name, value in own.items() if name not in given}
            for rival, own in self.rivals.items()
        }
        return Recipe(override(self.experiment, values), rivals)


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Runs of a model and its rivals: {"equal parameters": {model: [record of each seed]}, "equal time": ...}.

    `runs` holds the same as values. Rivals have as many parameters in the one arm, and as many seconds in the other.
    `tuning` says which values each model was given where the comparison tuned them, and by which trials.
    """

    arms: dict[str, dict[str, list[Record]]]
    tuning: dict[str, Tuning] = field(default_factory=dict)

    @classmethod
    def from_run(cls, run: Run) -> "Comparison":
        """The comparison of a record that was read."""
        tuning = {model: decode(Tuning, found, {}) for model, found in run.result.get("tuning", {}).items()}
        return cls(run.result["arms"], tuning)

    @property
    def runs(self) -> dict[str, dict[str, list[TrainingRun]]]:
        """The runs of each arm and model, as values."""
        return {
            arm: {model: [training_run(record) for record in records] for model, records in models.items()}
            for arm, models in self.arms.items()
        }


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison; its `name` is its folder below that of the comparison."""

    experiment: Experiment
    out: Path
    label: Label
    digests: Mapping[str, str] = field(default_factory=dict)  # of what it reads, by its name

    @property
    def name(self) -> str:
        return f"{self.out.parent.name}/{self.out.name}"


@dataclass(frozen=True)
class Listeners:
    """Callbacks for the runs of a comparison: functions of a run's name that return arguments of `train`."""

    progress: Callable[[str], Progress] | None = None
    log: Callable[[str], Log] | None = None
    scoring: Callable[[str], Progress] | None = None


LISTENERS = [part.name for part in fields(Listeners)]


def matched_models(name: str, recipe: Recipe) -> dict[str, tuple[Experiment, PreparedData]]:
    """{model: (experiment, what it reads)} of the recipe's own model and its rivals.

    `hidden` is solved for equal parameters, and the last loss is over all held-out samples, unless an experiment says
    otherwise. InputError names the first model that cannot be trained, and a rival of the recipe's own name.
    """
    own = recipe.experiment
    if name in recipe.rivals:
        raise InputError(
            f"{name} is the recipe's own model: call the rival otherwise, NAME=package.module:Class"
        )
    check_size(own)
    for rival, values in recipe.rivals.items():
        try:
            model_size(override(own, values), least_vocabulary(own.data))
        except InputError as error:
            raise InputError(f"{rival}: {error}", field=error.fields) from None
    read: dict[Any, PreparedData] = {}

    def judged(model: str, experiment: Experiment) -> tuple[Experiment, PreparedData]:
        key = (experiment.data, experiment.network, experiment.schedule.seed, step_samples(experiment))
        try:
            data = read[key] = read.get(key) or prepare_data(experiment)
            build_model(experiment, data)
        except InputError as error:
            raise InputError(f"{model}: {error}", field=error.fields) from None
        return override(experiment, {"judged": experiment.schedule.judged or len(data.held_out)}), data

    models = {name: judged(name, own)}
    size = parameter_count(own, model_config(own, vocabulary=models[name][1].vocabulary))
    for rival, values in recipe.rivals.items():
        models[rival] = judged(rival, override(own, {"parameters": size} | dict(values)))
    return models


@dataclass(frozen=True)
class WorkerTask:
    """A run for a dask worker, its threads (0: as many as the worker has), and the topic of its events."""

    run: PlannedRun
    threads: int
    topic: str


def run_on_worker(task: WorkerTask) -> Record:
    """The record of a task's run, trained by this dask worker.

    Progress and warnings are reported to the process that asked.
    """
    from distributed import get_worker

    worker = get_worker()

    def report(kind: str, run: str) -> Callable[..., None]:
        return lambda *values: worker.log_event(task.topic, (kind, run, values))

    with ALONE, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: report("warning", task.run.name)(str(message))
        torch.set_num_threads(task.threads or worker.state.nthreads)
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        return run_task(task.run, Listeners(*(partial(report, kind) for kind in LISTENERS)))


def run_task(task: PlannedRun, listeners: Listeners) -> Record:
    """Trains or resumes the run of a task and returns its record; a finished run is not trained again.

    InputError for one that is there and read something else.
    """
    try:
        if (task.out / "run.json").exists():
            refuse_other_digests(task.out, read_run(task.out).config.get("digests", {}), task.digests)
        train(
            task.experiment,
            task.out,
            task.label,
            resume=True,
            progress=listeners.progress and listeners.progress(task.name),
            log=listeners.log and listeners.log(task.name),
            scoring=listeners.scoring and listeners.scoring(task.name),
        )
    except TerminationError as error:
        told = str(error).replace("`resume` goes on", "the same command goes on")
        raise TerminationError(f"{task.name}: {told}") from None
    except InputError as error:
        if "overwrite" not in error.fields:
            raise
        told = str(error).replace("`overwrite` starts it again", f"delete {task.out} to train it again")
        raise InputError(told, field=tuple(name for name in error.fields if name != "overwrite")) from None
    return dict(read_run(task.out).record)


def run_all(
    tasks: list[PlannedRun], *, jobs: int, scheduler: str | None, listeners: Listeners
) -> list[Record]:
    """The record of every task's run, in order; the first failure is raised, and no further run begins.

    With jobs = 1 the runs are trained in this process, with more in processes of their own, and with a
    scheduler on its workers.
    """
    if scheduler is None and jobs == 1:
        return [run_task(task, listeners) for task in tasks]
    threads = 0 if scheduler else max(1, (os.cpu_count() or 1) // jobs)
    topic = f"spinodal-{uuid.uuid4().hex}"

    def hear(message: tuple[str, str, Sequence[Any]]) -> None:
        kind, run, values = message
        if kind == "warning":
            warnings.warn(*values, stacklevel=2)  # the same one of several runs is shown once
            return
        listener = getattr(listeners, kind)
        if listener:
            listener(run)(*values)

    asked = {f"{task.name}-{topic}": WorkerTask(task, threads, topic) for task in tasks}
    with contextlib.closing(
        sweep.compute(run_on_worker, asked, scheduler=scheduler, workers=jobs, topic=topic, hear=hear)
    ) as found:
        records = dict(found)
    return [records[key] for key in asked]


def compare(
    name: str,
    recipe: Recipe,
    out: Path | str,
    *,
    command: str = "spinodal.training.compare",
    seeds: int = 3,
    jobs: int = 0,
    scheduler: str | None = None,
    tune: Grid | None = None,
    progress: Callable[[str], Progress] | None = None,
    log: Callable[[str], Log] | None = None,
    scoring: Callable[[str], Progress] | None = None,
    expect: Expect | None = None,
    draw: Draw | None = None,
) -> Comparison:
    """Trains the recipe's model and its rivals into subfolders of `out`, whose compare.json holds what is returned.

    Finished runs are kept, and unfinished ones are resumed. `jobs` is the number of runs at once, by default
    one for each core, or 1 with a GPU. `scheduler` is the address of a dask scheduler, whose workers then
    train the runs: they must see the same files under the same paths, and be equally fast where seconds are
    compared. `tune` are values to choose from, by their keys: all models have the same trials
    (training/tuning.py), and each keeps its best values in both arms. `progress`, `log` and `scoring` take the
    name of a run, its folder below `out`, and return what `train` takes as such. `expect` is called before the first
    run with the seconds that all of them take here, about, were none of them finished; `draw` at the end with the
    folder and the finished runs by arm and model, and may write PAGES.
    """
    out = Path(out)
    if process_count() > 1:
        raise InputError(
            f"a comparison starts processes of its own, and is started in {process_count()}: take torchrun or "
            f"accelerate launch for single runs, and start this without"
        )
    if seeds < 1:
        raise InputError(f"seeds={seeds}: `seeds` is at least one, and three show a spread", field="seeds")
    if recipe.experiment.schedule.minutes:
        raise InputError(
            "a comparison gives all models the same steps, and then the same time: take `steps`, not `minutes`"
        )
    if jobs < 0:
        raise InputError(
            f"jobs={jobs}: `jobs` is at least one run at once, or 0 for one a core", field="jobs"
        )
    if scheduler is not None:
        sweep.check_address(scheduler)
        out = out.resolve()
        if jobs:
            raise InputError(
                f"jobs={jobs}: `jobs` are processes of this machine, and `scheduler` has workers of its own",
                field=("jobs", "scheduler"),
            )
    check_grid(tune or {})
    tuned = {"tune": {key: list(values) for key, values in tune.items()}} if tune else {}
    with open_run(
        out,
        kind="compare",
        config={"experiment": recipe.experiment.flat(), "rivals": recipe.rivals, "seeds": seeds} | tuned,
        owned=PAGES,
        resume=True,
        overwrite=None,
        ignored=("rivals", "seeds"),
        label={"recipe": name, "command": command},
        record="compare.json",
    ) as folder:
        matched = matched_models(name, recipe)
        models = {model: experiment for model, (experiment, _) in matched.items()}
        data = {model: found for model, (_, found) in matched.items()}
        for model, experiment in models.items():
            candidates(model, experiment, tune or {})
        warn_shared_rates(name, models, tune or {})
        jobs = jobs or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
        if expect and not scheduler:
            expect(expected_seconds(models, data, seeds, tune or {}) / jobs)
        tuning: dict[str, Tuning] = {}
        if tune:
            tuning = tune_models(
                models, tune, out / TRIALS, digests={model: found.digests for model, found in data.items()},
                workers=jobs, scheduler=scheduler, progress=progress,
            )  # fmt: skip
            models = {
                model: override(experiment, tuning[model].chosen) for model, experiment in models.items()
            }

        def run_arm(arm: str, steps: Mapping[str, int]) -> dict[str, list[Record]]:
            tasks = planned_runs({m: override(models[m], {"steps": k}) for m, k in steps.items()}, seeds)
            tasks = [
                PlannedRun(
                    experiment,
                    out / arm.replace(" ", "-") / place,
                    Label(model, name, command),
                    data[model].digests,
                )
                for model, place, experiment in tasks
            ]
            runs = run_all(tasks, jobs=jobs, scheduler=scheduler, listeners=Listeners(progress, log, scoring))
            return {model: [run for run in runs if run["name"] == model] for model in steps}

        arms = {PARAMETERS: run_arm(PARAMETERS, {model: e.schedule.steps for model, e in models.items()})}
        slowest, longer = equal_time(arms[PARAMETERS], models)
        arms[TIME] = {slowest: arms[PARAMETERS][slowest]} | run_arm(TIME, longer)
        comparison = Comparison(arms, tuning)
        folder.remove(*PAGES)  # they are of fewer seeds or rivals
        folder.finish(comparison)
        if draw:
            draw(folder, comparison.runs)
    return comparison


def warn_shared_rates(name: str, models: Mapping[str, Experiment], tune: Grid) -> None:
    """Warns of networks of others at rates that were chosen for our models."""
    others = [model for model, experiment in models.items() if experiment.network and model != name]
    if others and not {"lr", "matrix_lr"} & tune.keys():
        warnings.warn(
            f"{', '.join(others)}: trained at the rates of {name}; `tune` chooses for each model its own",
            stacklevel=2,
        )


def expected_seconds(
    models: Mapping[str, Experiment], data: Mapping[str, PreparedData], seeds: int, tune: Grid
) -> float:
    """Seconds of all runs and trials of a comparison one after another, by a few batches of each model."""
    whole = {}
    for model, experiment in models.items():
        network = build_model(experiment, data[model])
        whole[model] = measure_pace(experiment, network, data[model]).seconds(experiment)
    slowest = max(whole.values())
    runs = seeds * (sum(whole.values()) + slowest * (len(whole) - 1))
    return runs + sum(trial_share(tune) * seconds for seconds in whole.values())


def planned_runs(models: Mapping[str, Experiment], seeds: int) -> list[tuple[str, str, Experiment]]:
    """(model, folder, experiment) of every run: all models of the first seed, then all of the next."""
    found = []
    for k in range(seeds):
        for model, experiment in models.items():
            seed = experiment.schedule.seed + k
            found.append((model, f"{model}-seed{seed}", override(experiment, {"seed": seed})))
    return found


def equal_time(
    runs: Mapping[str, list[Record]], models: Mapping[str, Experiment]
) -> tuple[str, dict[str, int]]:
    """(slowest model, {other model: the number of its steps that take as long as the slowest's run})."""
    seconds = {model: sum(run["final"]["seconds"] for run in seeds) for model, seeds in runs.items()}
    slowest = max(seconds, key=lambda model: seconds[model])
    return slowest, {
        model: round(e.schedule.steps * seconds[slowest] / seconds[model])
        for model, e in models.items()
        if model != slowest
    }
