"""What `spinodal simulate` does in the folder of its run: tokens evolve, and what came of them is shown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

from spinodal.cli._output import console, drawing, flow_bar, renamed, save_figures
from spinodal.runs import picture_files

FILES: dict[str, Any] = {
    "owned": (
        "checkpoint", "trajectory.npz", "observables.npz", "certainty.npz", "movie.gif", "movie.mp4",
        *picture_files("observables", "cosines", "energy", "circle", "sphere", "paths"),
    ),
    "partial": ("checkpoint",),
}  # fmt: skip


def evolve_into(folder: Any, simulation: Any, *, resume: bool, overwrite: bool) -> Any:
    """The course of a simulation, kept in the folder; a finished one is read. Interrupted, it says how to go on."""
    from spinodal.flows import Evolution, evolve
    from spinodal.flows.experiment import require_own_steps

    if folder.previous is not None and folder.previous.finished:
        result = folder.adopt().result_as(Evolution)  # its pictures are drawn again
    else:
        with renamed(times="save_times"):
            require_own_steps(simulation)
        if not (overwrite or resume):  # else the first checkpoint begins it: what is there may be refused yet
            folder.begin()
        try:
            with flow_bar(simulation.until) as progress:
                result = evolve(
                    simulation, checkpoint=folder.path / "checkpoint", begin=folder.begin, resume=resume,
                    progress=progress,
                )  # fmt: skip
        except KeyboardInterrupt:
            told = "with --resume in place of --overwrite" if overwrite else "with --resume"
            going = f"the same command {told} goes on" if folder.begun else "nothing was written yet"
            console.print(f"interrupted; {going}", soft_wrap=True)
            raise typer.Exit(130) from None
        folder.finish(result, arrays="trajectory.npz")
    folder.remove("checkpoint")
    return result


def show_evolution(folder: Any, result: Any, asked: Sequence[str], *, movie: bool, certify: bool) -> None:
    """Pictures, observables and certified digits into the folder; what came of the run as lines."""
    from spinodal.figures import draw
    from spinodal.figures.observables import observables_over_time
    from spinodal.figures.simulation import film_simulation
    from spinodal.flows import certify as merge_certainty

    values = observe_evolution(result, asked)
    if values:
        folder.save_arrays("observables.npz", {"times": result.times, **values})
    with drawing(folder):
        figures = draw(result)
        if values:
            figures["observables"] = observables_over_time(result, values, scales_of(result))
        pictures = save_figures(folder, figures)
        films = film_simulation(result, folder.place("movie.gif")) if movie else []
    console.print(str(result), highlight=False)
    show_last_step(result)
    if certify:
        with flow_bar(result.experiment.until) as progress:
            certainty = merge_certainty(result.experiment, result, progress=progress)
        folder.save_arrays("certainty.npz", {"clusters": certainty.clusters, "digits": certainty.digits})
        console.print(str(certainty), highlight=False)
    show_ends(values, directed(values) if result.experiment.field.euclidean else ())
    arrays = ["trajectory.npz", *["observables.npz"] * bool(values), *["certainty.npz"] * certify]
    written = ", ".join(["run.json", *arrays, *pictures, *(film.name for film in films)])
    console.print(f"{folder.path}: {written}", highlight=False, soft_wrap=True)


def scales_of(result: Any) -> Any:
    """The beta and the attention of the simulation's field, and the usual width of clusters."""
    from spinodal.observables import Scales

    simulation = result.experiment
    return Scales(float(simulation.field.beta), attention=simulation.attention_weights)


def observe_evolution(result: Any, observables: Sequence[str]) -> dict[str, Any]:
    """The observables of these names at each time, as arrays."""
    from spinodal.observables import measure, observables_named

    found = (
        measure(result.trajectory, observables_named(observables), scales_of(result)) if observables else {}
    )
    return {name: values[:, 0].numpy() for name, values in found.items()}


def directed(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the observables that read directions alone, and no lengths of tokens."""
    from spinodal.observables import OBSERVABLES

    return tuple(name for name in names if not OBSERVABLES[name].of_points)


def show_ends(values: Mapping[str, Any], of_directions: Sequence[str] = ()) -> None:
    """One line an observable: its value at the start and at the end; `of_directions` are said to be of x / |x|."""
    for name, course in values.items():
        what = " of the directions of tokens" if name in of_directions else ""
        console.print(f"{name}{what}: {course[0]:.6g} to {course[-1]:.6g}", highlight=False)


def show_last_step(result: Any) -> None:
    """A line where the last step of a fixed size ends after the time that was asked."""
    simulation, end = result.experiment, result.final.time
    if hasattr(simulation.method, "step") and simulation.until * (1 + 1e-12) < end < float("inf"):
        console.print(
            f"the end is that of the first step at or after --until {simulation.until:g}: steps are whole, of "
            f"{simulation.method.step:g}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
