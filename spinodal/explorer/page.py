"""The explorer's page, empty or with a recording in it."""

import base64
import json
from pathlib import Path

import numpy as np

from spinodal.explorer.recording import Recording

PAGE = Path(__file__).parent / "explorer.html"
EMPTY = '<script type="application/json" id="embedded">null</script>'


def explorer_page(recording: Recording | None = None) -> str:
    """One HTML file that loads nothing, in which tokens move; it opens with the recording where one is given.

    >>> from spinodal import explorer
    >>> explorer.explorer_page().startswith("<!doctype html>")
    True
    """
    page = PAGE.read_text(encoding="utf-8")
    if recording is None:
        return page
    head, tail = page.split(EMPTY)  # it stands there once
    return head + EMPTY.replace("null", embedded(recording)) + tail


def embedded(recording: Recording) -> str:
    """A recording as JSON that may stand in an element of a page; arrays are base64 of single precision."""
    n, d = recording.tokens.shape[1:]
    told = {
        "title": recording.title, "times": recording.times.tolist(), "n": n, "d": d, "layers": recording.layers,
        "tokens": encoded(recording.tokens, "<f4"),
        "measures": [
            {
                "mean": moment.mean, "quantiles": moment.quantiles.round(4).tolist(), "a": encoded(moment.a, "<u2"),
                "b": encoded(moment.b, "<u2"), "q": encoded(moment.q, "<f4"),
            }
            for moment in recording.moments
        ],
        "words": recording.words, "sentences": recording.sentences, "command": recording.command,
        "merges": [{"time": time, "clusters": k, "tokens": pair} for time, k, *pair in recording.merges],
        "step": recording.step, "settings": recording.settings,
        **({} if recording.beta is None else {"beta": recording.beta}),
    }  # fmt: skip
    # no text of a token may close the element
    return json.dumps(told, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def encoded(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()
