"""phase-diagram: when do tokens meet? A map of probabilities over time and inverse temperature."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from spinodal.cli.output import console
from spinodal.errors import InputError
from spinodal.runs import sweep


def add_to(app: typer.Typer) -> None:
    app.command("phase-diagram")(phase_diagram_command)


def phase_diagram_command(
    out: Annotated[Path, typer.Option(help="Folder of the map; a killed sweep goes on there.")],
    n: Annotated[int, typer.Option(help="Tokens of a system.")] = 32,
    d: Annotated[str, typer.Option(help="Dimensions, with commas.")] = "2,8,32,128,512,1024",
    samples: Annotated[int, typer.Option(help="Systems, each with its own uniform start.")] = 1024,
    field: Annotated[str, typer.Option(help="sa, usa, or gkpr: USA with a clock e^beta slower.")] = "sa",
    clock: Annotated[str, typer.Option(help="layer: normalise(x + h Att); ode: the flow itself.")] = "layer",
    step: Annotated[float, typer.Option(help="h of the layer clock.")] = 0.1,
    tolerance: Annotated[float, typer.Option(help="Error of a step of the ode clock.")] = 1e-6,
    t_max: Annotated[float, typer.Option(help="The last time.")] = 30.0,
    times: Annotated[int, typer.Option(help="Columns of the map.")] = 150,
    beta: Annotated[str, typer.Option(help="The first and the last beta, LOW:HIGH, or one.")] = "0.1:9",
    betas: Annotated[int, typer.Option(help="Rows of the map.")] = 200,
    threshold: Annotated[float, typer.Option(help="Tokens of this cosine and above have met.")] = 0.999,
    seed: Annotated[int, typer.Option(help="Of the starts.")] = 0,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler: tcp://host:8786.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes of this machine; 0 is one a core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a map of another sweep.")] = False,
):
    """Probability that two tokens have met: `spinodal phase-diagram --n 32 --d 2,1024 --samples 256 --out runs/map`.

    Writes map.npz (t, beta, d, probability and standard_error as (d, t, beta), and probability_2 ... by d), map.png
    with the curve of the theory, and run.json. Rows are kept in cells/: the same command goes on after a kill.
    """
    from spinodal.flows.ensembles import Diagram, row

    diagram = Diagram(
        d=tuple(integers("--d", d)),
        betas=tuple(spaced("--beta", beta, betas)),
        times=tuple(grid(clock, step, tolerance, t_max, times)),
        clock=(clock, step if clock == "layer" else tolerance),
        n=n, samples=samples, seed=seed, field=field, threshold=threshold,
    )  # fmt: skip
    opened(out, diagram, overwrite=overwrite)
    started = time.perf_counter()
    with bar(f"{len(diagram.d)} x {len(diagram.betas)} rows") as report:
        try:
            rows = sweep.run(row, diagram.cells(), out, scheduler=scheduler, workers=workers, report=report)
        except KeyboardInterrupt:
            kept = len(list((out / "cells").glob("*.json")))
            console.print(f"interrupted: {kept} rows are kept in {out / 'cells'}; the same command goes on")
            raise typer.Exit(130) from None
    write(out, diagram, rows, time.perf_counter() - started)


def integers(name: str, text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{name} {text}: whole numbers with commas between them, such as 2,32,1024"
        ) from None
    if len(set(found)) < len(found):
        raise InputError(f"{name} {text}: names a dimension twice")
    return found


def spaced(name: str, text: str, number: int) -> list[float]:
    """So many values from LOW to HIGH; the one value where LOW alone is given."""
    try:
        ends = [float(part) for part in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2) or not np.all(np.isfinite(ends)) or ends != sorted(set(ends)):
        raise InputError(f"{name} {text}: takes LOW:HIGH, such as 0.1:9, or one number")
    if number < 1:
        raise InputError(f"{name}s {number}: must be at least 1")
    return ends if len(ends) == 1 else np.linspace(ends[0], ends[1], number).tolist()


def grid(clock: str, step: float, tolerance: float, end: float, number: int) -> list[float]:
    from spinodal.flows.ensembles import LayerClock, OdeClock

    if not 0 < end < np.inf:
        raise InputError(f"--t-max {end:g}: must be positive")
    if number < 1:
        raise InputError(f"--times {number}: must be at least 1")
    if clock not in ("layer", "ode"):
        raise InputError(f"--clock {clock!r} is none of layer, ode")
    return (LayerClock(step) if clock == "layer" else OdeClock(tolerance)).grid(end, number).tolist()


def opened(out: Path, diagram: Any, *, overwrite: bool) -> None:
    """InputError where `out` is a file, or holds something other than this map."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out takes a folder")
    path = out / "run.json"
    if overwrite or not path.exists():
        return
    try:
        known = json.loads(path.read_text())["config"]
    except (ValueError, KeyError, TypeError):
        known = None
    if known != json.loads(json.dumps(asdict(diagram))):
        raise InputError(
            f"{out} holds a run of other settings: --overwrite replaces it, --out takes another folder"
        )


@contextlib.contextmanager
def bar(title: str) -> Iterator[sweep.Report]:
    """A progress bar of a sweep: what it yields is what the sweep reports to."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        row = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(row, completed=done, total=total)


def write(out: Path, diagram: Any, rows: list[dict], seconds: float) -> None:
    """map.npz, map.png and run.json, and a line a dimension about where tokens meet."""
    from spinodal.figures import maps
    from spinodal.runs import commit, versions

    t, betas = np.array(diagram.times), np.array(diagram.betas)
    found = diagram.stacked(rows)
    curve = maps.meeting_times(
        betas, diagram.clock, n=diagram.n, field=diagram.field, threshold=diagram.threshold, end=t[-1]
    )
    arrays = {"t": t, "beta": betas, "d": np.array(diagram.d), "theory": curve} | found._asdict()
    for k, dimension in enumerate(diagram.d):
        arrays |= {f"{name}_{dimension}": values[k] for name, values in found._asdict().items()}
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "map.npz", **arrays)
    panels = {
        f"d = {dimension}, standard error ≤ {found.standard_error[k].max():.3f}": found.probability[k]
        for k, dimension in enumerate(diagram.d)
    }
    title = f"{diagram.field.upper()}, n = {diagram.n}, {diagram.samples} starts, {diagram.clock[0]} clock"
    maps.phase_maps(t, betas, panels, title=title, curve=curve).savefig(out / "map.png", dpi=150)
    contour = {
        str(dimension): maps.relative_contour(t, found.probability[k], curve)
        for k, dimension in enumerate(diagram.d)
    }
    run = {
        "config": asdict(diagram), "seed": diagram.seed, "commit": commit(), "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds, "contour_over_theory": contour,
    }  # fmt: skip
    (out / "run.json").write_text(json.dumps(run, indent=1))
    for dimension, ratio in contour.items():
        said = (
            "half of the pairs do not meet where the theory has a curve"
            if ratio is None
            else f"half of the pairs have met at {ratio:.4f} of the theory's time (median over beta)"
        )
        console.print(f"d = {dimension}: {said}", highlight=False)
    console.print(f"{out}: map.npz, map.png, run.json", highlight=False, soft_wrap=True)
