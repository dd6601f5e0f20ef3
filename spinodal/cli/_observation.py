"""What `spinodal observe` shows of an observation: its page, and what was found."""

from pathlib import Path
from typing import TYPE_CHECKING

from spinodal.cli._output import REPORT, console, drawing

if TYPE_CHECKING:
    from spinodal.runs import RunFolder
    from spinodal.watch import ObservationComparison, ObservationResult


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
