"""meanfield: tokens as a density, from a ripple to consensus."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import SpinnerColumn, TimeElapsedColumn

from spinodal.cli import _options as shared
from spinodal.cli._defaults import default
from spinodal.cli._density import reference_of, start_of
from spinodal.cli._output import (
    bars,
    command_line,
    console,
    drawing,
    given,
    renamed,
    save_figures,
    text_column,
)
from spinodal.cli._values import number_or_text

UNTIL, TOLERANCE = (default(f"meanfield.DensityExperiment.{name}") for name in ("until", "tolerance"))


def add_to(app: typer.Typer) -> None:
    app.command("meanfield")(meanfield_command)


def meanfield_command(
    out: Annotated[Path, typer.Option(help="Folder for run.json, record.npz and the pictures.")],
    geometry: Annotated[
        str, typer.Option(help="circle; sphere (S^2); zonal (about an axis of S^(d-1)).")
    ] = default("meanfield.WhiteNoise.geometry"),
    d: Annotated[int | None, typer.Option(help="For zonal: tokens live on the unit sphere of R^d.")] = None,
    field: Annotated[
        str, typer.Option(help="sa; usa (weights e^(beta <x,y>) / n); gkpr (e^beta slower).")
    ] = default("meanfield.DensityExperiment.field.kind"),
    beta: Annotated[float, typer.Option(help="Inverse temperature.")] = default(
        "meanfield.DensityExperiment.field.beta"
    ),
    start: Annotated[
        str | None,
        typer.Option(
            help="uniform+noise:SIGMA, or modes:FILE (lines 'k amplitude phase' on the circle, 'k amplitude' zonal, "
            "'l m amplitude' on the sphere), or density:FILE (circle: values at equal steps, uniform = 1/2pi). "
            f"White noise of {default('meanfield.WhiteNoise.sigma')} if not given."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help=f"A time, diracs or consensus; {UNTIL} if not given.")
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(help=f"Error of a step, in transported mass times distance; {TOLERANCE} if not given."),
    ] = None,
    noise: Annotated[
        float | None, typer.Option(metavar="KAPPA", help="Fokker-Planck with noise sqrt(2 / KAPPA) dW.")
    ] = None,
    q: Annotated[
        str | None, typer.Option(help="Q: diag:2,1, scaled:-1, random:SEED, or .npy, [k d] or [h k d].")
    ] = None,
    k: Annotated[str | None, typer.Option(help="K, as Q.")] = None,
    v: Annotated[str | None, typer.Option(help="V, as Q, [d d] or [h d d].")] = None,
    repulsive: Annotated[bool, typer.Option("--repulsive", help="V = -V: tokens spread.")] = False,
    resolution: Annotated[
        int | None,
        typer.Option(
            help="With noise: degrees kept (64). On the sphere and in slices: degree of the nodes (32)."
        ),
    ] = None,
    probes: shared.Probes = None,
    reference: shared.Reference = None,
    causal: shared.CausalDensity = False,
    slices: shared.Slices = None,
    seed: Annotated[int, typer.Option(help="Of the white noise.")] = default("meanfield.WhiteNoise.seed"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")] = False,
    format: shared.Format = None,
    style: shared.Style = None,
    columns: shared.Columns = None,
    unlimited: shared.Unlimited = False,
):
    """Follow a density: `spinodal meanfield --geometry circle --field sa --beta 5 --until diracs --out runs/density`.

    Prints mass error, growth rates beside theory and plateaus; writes run.json, record.npz and pictures.
    """
    from spinodal.cli._simulation import matrix_heads, probes_of
    from spinodal.figures import draw
    from spinodal.flows import AttentionField
    from spinodal.meanfield import DensityExperiment, evolve
    from spinodal.meanfield.starts import dimension
    from spinodal.runs import open_run, picture_files

    with renamed(kappa="noise", kind="field", queries="q", keys="k", values="v"):
        heads = matrix_heads(q, k, v, repulsive, dimension(geometry, d))
        attention = AttentionField(beta, field, heads, causal, **given(kappa=noise))
    with renamed(tolerance="tol", kappa="noise", kind="field", sigma="start", values="start"):
        begin = start_of(start, geometry, d, seed)
        goal = reference_of(reference, geometry, d)
        chosen = given(until=number_or_text(until), tolerance=tol, resolution=resolution, slices=slices)
        experiment = DensityExperiment(attention, begin, **chosen, probes=probes_of(probes), reference=goal)
        owned = ("record.npz", *picture_files("amplitudes", "life"))
        with open_run(
            out, kind="meanfield", config=experiment, seed=seed, owned=owned, resume=None, overwrite=overwrite,
            label={"command": command_line()},
        ) as folder:  # fmt: skip
            with bars(SpinnerColumn(), text_column(), TimeElapsedColumn(), transient=True) as shown:

                def show(t: float | int, _: float | int) -> None:
                    row = shown.task_ids[0] if shown.tasks else shown.add_task("", total=None)
                    shown.update(row, description=f"t = {t:.4g}")

                result = evolve(experiment, progress=show)
            folder.finish(result, arrays="record.npz")
            with drawing(folder):
                pictures = save_figures(folder, draw(result))
    console.print(str(result), highlight=False)
    named = " and ".join(pictures)
    console.print(f"wrote run.json, record.npz, {named} to {out}", highlight=False, soft_wrap=True)
