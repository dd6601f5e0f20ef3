"""phase-diagram: when do tokens meet? A map of probabilities over time and inverse temperature."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn
from typer import Option

from spinodal.cli._defaults import default
from spinodal.cli._options import Columns, Format, Style, Unlimited
from spinodal.cli._output import bars, command_line, console, drawing, renamed, save_figures, text_column
from spinodal.cli._values import spaced_numbers, whole_numbers
from spinodal.limits import require_at_most

FIELD, CLOCK, TOLERANCE = (
    default("flows.Diagram.field"), default("flows.Diagram.clock")[0], default("flows.ensembles.OdeClock.tolerance"),
)  # fmt: skip
DIMENSIONS = ",".join(map(str, default("flows.Diagram.d")))
BETAS = ":".join(f"{default(f'flows.ensembles.diagram_betas.{end}'):g}" for end in ("first", "last"))
THRESHOLD, WORKERS = default("flows.Diagram.threshold"), default("flows.phase_diagram.workers")

PROCESSES = 1024


def add_to(app: typer.Typer) -> None:
    app.command("phase-diagram")(phase_diagram_command)


def phase_diagram_command(
    out: Annotated[Path, Option(help="Folder of the map; a killed sweep goes on there.")],
    n: Annotated[int, Option(help="Tokens of a system.")] = default("flows.Diagram.n"),
    d: Annotated[str, Option(help="Dimensions, with commas.")] = DIMENSIONS,
    samples: Annotated[int, Option(help="Systems, each with its own start.")] = default("flows.Diagram.samples"),
    field: Annotated[str, Option(help="sa, usa, or gkpr: USA with a clock e^beta slower.")] = FIELD,
    clock: Annotated[str, Option(help="layer: normalise(x + h Att); ode: the flow itself.")] = CLOCK,
    step: Annotated[float, Option(help="h of the layer clock.")] = default("flows.ensembles.LayerClock.step"),
    tolerance: Annotated[float, Option(help="Error of a step of the ode clock.")] = TOLERANCE,
    t_max: Annotated[float, Option(help="The last time.")] = default("flows.ensembles.diagram_times.end"),
    times: Annotated[int, Option(help="Columns of the map.")] = default("flows.ensembles.diagram_times.number"),
    beta: Annotated[str, Option(help="The first and the last beta, LOW:HIGH, or one.")] = BETAS,
    betas: Annotated[int, Option(help="Rows of the map.")] = default("flows.ensembles.diagram_betas.number"),
    threshold: Annotated[float, Option(help="Tokens of this cosine and above have met.")] = THRESHOLD,
    seed: Annotated[int, Option(help="Of the starts.")] = default("flows.Diagram.seed"),
    scheduler: Annotated[str | None, Option(help="Address of a dask scheduler: tcp://host:8786.")] = None,
    workers: Annotated[int, Option(help="Processes of this machine; 0 is one a core.")] = WORKERS,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a map of another sweep.")] = False,
    format: Format = None,
    style: Style = None,
    columns: Columns = None,
    unlimited: Unlimited = False,
):  # fmt: skip
    """Probability that two tokens have met: `spinodal phase-diagram --n 32 --d 2,1024 --samples 256 --out runs/map`.

    Writes map.npz (t, beta, d, probability and standard_error as (d, t, beta), and probability_2 ... by d), map.png
    with the curve of the theory, and run.json. Rows are kept in cells/: the same command goes on after a kill.
    """
    from spinodal.figures import draw, maps
    from spinodal.flows.ensembles import Diagram, check_workers, diagram_times, phase_diagram
    from spinodal.runs import open_run, picture_files

    reading = (clock, step if clock == "layer" else tolerance)
    with renamed(kind="field", end="t_max", number="times"):
        diagram = Diagram(
            whole_numbers("d", d), spaced_numbers("beta", beta, betas), diagram_times(reading, t_max, times), reading,
            n=n, samples=samples, seed=seed, field=field, threshold=threshold,
        )  # fmt: skip
    check_workers(scheduler, workers)
    require_at_most(PROCESSES, workers, "processes", "workers")
    started, owned = time.perf_counter(), ("map.npz", *picture_files("map"))
    with open_run(
        out, kind="phase-diagram", config=diagram, seed=seed, owned=owned, resume=not overwrite, overwrite=overwrite,
        label={"command": command_line()},
    ) as folder:  # fmt: skip
        folder.begin()
        try:
            with bar(f"{len(diagram.d)} x {len(diagram.betas)} rows") as progress:
                result = phase_diagram(diagram, out, scheduler=scheduler, workers=workers, progress=progress)
        except KeyboardInterrupt:
            kept = len(list((out / "cells").glob("*.json")))
            console.print(
                f"interrupted: {kept} rows are kept in {out / 'cells'}; the same command goes on",
                soft_wrap=True,
            )
            raise typer.Exit(130) from None
        folder.save_arrays("map.npz", maps.diagram_arrays(result))
        contour = maps.contour_over_theory(result)
        named = {str(dimension): ratio for dimension, ratio in contour.items()}
        folder.finish({"seconds": time.perf_counter() - started, "contour_over_theory": named})
        with drawing(folder):
            pictures = save_figures(folder, draw(result))
    for dimension, ratio in contour.items():
        said = (
            "half of the pairs do not meet where the theory has a curve"
            if ratio is None
            else f"half of the pairs have met at {ratio:.4f} of the theory's time (median over beta)"
        )
        console.print(f"d = {dimension}: {said}", highlight=False)
    console.print(f"{out}: map.npz, {', '.join(pictures)}, run.json", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def bar(title: str) -> Iterator[Callable[[float, float], object]]:
    """A progress bar of a sweep: what it yields is called with the rows that are done and all."""
    columns = (
        text_column(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with bars(*columns) as shown:

        def show(done: float | int, total: float | int) -> None:
            row = shown.task_ids[0] if shown.tasks else shown.add_task(title, total=total)
            shown.update(row, completed=done)

        yield show
