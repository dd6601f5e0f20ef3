"""What `spinodal observe` shows of an observation: its page, and what was found."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinodal.cli._output import REPORT, console, drawing, named_bars

if TYPE_CHECKING:
    from spinodal.runs import RunFolder
    from spinodal.watch import Observation, ObservationComparison, ObservationResult


def draw_report(folder: "RunFolder", found: "ObservationResult | ObservationComparison") -> None:
    """Writes the page of an observation, or of several, into their folder."""
    from spinodal.report.observation import comparison_page, observation_page
    from spinodal.watch import ObservationComparison

    with drawing(folder, "the same command"):
        several = isinstance(found, ObservationComparison)
        page = comparison_page(found.observations, found.origins) if several else observation_page(found)
        folder.write_text(REPORT, page)


def show_observation(folder: Path, seen: "ObservationResult") -> None:
    """Says what was found, and where its page is."""
    from spinodal.report.terminal import effect_table

    for sentence in seen.summary:
        console.print(f"- {sentence}", highlight=False)
    if seen.effect:
        console.print(effect_table(seen))
    console.print(f"report: {folder / REPORT}", highlight=False, soft_wrap=True)


def compare_models(
    models: Sequence[str], asked: "Callable[[str], Observation]", out: Path, writing: Mapping[str, Any]
) -> None:
    """Observes models, reads those that are observations already, and shows them side by side."""
    from spinodal import watch
    from spinodal.report.terminal import compared_table

    known = {model: watch.find_observation(model) for model in models}
    names = watch.distinct_names([str(known[model] or model) for model in models])
    sources = {name: known[model] or asked(model) for model, name in zip(models, names, strict=True)}
    with named_bars("observing") as show:
        found = watch.compare_into(sources, out, **writing, progress=lambda name: partial(show, name))
    for name in (name for name, source in sources.items() if not isinstance(source, Path)):
        show_observation(out / name, found.observations[name])
    console.print(compared_table(found))
    for sentence in watch.unlike(found.observations, found.origins):
        console.print(f"- {sentence}", highlight=False)
    console.print(f"report: {out / REPORT}", highlight=False, soft_wrap=True)
