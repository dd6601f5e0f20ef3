"""The explorer's page, empty or with a recording in it."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.explorer.recording import AnyRecording, DensityRecording, Recording

PAGE = Path(__file__).parent / "explorer.html"
FILLING = 0.98  # of the tokens lie in the unit ball of the stage
EMPTY = '<script type="application/json" id="embedded">null</script>'


def explorer_page(recording: AnyRecording | None = None) -> str:
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


def embedded(recording: AnyRecording, *, flows: bool = True) -> str:
    """A recording as JSON that may stand in an element of a page; arrays are base64 of single precision.

    Without `flows`, which start from its tokens, it has their places on the stage alone.
    """
    told = (
        told_of_density(recording) if isinstance(recording, DensityRecording) else told_of(recording, flows)
    )
    # no text of a token may close the element
    return json.dumps(told, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def told_of(recording: Recording, flows: bool) -> dict[str, Any]:
    n, d = recording.tokens.shape[1:]
    moving = {"tokens": encoded(recording.tokens, "<f4")} if flows else places(recording.tokens)
    return {
        "title": recording.title, "times": recording.times.tolist(), "n": n, "d": d, "layers": recording.layers,
        **moving,
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


def told_of_density(recording: DensityRecording) -> dict[str, Any]:
    values = recording.values
    low, high = float(values.min()), max(float(values.max()), 0.1)
    codes = (255 * (values - low) / (high - low)).round()
    return {
        "title": recording.title, "times": recording.times.tolist(), "moved": recording.moved.tolist(),
        "means": recording.means.tolist(), "clusters": recording.clusters.tolist(), "codes": encoded(codes, "u1"),
        "columns": values.shape[1], "circle": recording.circle, "least": 10**low, "most": 10**high,
        "sentences": recording.sentences, "command": recording.command,
    }  # fmt: skip


def places(tokens: Float[np.ndarray, "t n d"]) -> dict[str, Any]:
    """Directions in three main axes, less their mean, scaled so that 98% are in the unit ball, and how far they move.

    Tokens of three dimensions or less stand where they are.
    """
    moved = np.sqrt((np.diff(tokens, axis=0) ** 2).sum((1, 2)) / tokens.shape[1])
    at = tokens
    if tokens.shape[-1] > 3:
        flat = tokens.reshape(-1, tokens.shape[-1])
        flat = flat - flat.mean(0)
        at = flat @ np.linalg.eigh(flat.T @ flat)[1][:, :-4:-1]
        at = at / (np.quantile(np.linalg.norm(at, axis=1), FILLING) or 1.0)
    return {"places": encoded(at, "<f4"), "moved": [0.0, *np.cumsum(moved).tolist()]}


def encoded(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()
