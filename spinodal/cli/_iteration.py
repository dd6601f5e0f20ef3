"""What `spinodal observe` does with --depth beyond an observation, with --step, --without, and with --checkpoints."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from spinodal.cli._output import REPORT, command_line, console, drawing, named_bars
from spinodal.errors import InputError
from spinodal.limits import require_at_most

Options = Mapping[str, Any]  # by name, those that were given
DEPTH = 10_000  # layers, each as long as one of the model


def iterates(depth: int | None, step: float | None, without: str | None) -> bool:
    """Whether layers are iterated as a flow, and not observed one by one; InputError for a step without a depth."""
    from spinodal.watch.iteration import FEW

    require_at_most(DEPTH, depth or 0, "layers", "depth")
    if not depth and (asked := "step" if step is not None else "without" if without is not None else ""):
        raise InputError(
            f"`{asked}` is of layers that are iterated: say how often with `depth`", field=(asked, "depth")
        )
    return bool(depth) and (depth > FEW or step is not None or without is not None)


def refuse(options: Options, why: str) -> None:
    """InputError for the first option that has a value."""
    for name, value in options.items():
        if value:
            raise InputError(f"`{name}`: {why}", field=name)


def iterate_layers(
    model: str,
    reading: Options,
    asks: Options,
    alone: Options,
    out: Path,
    *,
    overwrite: bool,
) -> None:
    """Iterates the layers of a model into a folder, and says what was found."""
    from spinodal import watch
    from spinodal.report.iteration import iteration_page

    refuse(alone, "layers that are iterated are measured otherwise; leave it out")
    reads = dict(reading)
    depth = reads.pop("depth")
    if watch.holds_arrays(model):
        raise InputError(f"{model} holds arrays: `depth` is for models that run", field="depth")
    source = watch.source_named(model, **reads)
    assert isinstance(source, watch.TrainedModel)
    experiment = watch.Iteration(source, depth, **asks)
    with named_bars("iterating") as show:
        progress = partial(show, Path(model).name)
        found = watch.run_into(
            experiment, lambda: watch.iterate(experiment, progress=progress), watch.IterationResult, out,
            kind="observe-iteration", command=command_line(), resume=not overwrite, overwrite=overwrite,
            draw=partial(draw_page, iteration_page),
        )  # fmt: skip
    for sentence in found.summary:
        console.print(f"- {sentence}", highlight=False)
    console.print(f"report: {out / REPORT}", highlight=False, soft_wrap=True)


def observe_checkpoints(
    run: str,
    reading: Options,
    asks: Options,
    alone: Options,
    out: Path,
    *,
    overwrite: bool,
) -> None:
    """Observes the checkpoints of a run into a folder, and says what was found."""
    from spinodal import watch
    from spinodal.report.iteration import series_page

    refuse(alone, "checkpoints are observed on a text, as they were trained; leave it out")
    source = watch.source_named(run, **reading)
    if not isinstance(source, watch.TrainedModel):
        raise InputError(f"{run} holds arrays: `checkpoints` are of a training run", field="checkpoints")
    assert isinstance(source.inputs, watch.Texts)
    question = watch.Question(**{"nulls": (), **asks})
    experiment = watch.TrainingSeries(source.name, source.inputs, question)
    with named_bars("observing") as show:
        progress = partial(show, Path(run).name)
        found = watch.run_into(
            experiment, lambda: watch.observe_training(experiment, progress=progress), watch.TrainingSeriesResult, out,
            kind="observe-checkpoints", command=command_line(), resume=not overwrite, overwrite=overwrite,
            draw=partial(draw_page, series_page),
        )  # fmt: skip
    console.print(str(found), highlight=False)
    console.print(f"report: {out / REPORT}", highlight=False, soft_wrap=True)


def draw_page(page: Any, folder: Any, found: Any) -> None:
    """Writes the page of a result into its folder."""
    with drawing(folder, "the same command"):
        folder.write_text(REPORT, page(found))
