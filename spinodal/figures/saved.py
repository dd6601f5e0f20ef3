"""Pictures of a saved run: its result is read, and drawn."""

from matplotlib.figure import Figure

from spinodal.errors import InputError
from spinodal.figures.pictures import draw
from spinodal.runs import Run, result_of
from spinodal.runs.reading import RESULTS

DRAWN = [kind for kind in RESULTS if kind != "shorten"]  # whose page has texts and no picture


def draw_saved(run: Run) -> dict[str, Figure]:
    """The pictures of the run's result; InputError for a run that is not finished, or of a kind without pictures."""
    if run.kind not in DRAWN:
        raise InputError(
            f"{run.path} is a run of {run.kind}, which has no picture; these have: {', '.join(DRAWN)}"
        )
    if not run.finished:
        raise InputError(f"{run.folder} holds a run that is not finished: it has no result yet")
    return draw(result_of(run))
