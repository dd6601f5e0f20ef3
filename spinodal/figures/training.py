"""Pictures of a run of training, of its result, and of a comparison."""

from matplotlib.figure import Figure

from spinodal.figures.cosines import cosine_histograms
from spinodal.figures.curves import loss_over_steps, loss_over_time, residual_curves
from spinodal.figures.phases import mapped_layers, phase_map
from spinodal.figures.runs import Runs, residual_names
from spinodal.figures.style import colours
from spinodal.training import Comparison, TrainingResult, TrainingRun

UNKNOWN = {"recipe": "", "command": "", "config": {}, "commit": "", "date": "", "versions": {}, "machine": ""}


def draw_training_run(run: TrainingRun) -> dict[str, Figure]:
    """The figures "loss", "loss-over-time", one a residual, and "cosines" and "phases" of the probe, where it has them.

    A residual is 0 at equilibrium, which is the theory in its axes.
    """
    runs, colour = {run.name: [run]}, colours([run.name])
    figures = curves(runs, colour)
    if run.probe is not None:
        figures["cosines"] = cosine_histograms(run, colour[run.name])
    if mapped_layers(run):
        figures["phases"] = phase_map(run)
    return figures


def draw_training(result: TrainingResult) -> dict[str, Figure]:
    """The figures of `draw_training_run` for a result in memory, which has no name, date or commit."""
    parts = {name: getattr(result, name) for name in ("parameters", "metrics", "final", "probe")}
    return draw_training_run(TrainingRun(name="model", seed=0, finished=True, **UNKNOWN, **parts))


def draw_comparison(comparison: Comparison) -> dict[str, Figure]:
    """The curves of each arm, under the name of the arm: "equal-time-loss"."""
    drawn = {}
    for arm, runs in comparison.runs.items():
        named = curves(runs, colours(runs))
        drawn |= {f"{arm.replace(' ', '-')}-{name}": figure for name, figure in named.items()}
    return drawn


def curves(runs: Runs, colour: dict[str, str]) -> dict[str, Figure]:
    """Losses against steps and time, and each residual that a run reports against steps."""
    figures = {"loss": loss_over_steps(runs, colour), "loss-over-time": loss_over_time(runs, colour)}
    names = residual_names(run for seeds in runs.values() for run in seeds)
    return figures | {name: residual_curves(runs, colour, name) for name in names}
