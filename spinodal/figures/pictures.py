"""The figures of any result, by name.

    draw(result) -> {"cosines": Figure, ...}
    draw(read_run("runs/wait"))              the same of a saved run

A new class of results needs one function that draws it, and one entry here.
"""

from importlib import import_module

from matplotlib.figure import Figure

from spinodal.errors import InputError

# room and class of a result -> file and function of this room
PICTURES = {
    "flows.Evolution": "simulation.draw_simulation",
    "flows.SimulationResult": "simulation.draw_tokens",
    "flows.EnsembleResult": "ensembles.draw_ensemble",
    "flows.LifetimesResult": "ensembles.draw_lifetimes",
    "flows.DiagramResult": "maps.draw_diagram",
    "meanfield.DensityResult": "densities.draw_density",
    "graphs.FlowResult": "graphs.draw_flow",
    "graphs.Branch": "graphs.draw_branch",
    "graphs.Equilibria": "graphs.draw_equilibria",
    "watch.ObservationResult": "observation.draw_observed",
    "watch.ObservationComparison": "observation.draw_compared",
    "watch.IterationResult": "iteration.draw_iteration",
    "watch.TrainingSeriesResult": "iteration.draw_series",
    "training.TrainingRun": "training.draw_training_run",
    "training.TrainingResult": "training.draw_training",
    "training.Comparison": "training.draw_comparison",
    "runs.Run": "saved.draw_saved",
}


def draw(result: object) -> dict[str, Figure]:
    """The pictures of a result by name, with the theory in the same axes where there is one.

    Results are what experiments return, and runs that `read_run` has read. InputError for what has no picture.

    >>> from spinodal import figures, graphs
    >>> flow = graphs.GradientFlow(graphs.build_system("cycle:4"), time=1.0, points=5)
    >>> figures.draw(graphs.integrate_flow(flow))
    {'energy': <Figure size 520x310 with 1 Axes>}
    """
    for kind in type(result).__mro__:
        room = kind.__module__.removeprefix("spinodal.").partition(".")[0]
        if place := PICTURES.get(f"{room}.{kind.__name__}"):
            file, _, function = place.partition(".")
            return getattr(import_module(f"spinodal.figures.{file}"), function)(result)
    raise InputError(f"a {type(result).__name__} has no picture; these have: {', '.join(PICTURES)}")
