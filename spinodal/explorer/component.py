"""The player as a part of other pages: recordings side by side, on one clock."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from spinodal.explorer.page import embedded
from spinodal.explorer.recording import AnyRecording

COMPONENT = Path(__file__).parent / "component.json"
# of the player's style, in the words of a report's
COLOURS = ":root{--accent:var(--model-0);--theory:var(--model-1);--shade:transparent}"


class Players(NamedTuple):
    """The parts of a page with players: a style sheet, the elements, and the script to put after them."""

    style: str
    elements: str
    script: str


def players(recordings: Sequence[AnyRecording], epsilon: float, leads: Sequence[str] = ()) -> Players:
    """Players for a page, one for each recording; the clusters they first show have cosines >= 1 - epsilon.

    Several players have their recordings' titles above them, and the `leads`, a text for each.
    """
    part = json.loads(COMPONENT.read_text(encoding="utf-8"))
    elements = ""
    for recording, lead in zip(recordings, leads or [""] * len(recordings), strict=True):
        title = escape(recording.title)
        element = part["element"].replace("{{of}}", f" of {title}")
        heading = f"<h3>{title}</h3><p>{escape(lead)}</p>" if len(recordings) > 1 else ""
        elements += f'<div>{heading}<div class="player">\n{element}</div></div>\n'
    told = ",".join(
        f'{{"epsilon":{epsilon!r},"recording":{embedded(recording, flows=False)}}}'
        for recording in recordings
    )
    data = f'<script type="application/json" id="recordings">[{told}]</script>'
    return Players(
        COLOURS + part["style"],
        f'<div class="players">\n{elements}</div>',
        f"{data}<script>{part['script']}</script>",
    )
