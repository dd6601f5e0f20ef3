"""The result that an experiment returned, read from the folder that a command wrote.

    result = runs.read("runs/wait")     the Evolution that `flows.evolve` returned
    runs.read_run("runs/wait")          the record alone: kind, commit, versions, configuration

A new kind needs one entry here: its result's class, or the function that reads it from the record's path.
The packages of these classes import this one, and so are imported by name when a run is read.
"""

from importlib import import_module
from typing import Any

from spinodal.errors import InputError
from spinodal.runs.files import Place
from spinodal.runs.record import Run, read_run

RESULTS = {
    "simulate": "flows.Evolution",
    "phase-diagram": "flows.DiagramResult",
    "meanfield": "meanfield.DensityResult",
    "graph-flow": "graphs.FlowResult",
    "graph-continue": "graphs.Branch",
    "graph-equilibria": "graphs.Equilibria",
    "train": "training.TrainingRun",
    "compare": "training.Comparison",
    "shorten": "shorten.TranscriptionResult",
    "observe": "watch.read_observation",
    "observe-compare": "watch.read_comparison",
    "observe-iteration": "watch.IterationResult",
    "observe-checkpoints": "watch.TrainingSeriesResult",
}


def read(path: Place) -> Any:
    """The result of the run in a folder, as its experiment returned it; the path may be a text.

    An Evolution for `simulate`, a DensityResult for `meanfield`, and so on: RESULTS of this file names them all.
    InputError where there is no run, where it is damaged or not finished, and for a kind without a result.

    >>> import tempfile
    >>> from spinodal import flows, runs
    >>> folder = tempfile.TemporaryDirectory()
    >>> simulation = flows.Simulation(flows.AttentionField(2.0), flows.UniformStart(8, 3), 1.0, times=5)
    >>> with runs.open_run(folder.name, kind="simulate", config=simulation) as out:
    ...     run = out.finish(flows.evolve(simulation), arrays="trajectory.npz")
    >>> result = runs.read(folder.name)
    >>> result.times.tolist(), result.tokens.shape
    ([0.0, 0.25, 0.5, 0.75, 1.0], (5, 8, 3))
    >>> folder.cleanup()
    """
    return result_of(read_run(path))


def result_of(run: Run) -> Any:
    """The result of a record that was read, as `read` returns it."""
    if run.kind not in RESULTS:
        raise InputError(
            f"{run.path} is a run of {run.kind}, which has no result; these have: {', '.join(RESULTS)}"
        )
    if not run.finished and run.kind != "train":
        raise InputError(f"{run.folder} holds a run that is not finished: it has no result yet")
    room, _, name = RESULTS[run.kind].partition(".")
    reader = getattr(import_module(f"spinodal.{room}"), name)
    if not isinstance(reader, type):
        return reader(run.path)
    from_run = getattr(reader, "from_run", None)
    return run.result_as(reader) if from_run is None else from_run(run)
