"""Figures as files: vectors with fonts that can be searched, and beside them their numbers as CSV."""

import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure

from spinodal.figures.look import current_look, dress, saved_as

DPI = 150  # of png, and of what vectors have as pixels
# TrueType in pdf and text in svg, which stay text; the same figure gives the same file
RULES = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "spinodal"}
DATES = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
HEADER = ("panel", "series", "x label", "x", "y label", "y", "value")


def save(
    figure: Figure, path: str | Path, *, style: str | None = None, columns: float | int | None = None
) -> list[Path]:
    """Writes a figure as .pdf, .svg or .png and its numbers beside it as .csv; returns both paths.

    `style` and `columns` are those of `Look`, and the figure keeps them. InputError for a file of another format.

    >>> import tempfile
    >>> from spinodal import figures, graphs
    >>> flow = graphs.integrate_flow(graphs.GradientFlow(graphs.build_system("cycle:4"), time=1.0, points=5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file.name for file in figures.save(flow.plot(), folder + "/energy.pdf", style="paper", columns=1)]
    ['energy.pdf', 'energy.csv']
    """
    path = Path(path)
    with saved_as(format=path.suffix[1:], style=style, columns=columns):
        write_picture(figure, path)
    numbers = path.with_suffix(".csv")
    write_picture(figure, numbers)
    return [path, numbers]


def save_picture(figure: Figure, path: Path, *, dpi: int = DPI) -> list[Path]:
    """Writes a figure as the current look says, `path` with its suffix, and the numbers where one was asked for."""
    files = [path.with_suffix(f".{kind}") for kind in current_look().kinds]
    for file in files:
        write_picture(figure, file, dpi=dpi)
    return files


def write_picture(figure: Figure, path: Path, *, dpi: int = DPI) -> None:
    """Writes a figure in the current look; its numbers where the path ends in .csv."""
    if path.suffix == ".csv":
        path.write_text(figure_table(figure), encoding="utf-8")
        return
    look = current_look()
    dress(figure, look)
    rules: Any = RULES  # literals to matplotlib's types
    with rc_context(rules), warnings.catch_warnings():
        if look.format == "svg":  # the fonts of the reader will draw it, not ours
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, dpi=dpi, format=look.format, metadata=DATES.get(look.format))


def figure_table(figure: Figure) -> str:
    """What a figure shows as CSV: a row for each point of its curves, dots and segments, and each value of its maps."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADER)
    for number, axes in enumerate(figure.axes, 1):
        panel = one_line(axes.get_title(loc="left") or axes.get_title()) or f"panel {number}"
        labels = one_line(axes.get_xlabel()), one_line(axes.get_ylabel())
        for series, x, y, value in drawn_points(axes):
            rows.writerow((panel, series, labels[0], x, labels[1], y, value))
    return text.getvalue()


def one_line(text: str) -> str:
    """The text without the breaks that a narrow figure gave it."""
    return " ".join(text.split("\n"))


def drawn_points(axes: Axes) -> Iterator[tuple[str, float, float, float | str]]:
    """(series, x, y, value) of all that stands in an axes' own coordinates; only maps have a value."""
    for number, line in enumerate(axes.lines, 1):
        if line.get_transform() == axes.transData:  # not a line across the panel
            for x, y in np.column_stack(line.get_data()).tolist():
                yield series_name(line, f"curve {number}"), x, y, ""
    for number, part in enumerate(axes.collections, 1):
        if isinstance(part, QuadMesh):
            corners, values = np.asarray(part.get_coordinates()), np.asarray(part.get_array())
            middle = (corners[:-1, :-1] + corners[1:, 1:]) / 2
            flat = values.reshape(len(middle), -1)
            for (x, y), value in zip(middle.reshape(-1, 2).tolist(), flat.reshape(-1).tolist(), strict=True):
                yield series_name(part, f"map {number}"), x, y, value
        elif isinstance(part, PathCollection) and part.get_offset_transform() == axes.transData:
            for x, y in np.asarray(part.get_offsets()).tolist():
                yield series_name(part, f"dots {number}"), x, y, ""
        elif isinstance(part, LineCollection) and part.get_transform() == axes.transData:
            for k, segment in enumerate(part.get_segments(), 1):
                for x, y in np.asarray(segment).tolist():
                    yield f"{series_name(part, f'segments {number}')}: {k}", x, y, ""


def series_name(artist: object, otherwise: str) -> str:
    """The label that an artist was given, `otherwise` where it has none."""
    label = str(artist.get_label())  # pyright: ignore[reportAttributeAccessIssue]
    return otherwise if not label or label.startswith("_") else label
