"""What `spinodal simulate` does in the folder of its run: tokens evolve, and what came of them is shown."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from spinodal.cli._output import console, drawing, flow_bar, save_figures
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

    if folder.previous is not None and folder.previous.finished:
        result = folder.adopt().result_as(Evolution)  # its pictures are drawn again
    else:
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
    if certify:
        with flow_bar(result.experiment.until) as progress:
            certainty = merge_certainty(result.experiment, result, progress=progress)
        folder.save_arrays("certainty.npz", {"clusters": certainty.clusters, "digits": certainty.digits})
        console.print(str(certainty), highlight=False)
    show_ends(values)
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


def show_ends(values: Mapping[str, Any]) -> None:
    """One line an observable: its value at the start and at the end."""
    for name, course in values.items():
        console.print(f"{name}: {course[0]:.6g} to {course[-1]:.6g}", highlight=False)
