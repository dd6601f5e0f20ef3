"""simulate: tokens as particles, from a start to a time or to consensus."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from spinodal.cli.output import console
from spinodal.errors import InputError

Report = Callable[[float, int, int], object]


@dataclass(frozen=True)
class Simulation:
    """Every option that the numbers of a run depend on."""

    field: str
    n: int | None
    d: int | None
    beta: float
    q: str | None
    k: str | None
    v: str | None
    causal: bool
    repulsive: bool
    normalisation: str
    parameter: float | None
    noise: float | None
    clock: str
    step: float | None
    start: str
    perturb: float
    normalise: bool
    weights: str | None
    until: str
    frames: int
    save_times: str | None
    engine: str
    tol: float
    seed: int

    @property
    def end(self) -> float:
        """The time to stop at, inf for consensus."""
        if self.until == "consensus":
            return math.inf
        try:
            end = float(self.until)
        except ValueError:
            end = math.nan
        if not 0 < end < math.inf:
            raise InputError(f"--until {self.until}: a positive time, or consensus")
        return end


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
        int,
        typer.Option(
            help="Times to keep, evenly spread, as far as 256 MiB hold them; to consensus, 8 a decade."
        ),
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
    from spinodal.cli import particles_input, particles_run

    if movie not in (None, "gif"):
        raise InputError(f"--movie {movie}: gif is the one kind")
    simulation = Simulation(
        field, n, d, beta, q, k, v, causal, repulsive, normalisation, parameter, noise, clock, step, start, perturb,
        normalise, weights, until, frames, save_times, engine, tol, seed,
    )  # fmt: skip
    prepared = particles_input.prepared(simulation)
    particles_run.opened(out, simulation, resume=resume, overwrite=overwrite)
    with bar(simulation.end, prepared.n) as report:
        run = particles_run.simulated(prepared, out, resume=resume, report=report)
    written = particles_run.write(out, prepared, run, movie=movie is not None)
    final = run.json["final"]
    console.print(
        f"t = {final['time']:.8g}: {final['clusters']} clusters, {final['steps']} steps, relative error of a drift "
        f"<= {run.json['error_bound']:.1e}",
        highlight=False,
    )
    console.print(f"{out}: {', '.join(written)}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def bar(end: float, n: int) -> Iterator[Report]:
    """Progress in the logarithm of time, or, to consensus, of the number of clusters."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[now]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        row = progress.add_task("simulate", total=1.0, now="")

        def report(time: float, clusters: int, steps: int) -> None:
            if end < math.inf:
                done = math.log1p(1000 * time / end) / math.log1p(1000)
            else:
                done = 1 - math.log(clusters) / math.log(n)
            progress.update(
                row, completed=done, now=f"t = {time:.4g}, {clusters} tokens followed, step {steps}"
            )

        yield report
