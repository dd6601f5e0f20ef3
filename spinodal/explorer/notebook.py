"""The player in a notebook: the explorer's page with a result in it, in a frame of its own."""

from html import escape
from typing import Any

from spinodal.errors import InputError
from spinodal.explorer.page import explorer_page
from spinodal.explorer.reading import MOST, recording_of

COSINES = 2**23  # that are measured for a frame, which is shown unasked


def player_frame(result: Any) -> str:
    """An <iframe> in which tokens of an `Evolution` or an `ObservationResult`, or a density, move; it loads nothing.

    In its place a sentence where there is nothing to play, or too many tokens to be measured unasked.
    """
    tokens = result.shown.tokens if hasattr(result, "shown") else getattr(result, "tokens", None)
    t, n = (0, 0) if tokens is None else tokens.shape[:2]
    if n <= MOST and t * n**2 > COSINES:
        return f"<p>{t} times of {n:,} tokens: explorer.explorer_page(explorer.recording_of(result)) plays them.</p>"
    try:
        page = explorer_page(recording_of(result))
    except InputError as error:
        return f"<p>{escape(str(error))}</p>"
    style = "width:100%;height:46em;border:0"
    return f'<iframe title="The result, moving" style="{style}" srcdoc="{escape(page)}"></iframe>'
