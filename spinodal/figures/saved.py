"""Pictures of a saved run: its result is read, and drawn."""

from collections.abc import Callable

from matplotlib.figure import Figure

from spinodal import flows, graphs, meanfield, training, watch
from spinodal.errors import InputError
from spinodal.figures.pictures import draw
from spinodal.runs import Run, arrays_of

RESULTS: dict[str, type | Callable[[Run], object]] = {
    "simulate": flows.Evolution,
    "phase-diagram": lambda run: diagram_of(run),
    "meanfield": meanfield.DensityResult,
    "graph-flow": graphs.FlowResult,
    "graph-continue": graphs.Branch,
    "graph-equilibria": graphs.Equilibria,
    "train": lambda run: training.training_run(run.record),
    "compare": lambda run: training.Comparison(run.result["arms"]),
    "observe": lambda run: watch.read_observation(run.path),
    "observe-compare": lambda run: watch.read_comparison(run.path),
}


def draw_saved(run: Run) -> dict[str, Figure]:
    """The pictures of the run's result; InputError for a run that is not finished, or of a kind without pictures."""
    if run.kind not in RESULTS:
        raise InputError(
            f"{run.path} is a run of {run.kind}, which has no picture; these have: {', '.join(RESULTS)}"
        )
    if not run.finished:
        raise InputError(f"{run.folder} holds a run that is not finished: it has no result yet")
    reader = RESULTS[run.kind]
    return draw(run.result_as(reader) if isinstance(reader, type) else reader(run))


def diagram_of(run: Run) -> flows.DiagramResult:
    """The maps of a saved phase diagram."""
    arrays = arrays_of(run.folder / "map.npz")
    if missing := {"probability", "standard_error"} - arrays.keys():
        raise InputError(f"{run.folder / 'map.npz'} holds no {', '.join(sorted(missing))}")
    return flows.DiagramResult(run.config_as(flows.Diagram), arrays["probability"], arrays["standard_error"])
