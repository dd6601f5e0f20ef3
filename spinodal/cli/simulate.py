"""simulate: tokens as particles, from a start to a time or to consensus."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from spinodal.cli._output import (
    command_line,
    console,
    drawing,
    flow_bar,
    refuse_finished,
    renamed,
    save_figures,
)
from spinodal.cli._values import end_time
from spinodal.errors import InputError

FILES = (
    "checkpoint", "trajectory.npz", "cosines.png", "energy.png", "circle.png", "sphere.png", "movie.gif", "movie.mp4",
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command("simulate")(simulate_command)


def simulate_command(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    field: Annotated[str, typer.Option(help="sa, usa, or gkpr: USA with a clock e^beta slower.")] = "sa",
    n: Annotated[int | None, typer.Option(help="Tokens; 64, or as many as --start holds.")] = None,
    d: Annotated[int | None, typer.Option(help="Dimension; 3, or that of --start.")] = None,
    beta: Annotated[float, typer.Option(help="Inverse temperature, >= 0.")] = 1.0,
    q: Annotated[str | None, typer.Option(help="Q as .npy, [k d], or [h k d] for h heads.")] = None,
    k: Annotated[str | None, typer.Option(help="K as .npy.")] = None,
    v: Annotated[str | None, typer.Option(help="V as .npy, [d d], or [h d d].")] = None,
    causal: Annotated[bool, typer.Option("--causal", help="Token i sees tokens j <= i.")] = False,
    repulsive: Annotated[bool, typer.Option("--repulsive", help="V = -V: tokens spread.")] = False,
    normalisation: Annotated[str, typer.Option(help="post, pre, mix, peri, ngpt or sqrt.")] = "post",
    parameter: Annotated[float | None, typer.Option(help="tau of mix, alpha of ngpt.")] = None,
    noise: Annotated[float | None, typer.Option(help="kappa of sqrt(2 / kappa) dW.")] = None,
    clock: Annotated[str, typer.Option(help="ode: the flow; layer: normalise(x + h Att(x)).")] = "ode",
    step: Annotated[float | None, typer.Option(help="h of layers (0.1) or of noise (0.01).")] = None,
    start: Annotated[str, typer.Option(help="uniform, orthonormal, lattice, or tokens as .npy.")] = "uniform",
    perturb: Annotated[float, typer.Option(help="Moves the start by Gaussian steps of this size.")] = 0.0,
    normalise: Annotated[bool, typer.Option("--normalise", help="Scale the start to unit length.")] = False,
    weights: Annotated[str | None, typer.Option(help="Weights as .npy, [n], summing to one.")] = None,
    until: Annotated[str, typer.Option(help="A time, or consensus: however long it takes.")] = "20",
    frames: Annotated[
        int, typer.Option(help="Times to keep, evenly spread, as 256 MiB hold them; to consensus 8 a decade.")
    ] = 101,
    save_times: Annotated[str | None, typer.Option(help="Times to keep: .npy, or log.")] = None,
    engine: Annotated[str, typer.Option(help="auto, direct, attention, circle, sphere, ...")] = "auto",
    tol: Annotated[float, typer.Option(help="Error of a step of the ode clock.")] = 1e-8,
    seed: Annotated[int, typer.Option(help="Of the start and of the noise.")] = 0,
    movie: Annotated[str | None, typer.Option(help="gif: a movie too, for d = 2 and 3.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out.")] = False,
):
    """Let tokens flow: `spinodal simulate --n 200 --d 2 --beta 25 --until consensus --out runs/wait`.

    Writes run.json (settings, engine, error_bound, merges with their times, energy, final state), trajectory.npz
    (times, tokens [t n d], lengths, merges) and pictures. Two clusters wait e^beta for each other: the last merge above
    is at t = 7e20, and takes a second. A run that was stopped goes on with --resume, bit for bit.
    """
    from spinodal.cli._arrays import read_array
    from spinodal.cli._simulation import flow_method, matrix_heads, simulation_options, token_start
    from spinodal.figures.simulation import draw_simulation, film_simulation
    from spinodal.flows import AttentionField, Simulation, evolve
    from spinodal.flows.fields import scheme
    from spinodal.runs import check_folder, open_run

    if movie not in (None, "gif"):
        raise InputError(f"`movie` {movie}: gif is the one kind", field="movie")
    kept = save_times if save_times in (None, "log") else read_array(save_times, option="save_times")
    place: dict[str, Any] = {
        "kind": "simulate", "owned": FILES, "partial": ("checkpoint",), "resume": resume, "overwrite": overwrite,
    }  # fmt: skip
    check_folder(out, **place)
    with renamed(**simulation_options(v is not None, kept is not None)):
        attention = AttentionField(
            beta, field, matrix_heads(q, k, v, repulsive), causal, scheme(normalisation, parameter),
            math.inf if noise is None else noise, engine=engine,
        )  # fmt: skip
        simulation = Simulation(
            attention,
            token_start(start, n, d, attention.d or 3, seed, normalise, perturb),
            end_time(until),
            flow_method(clock, step, tol, seed, noisy=noise is not None),
            None if weights is None else read_array(weights, option="weights"),
            frames if kept is None else kept,
        )
    if movie and simulation.d not in (2, 3):
        raise InputError(f"`movie` {movie}: for d = 2 and 3, not for d = {simulation.d}", field="movie")
    label = {"command": command_line()}
    with open_run(out, config=simulation, seed=seed, label=label, **place) as folder:
        refuse_finished(folder)
        if not overwrite:
            folder.begin()
        saving: dict[str, Any] = {"checkpoint": out / "checkpoint", "begin": folder.begin, "resume": resume}
        try:
            with flow_bar(simulation.until, simulation.n) as report:
                result = evolve(simulation, **saving, progress=report)
        except KeyboardInterrupt:
            told = "with --resume in place of --overwrite" if overwrite else "with --resume"
            going = f"the same command {told} goes on" if folder.begun else "nothing was written yet"
            console.print(f"interrupted; {going}", soft_wrap=True)
            raise typer.Exit(130) from None
        folder.finish(result, arrays="trajectory.npz")
        folder.remove("checkpoint")
        with drawing(folder):
            figures = draw_simulation(simulation, result)
            save_figures(folder, figures)
            films = film_simulation(result, folder.place("movie.gif")) if movie else []
    console.print(str(result), highlight=False)
    pictures = [*(f"{name}.png" for name in figures), *(film.name for film in films)]
    written = ", ".join(["run.json", "trajectory.npz", *pictures])
    console.print(f"{out}: {written}", highlight=False, soft_wrap=True)
