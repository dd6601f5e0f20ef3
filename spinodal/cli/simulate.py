"""simulate: tokens as particles, from a start to a time or to consensus."""

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer
from typer import Option

from spinodal.cli import _options as shared
from spinodal.cli._defaults import default
from spinodal.cli._output import command_line

FIELD, ENGINE, BETA = (default(f"flows.AttentionField.{name}") for name in ("kind", "engine", "beta"))
START, N, D = (default(f"flows.named_start.{name}") for name in ("name", "n", "d"))
CLOCK, UNTIL = default("flows.named_method.clock"), default("flows.Simulation.until")
LAYER, NOISY = default("flows.Layers.step"), default("flows.Noisy.step")
NORMALISATION = default("flows.fields.scheme.name")


def add_to(app: typer.Typer) -> None:
    app.command("simulate")(simulate_command)


def simulate_command(
    out: Annotated[Path, Option(help="Folder of the run.")],
    field: Annotated[str, Option(help="sa, usa, or gkpr: USA with a clock e^beta slower.")] = FIELD,
    n: Annotated[int | None, Option(help=f"Tokens; {N}, or as many as --start holds.")] = None,
    d: Annotated[int | None, Option(help=f"Dimension; {D}, or that of the matrices or of --start.")] = None,
    beta: Annotated[float, Option(help="Inverse temperature of either sign; inf: hardmax.")] = BETA,
    q: Annotated[str | None, Option(help="Q: diag:2,1, scaled:-1, random:SEED, or .npy, [k d] or [h k d].")] = None,
    k: Annotated[str | None, Option(help="K, as Q.")] = None,
    v: Annotated[str | None, Option(help="V, as Q, [d d] or [h d d].")] = None,
    feed_forward: shared.FeedForwardText = None,
    rotations: shared.Rotations = None,
    pulls: shared.Pulls = None,
    resample: shared.Resample = False,
    positions: shared.PositionsText = None,
    source: shared.SourceFile = None,
    share: shared.Share = None,
    causal: Annotated[bool, Option("--causal", help="Token i sees tokens j <= i.")] = False,
    repulsive: Annotated[bool, Option("--repulsive", help="V = -V: tokens spread.")] = False,
    normalisation: Annotated[str, Option(help="post, pre, mix, peri, ngpt, sqrt; none, rescaled.")] = NORMALISATION,
    parameter: Annotated[float | None, Option(help="tau of mix, alpha of ngpt.")] = None,
    noise: Annotated[float | None, Option(help="kappa of sqrt(2 / kappa) dW.")] = None,
    origin: shared.Origin = None,
    layer: shared.OriginLayer = None,
    text: shared.LayerText = None,
    clock: Annotated[str, Option(help="ode: the flow; layer: normalise(x + h Att(x)).")] = CLOCK,
    step: Annotated[float | None, Option(help=f"h of layers ({LAYER}) or of noise ({NOISY}).")] = None,
    start: Annotated[str, Option(help="uniform, orthonormal, lattice; normal:SIZE, cube:SIZE; or .npy.")] = START,
    perturb: Annotated[float | None, Option(help="Moves the start by Gaussian steps of this size.")] = None,
    normalise: Annotated[bool, Option("--normalise", help="Scale the start to unit length.")] = False,
    weights: Annotated[str | None, Option(help="Weights as .npy, [n], summing to one.")] = None,
    probes: shared.Probes = None,
    until: Annotated[str, Option(help="A time, or consensus: however long it takes.")] = f"{UNTIL:g}",
    frames: Annotated[
        int, Option(help="Times to keep, evenly spread, as 256 MiB hold them; to consensus 8 a decade.")
    ] = default("flows.Simulation.times"),
    save_times: Annotated[str | None, Option(help="Times to keep: .npy, or log.")] = None,
    engine: Annotated[str, Option(help="auto, direct, attention, circle, sphere, ...")] = ENGINE,
    tol: Annotated[float, Option(help="Error of a step of the ode clock.")] = default("flows.Adaptive.tolerance"),
    seed: Annotated[int, Option(help="Of the start and of the noise.")] = default("flows.named_start.seed"),
    observables: Annotated[
        str | None, Option(help="Numbers over time, with commas, of `spinodal list observables`.")
    ] = None,
    certify: Annotated[bool, Option("--certify", help="Run again at --tol / 10: digits of the merges' times.")] = False,
    movie: Annotated[str | None, Option(help="gif: a movie too, for d = 2 and 3.")] = None,
    resume: Annotated[bool, Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace what is in --out.")] = False,
    format: shared.Format = None,
    style: shared.Style = None,
    columns: shared.Columns = None,
    unlimited: shared.Unlimited = False,
):  # fmt: skip
    """Let tokens flow: `spinodal simulate --n 200 --d 2 --beta 25 --until consensus --out runs/wait`.

    Writes run.json (settings, engine, error_bound, merges with their times, energy, final state), trajectory.npz
    (times, tokens [t n d], lengths, merges) and pictures. Two clusters wait e^beta for each other: the last merge above
    is at t = 7e20, and takes a second. A run that was stopped goes on with --resume, bit for bit.
    """
    asked = SimpleNamespace(**locals())
    from spinodal.cli import _evolution
    from spinodal.cli import _simulation as options
    from spinodal.runs import check_folder, open_run

    names = tuple(observables.split(",")) if observables else ()
    options.require_equal_weights(names, weights)
    place: dict[str, Any] = {"kind": "simulate", **_evolution.FILES, "resume": resume, "overwrite": overwrite}
    options.require_kind_of_movie(movie)
    check_folder(out, **place)
    simulation = options.simulation_of(asked)
    options.require_movie_and_digits(simulation, movie=movie, certify=certify)
    with open_run(out, config=simulation, seed=seed, label={"command": command_line()}, **place) as folder:
        result = _evolution.evolve_into(folder, simulation, resume=resume, overwrite=overwrite)
        _evolution.show_evolution(folder, result, names, movie=movie is not None, certify=certify)
