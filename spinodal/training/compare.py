r"""A comparison: several models on one text, at equal parameters and at equal time, over seeds.

Equal parameters: every rival's `hidden` is solved so that it has as many parameters as the
recipe's own model, and all take the same number of steps. Equal time: a faster model is given
the steps that fill the time of the slowest, with a schedule of its own over them. Runs are
interleaved over models, `jobs` at once, each on its share of the cores, so all meet the same
machine; a run that is finished is not run again.
"""

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from spinodal.errors import InputError
from spinodal.runs import commit, write_json
from spinodal.training.experiment import Experiment, changed, model_config, parameter_count
from spinodal.training.run import FORMAT, Label, prepared, rehearsed, require_folder, train

PARAMETERS, TIME = "equal parameters", "equal time"
Report = Callable[[str, int, int, float], None]  # run, step, of how many, loss


@dataclass(frozen=True)
class Recipe:
    """An experiment with its rivals: by name, the values in which each differs from it."""

    experiment: Experiment
    rivals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One run of a comparison."""

    experiment: Experiment
    out: Path
    label: Label


def contestants(name: str, recipe: Recipe) -> dict[str, Experiment]:
    """The recipe's own model and its rivals, all of the size of the first; InputError if one cannot be trained."""
    own = recipe.experiment
    data = prepared(own)
    size = parameter_count(own, model_config(own, vocabulary=data.vocabulary))
    models = {name: own} | {
        rival: changed(own, {"parameters": size} | dict(values)) for rival, values in recipe.rivals.items()
    }
    for model, experiment in models.items():
        try:
            rehearsed(experiment, data if experiment.text == own.text else prepared(experiment))
        except InputError as error:
            raise InputError(f"{model}: {error}") from None
    return models


_channel: Any = None


def _enter(channel: Any, threads: int):
    """In each worker: where to report, and how many threads to take."""
    global _channel
    _channel = channel
    # Ctrl-C ends it: else it would begin the next run, and be waited for
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _work(task: Task) -> dict:
    return trained(task, lambda *news: _channel.put(news))


def trained(task: Task, report: Report) -> dict:
    """The run of a task, which may be finished, begun or new."""
    run, steps = str(task.out), task.experiment.schedule.steps
    return train(
        task.experiment,
        task.out,
        task.label,
        resume=True,
        progress=lambda step, loss: report(run, step, steps, loss),
    )


def run_all(tasks: list[Task], *, jobs: int, report: Report) -> list[dict]:
    """Every task's run, in order; the first failure ends the others that have not begun and is raised.

    One job runs in this process, more in processes of their own.
    """
    if jobs == 1:
        return [trained(task, report) for task in tasks]
    context = multiprocessing.get_context("spawn")
    channel = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_enter, initargs=(channel, threads)
    ) as pool:
        futures: list[Future[dict]] = [pool.submit(_work, task) for task in tasks]
        try:
            while not all(future.done() for future in futures):
                for future in futures:
                    if future.done():
                        future.result()
                _relay(channel, report)
            _relay(channel, report)
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _relay(channel: Any, report: Report):
    """Passes on what workers have reported since the last time."""
    time.sleep(0.2)
    while True:
        try:
            report(*channel.get_nowait())
        except queue.Empty:
            return


def compare(
    name: str,
    recipe: Recipe,
    out: Path,
    *,
    command: str,
    seeds: int = 3,
    jobs: int = 0,
    report: Report = lambda run, step, steps, loss: None,
) -> dict[str, dict[str, list[dict]]]:
    """{"equal parameters": {model: [run of each seed]}, "equal time": ...}, and compare.json in `out`.

    `jobs` runs at once, by default one a core without a GPU and one at all with it.
    """
    if seeds < 1:
        raise InputError(f"seeds={seeds}: a comparison takes at least one, and three to show a spread")
    if jobs < 0:
        raise InputError(f"jobs={jobs}: at least one run at once, or 0 for one a core")
    require_folder(out)
    models = contestants(name, recipe)
    jobs = jobs or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    out.mkdir(parents=True, exist_ok=True)

    def tasks(arm: str, steps: Mapping[str, int]) -> list[Task]:
        made = []
        for seed in range(seeds):
            for model, count in steps.items():
                experiment = changed(
                    models[model], {"steps": count, "seed": models[model].schedule.seed + seed}
                )
                folder = out / arm.replace(" ", "-") / f"{model}-seed{experiment.schedule.seed}"
                made.append(Task(experiment, folder, Label(model, name, command)))
        return made

    def run_arm(arm: str, steps: Mapping[str, int]) -> dict[str, list[dict]]:
        runs = run_all(tasks(arm, steps), jobs=jobs, report=report)
        return {model: [run for run in runs if run["name"] == model] for model in steps}

    arms = {PARAMETERS: run_arm(PARAMETERS, {model: e.schedule.steps for model, e in models.items()})}
    seconds = {m: sum(run["final"]["seconds"] for run in runs) for m, runs in arms[PARAMETERS].items()}
    slowest = max(seconds, key=lambda model: seconds[model])
    longer = {
        model: round(e.schedule.steps * seconds[slowest] / seconds[model])
        for model, e in models.items()
        if model != slowest
    }
    arms[TIME] = {slowest: arms[PARAMETERS][slowest]} | run_arm(TIME, longer)
    write_json(
        out / "compare.json",
        {"format": FORMAT, "recipe": name, "command": command, "commit": commit(), "arms": arms},
    )
    return arms
