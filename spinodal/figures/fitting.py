"""A figure that is readable at another width: panels below one another, text in several lines, legends off the data."""

import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox, ScaledTranslation

from spinodal.figures.style import space_end_labels

PANEL = 2.3  # inches that a panel with axes of its own needs at the size of text that it is drawn with
SHRUNK = 0.65  # of the width that a panel was drawn with: it needs no more than that
SHARED = 0.5  # the same share for panels that have their axes in common, such as maps
HIGHEST = 9.0  # inches, of panels in several lines
MARGIN = 0.06  # inches between text and the edge of the figure
ROOM = 1.15  # of the length of an axis: of a label beside it


def resize(figure: Figure, width: float, text: float) -> None:
    """A figure of this width in inches; a narrower one keeps room for its labels, a picture its aspect.

    Panels that would be too narrow for text of `text` times its size go into several lines, one below another.
    """
    old, height = figure.get_size_inches()
    lines = fold_panels(figure, width, text)
    ratio = width * lines / old
    if lines > 1:
        height = min(HIGHEST, height * lines * min(1, ratio))
    else:
        height *= ratio**0.5 if figure.get_layout_engine() and ratio < 1 else ratio
    figure.set_size_inches(width, height)


def fold_panels(figure: Figure, width: float, text: float) -> int:
    """Breaks the columns of a grid of panels into lines that fit the width; returns the number of lines."""
    places = {axes: axes.get_subplotspec() for axes in figure.axes}
    spans = {axes: spec for axes, spec in places.items() if spec is not None}
    grids = {spec.get_gridspec() for spec in spans.values()}
    if len(grids) != 1 or figure.get_layout_engine() is None:
        return 1
    (grid,) = grids
    rows, columns = grid.nrows, grid.ncols
    shared = any(len(axes.get_shared_y_axes().get_siblings(axes)) > 1 for axes in spans)
    drawn = figure.get_figwidth() / columns
    needed = text * min(PANEL, (SHARED if shared else SHRUNK) * drawn)
    lines = math.ceil(columns / min(columns, max(1, int(width / needed))))
    across = math.ceil(columns / lines)
    if lines == 1 or any(
        spec.colspan.start // across != (spec.colspan.stop - 1) // across for spec in spans.values()
    ):
        return 1
    heights = [float(ratio) for ratio in np.ravel(grid.get_height_ratios())] * lines
    folded = figure.add_gridspec(rows * lines, across, height_ratios=heights)
    for axes, spec in spans.items():
        line, column = divmod(spec.colspan.start, across)
        top, right = line * rows, column + len(spec.colspan)
        axes.set_subplotspec(folded[top + spec.rowspan.start : top + spec.rowspan.stop, column:right])
        if column == 0 and line > 0:
            name_again(axes, spec.rowspan.start, spans)
    return lines


def name_again(axes: Axes, row: int, spans: dict) -> None:
    """Ticks and label of the y axis for a panel that shares them with the first of its row."""
    if axes.yaxis.get_tick_params().get("labelleft", True):
        return
    axes.tick_params(labelleft=True)
    first = next(other for other, spec in spans.items() if spec.rowspan.start == row)
    axes.set_ylabel(first.get_ylabel(), color=first.yaxis.label.get_color())


def fit(figure: Figure) -> None:
    """Wraps titles and labels that leave their place, spaces the names of curves, moves legends off the data."""
    if figure.get_layout_engine() is None:
        return
    figure.draw_without_rendering()
    for text, limit in limited_texts(figure):
        wrap(text, limit)
    narrow_legends(figure)
    figure.draw_without_rendering()
    for axes in figure.axes:
        space_end_labels(axes)
    move_legends(figure)


def limited_texts(figure: Figure) -> Iterator[tuple[Text, float]]:
    """Titles and labels of axes, each with the length in pixels that it may have."""
    edge, margin = figure.bbox, MARGIN * figure.dpi
    if (suptitle := getattr(figure, "_suptitle", None)) is not None:
        yield suptitle, edge.x1 - suptitle.get_window_extent().x0 - margin
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    right = {axes: next_axes(axes, edge.x1) for axes in figure.axes}
    for axes in figure.axes:
        box = axes.get_window_extent()
        for title in (
            part for part in axes.get_children() if isinstance(part, Text) and part not in axes.texts
        ):
            yield title, right[axes] - max(title.get_window_extent().x0, edge.x0) - margin
        middle = (box.x0 + box.x1) / 2
        across = min(middle - edge.x0, right[axes] - middle)
        yield axes.xaxis.label, 2 * across - margin
        yield axes.yaxis.label, max(ROOM * box.height, 0.5 * edge.height if len(panels) == 1 else 0)


def next_axes(axes: Axes, edge: float) -> float:
    """Where what stands right of an axes begins, in pixels: other axes with their labels, or the edge of the figure."""
    box, right = axes.get_window_extent(), edge
    for other in axes.figure.axes:
        place = other.get_window_extent()
        if place.x0 >= box.x1 - 1 and place.y1 > box.y0 and place.y0 < box.y1:
            labels = other.yaxis.get_tightbbox() or place
            right = min(right, place.x0, labels.x0)
    return right


def wrap(text: Text, limit: float) -> None:
    """Breaks a text at spaces so that no line of it is longer than `limit` pixels, if its words allow."""

    def length(words: str) -> float:
        text.set_text(words)
        box = text.get_window_extent()
        return box.height if text.get_rotation() == 90 else box.width

    whole = text.get_text()
    if not whole.strip() or length(whole) <= limit:
        text.set_text(whole)
        return
    lines = [""]
    for word in whole.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and length(longer) > limit:
            lines.append(word)
        else:
            lines[-1] = longer
    text.set_text("\n".join(lines))


def narrow_legends(figure: Figure) -> None:
    """A figure's own legend that is wider than it has its entries below one another."""
    for old in list(figure.legends):
        if old.get_window_extent().width > figure.bbox.width:
            size = old.get_texts()[0].get_fontsize()
            names = [text.get_text() for text in old.get_texts()]
            figure.legend(
                [handle for handle in old.legend_handles if handle],
                names,
                loc="outside lower right",
                frameon=False,
                fontsize=size,
            )
            old.remove()


def move_legends(figure: Figure) -> None:
    """Puts each legend that covers what its axes show below these, and makes the figure higher by as much."""
    rows: dict[int, float] = {}
    for axes in figure.axes:
        legend, spec = axes.get_legend(), axes.get_subplotspec()
        if legend is None or spec is None or not covers(legend.get_window_extent(), axes):
            continue
        below = axes.xaxis.get_tightbbox()
        gap = (axes.get_window_extent().y0 - below.y0 if below else 0) / figure.dpi + 2 * MARGIN
        anchor = axes.transAxes + ScaledTranslation(0, -gap, figure.dpi_scale_trans)
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((0, 0), transform=anchor)
        height = legend.get_window_extent().height / figure.dpi
        row = spec.rowspan.stop
        rows[row] = max(rows.get(row, 0), height)
    if rows:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + sum(rows.values()))


def covers(box: Bbox, axes: Axes) -> bool:
    """Whether a box, in pixels, lies over curves, dots or bars of an axes, or sticks out of it."""
    frame = axes.get_window_extent()
    if box.x0 < frame.x0 - 1 or box.x1 > frame.x1 + 1 or box.y0 < frame.y0 - 1:
        return True
    for line in axes.lines:
        path = line.get_transform().transform_path(line.get_path()).cleaned(remove_nans=True)
        dots = line.get_linestyle() == "None"
        if box.count_contains(path.vertices) if dots else path.intersects_bbox(box, filled=False):
            return True
    for part in axes.collections:
        offsets = np.ma.filled(part.get_offsets(), np.nan)
        if len(offsets) > 1 and box.count_contains(part.get_offset_transform().transform(offsets)):
            return True
    bars = (patch.get_window_extent() for patch in axes.patches if isinstance(patch, Rectangle))
    return any(box.overlaps(bar) for bar in bars if bar.width and bar.height)
