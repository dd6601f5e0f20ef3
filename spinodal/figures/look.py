"""How a figure is saved: as a file of which kind, in which style, how wide.

    with saved_as(format="pdf", style="paper", columns=1): ...     every figure that is saved within

A style changes a figure that is drawn: sizes of text and lines, or its colours for those of the dark palette. A narrow
one has its panels below one another, longer titles in several lines, and legends below what they would cover.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import to_hex, to_rgb, to_rgba, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from spinodal.errors import InputError
from spinodal.figures.fitting import fit, resize
from spinodal.figures.style import INK, MODELS, PAPER
from spinodal.runs import PICTURES

COLUMN, GUTTER = 3.375, 0.25  # inches of a column of text and between two, those of the APS journals
WIDEST = 10.0  # columns
SIZES = {
    "paper": (8 / 9, 0.75),
    "talk": (1.2, 1.5),
    "dark": (1.0, 1.0),
}  # of text and of lines, as they were drawn
DARK = {light: dark for light, dark in (PAPER | MODELS).values()}
DARK["#000000"] = DARK[INK]  # what has no colour of its own
COLOURS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


@dataclass(frozen=True)
class Look:
    """How figures are saved. InputError for a format or a style of another name, and a width that is none.

    `style` is paper (text of 8 points, thin lines), talk (larger text, thick lines) or dark; None leaves figures as
    they were drawn. `columns` is the width in columns of text, 3.375 inches each with 0.25 between; None is as drawn.
    """

    format: str = "png"
    style: str | None = None
    columns: float | int | None = None

    def __post_init__(self):
        if self.format not in PICTURES:
            raise InputError(
                f"`format` {self.format or 'of no name'}: one of {', '.join(PICTURES)}", field="format"
            )
        if self.style is not None and self.style not in SIZES:
            raise InputError(f"`style` {self.style}: one of {', '.join(SIZES)}", field="style")
        if self.columns is not None and not 0 < self.columns <= WIDEST:
            raise InputError(
                f"`columns` {self.columns:g}: a width from 0 to {WIDEST:g} columns", field="columns"
            )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The suffixes of what is written: numbers too, as csv, where any of the three is asked for."""
        return (self.format,) if self == AS_DRAWN else (self.format, "csv")


AS_DRAWN = Look()
_LOOK = ContextVar("look", default=AS_DRAWN)


def current_look() -> Look:
    """The look that `saved_as` has set."""
    return _LOOK.get()


@contextmanager
def saved_as(**values: Any) -> Iterator[Look]:
    """A context in which figures are saved in this format, style and width; those not named stay as they are."""
    token = _LOOK.set(replace(_LOOK.get(), **values))
    try:
        yield _LOOK.get()
    finally:
        _LOOK.reset(token)


def dress(figure: Figure, look: Look) -> None:
    """Gives a figure the width and the style of a look; as it was drawn where the look says neither."""
    text, lines = SIZES[look.style] if look.style else (1.0, 1.0)
    if look.columns is not None:
        resize(figure, look.columns * COLUMN + (look.columns - 1) * GUTTER, text)
    if look.style is not None:
        figure.draw_without_rendering()  # makes the ticks
        scale(figure, text, lines)
    if look != AS_DRAWN:
        fit(figure)
    if look.style == "dark":
        darken(figure)


def scale(figure: Figure, text: float, lines: float) -> None:
    """Text and lines of other sizes; the ticks by the settings that they are made of."""
    ticks = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            ticks |= {tick.label1, tick.label2}
        for which in ("major", "minor"):
            if size := axis.get_tick_params(which).get("labelsize"):
                axis.set_tick_params(which, labelsize=size * text)
    for artist in figure.findobj():
        if isinstance(artist, Text) and artist not in ticks:
            artist.set_fontsize(float(artist.get_fontsize()) * text)
        elif isinstance(artist, Line2D):
            artist.set_linewidth(artist.get_linewidth() * lines)


def darken(figure: Figure) -> None:
    """Every colour of the light palette becomes that of the dark one, each other colour stays."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        for which in ("major", "minor"):
            settings = axis.get_tick_params(which)
            names = [name for name in ("color", "labelcolor", "grid_color") if name in settings]
            colours: dict[str, Any] = {name: dark_colour(settings[name]) for name in names}
            axis.set_tick_params(which, **colours)
    for artist in figure.findobj():
        for name in COLOURS:
            recolour(artist, name)


def recolour(artist: Artist, name: str) -> None:
    """One kind of colour of an artist, one or several, in the dark palette; nothing where it has none of its own."""
    get, put = (getattr(artist, f"{verb}_{name}", None) for verb in ("get", "set"))
    if get is None or put is None:
        return
    found = get()
    if (isinstance(found, str) and found in ("none", "auto")) or (
        isinstance(found, tuple) and found[3:] == (0.0,)
    ):  # a patch would give what is transparent an opacity of its own
        return
    if isinstance(found, np.ndarray) and found.ndim == 2:
        if len(found):
            put(np.array([dark_colour(colour) for colour in to_rgba_array(found)]))
    elif found is not None and not isinstance(found, list):
        put(dark_colour(found))


def dark_colour(colour: Any) -> tuple[float, ...]:
    """The dark palette's colour for one of the light palette, as opaque as that; any other as it is."""
    *_, alpha = rgba = to_rgba(colour)
    return *(float(part) for part in to_rgb(DARK.get(to_hex(rgba)) or colour)), float(alpha)
