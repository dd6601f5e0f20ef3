r"""The style of figures, and their conversion to SVG elements of a page.

The palette keeps any two of its colours apart, in both schemes, for normal sight and for the
three kinds of dichromacy (distance in OKLab x 100 at least 9), and every one of them is readable
as text (contrast at least 4.5). In SVG a colour is a variable, so
a page can turn dark, and text stays text.
"""

import html
import io
import re
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import AutoLocator, LogLocator, NullLocator, ScalarFormatter, StrMethodFormatter

# variable -> (light, dark)
MODELS = {
    "--model-0": ("#2246ae", "#6a8cff"),
    "--model-1": ("#c24e00", "#f07d30"),
    "--model-2": ("#0a8463", "#6fc9b0"),
    "--model-3": ("#a458b4", "#b684b8"),
    "--model-4": ("#5e2a00", "#ffd45c"),
    "--model-5": ("#0a3f55", "#a5f0ff"),
}
PAPER = {
    "--ink": ("#1c2127", "#e8eaed"),
    "--muted": ("#5c6670", "#a3acb6"),
    "--rule": ("#e3e6ea", "#2f353d"),
    "--page": ("#ffffff", "#14171c"),
}
INK, MUTED, RULE, PAGE = (light for light, _ in PAPER.values())
# what stands on a map of colours, which are the same on a dark page: lines, level lines, and theory
MAP_INK, MAP_PAGE, MAP_THEORY = "#0b0d10", "#fefefe", "#ff5a36"
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": MUTED,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.titlesize": 9,
    "figure.facecolor": PAGE,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "lines.linewidth": 1.8,
    "text.color": INK,
}
LINE = 1.22  # of the size of text: from one line to the next
styled = rc_context(STYLE)  # decorates every function that makes a figure


def colours(models: Iterable[str]) -> dict[str, str]:
    """{model: colour}, in order; colours repeat after six models, which then differ by their labels alone."""
    light = [pair[0] for pair in MODELS.values()]
    return {model: light[i % len(light)] for i, model in enumerate(models)}


def colour_variable(colour: str) -> str:
    """A colour "#rrggbb" of the palette as the CSS variable "var(--name)" of `css_colours`; any other as it is."""
    names = {light: name for name, (light, _) in (PAPER | MODELS).items()}
    return f"var({names[colour]})" if colour in names else colour


def css_colours() -> str:
    """A style sheet that sets the palette's CSS variables, for light pages and for those who prefer dark ones."""
    light, dark = (
        "".join(f"{name}:{pair[scheme]};" for name, pair in (PAPER | MODELS).items()) for scheme in (0, 1)
    )
    return f":root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def panel(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of one panel, its size in inches; pyplot and its global state stay out of it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(which="both", colors=MUTED, labelsize=8.5)
    axes.tick_params(length=3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    for set_text in (axes.set_title, axes.set_xlabel, axes.set_ylabel):
        set_text("", parse_math=False)  # names that a user gave are no formulas, whatever $ they hold
    return figure, axes


def colour_bar(figure: Figure, mesh: Any, axes: Any, **options: Any) -> Axes:
    """The scale of a map's colours beside its axes, one or several."""
    bar = figure.colorbar(mesh, ax=axes, **options)
    bar.ax.tick_params(which="both", colors=MUTED, labelsize=8.5)
    bar.ax.tick_params(length=3)
    return bar.ax


def plain_log_ticks(axis: Axis) -> None:
    """Numbers as they are written on a logarithmic axis that spans less than two decades."""
    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() != "log" or not 0 < low < high < 100 * low:
        return
    close = high < 3 * low
    axis.set_major_locator(AutoLocator() if close else LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(ScalarFormatter() if close else StrMethodFormatter("{x:g}"))


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure whose axes are not seen, for what is laid out by hand."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return figure, axes


UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def printable(text: str) -> str:
    r"""The text, with an escape, such as \x07, in the place of every character that SVG and HTML may not hold."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class EndLabel(Text):
    """The name of a curve at the right edge; `wanted` is the height of the curve's end, in heights of the panel."""

    wanted = 0.0


def label_ends(axes: Axes, ends: dict[str, float], colour: dict[str, str]):
    """Writes names at the right edge, each as near to the end of its curve as the other names allow."""
    axes.get_ylim()  # settles the limits, which transLimits alone does not
    to_panel = axes.transScale + axes.transLimits
    for name in sorted((name for name in ends if np.isfinite(ends[name])), key=ends.__getitem__):
        label = EndLabel(
            1.02, 0.0, printable(name), color=colour[name], va="center", parse_math=False, clip_on=False
        )
        label.wanted = float(np.clip(to_panel.transform((1.0, ends[name]))[1], 0, 1))
        label.set_transform(axes.transAxes)
        axes.add_artist(label)
    space_end_labels(axes)


def space_end_labels(axes: Axes) -> None:
    """Moves the names at the right edge apart by a line of their text, as little as they can."""
    labels = [text for text in axes.texts if isinstance(text, EndLabel)]
    if labels:
        line = LINE * float(labels[0].get_fontsize()) / 72 * axes.figure.dpi
        heights = spread_labels(np.array([label.wanted for label in labels]), line / axes.bbox.height)
        for label, y in zip(labels, heights, strict=True):
            label.set_y(y)


def spread_labels(y: Float[np.ndarray, " k"], gap: float) -> Float[np.ndarray, " k"]:
    """argmin sum (y' - y)^2 with y'_{i+1} >= y'_i + gap, for ascending y: pooled neighbours share a mean."""
    offset = gap * np.arange(len(y))
    pools: list[list[float]] = []
    for value in y - offset:
        pools.append([value])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    return offset + np.array([np.mean(pool) for pool in pools for _ in pool])


def svg(figure: Figure, name: str, *, title: str) -> str:
    """An <svg> element for a page: ids begin with `name`, colours are variables, the size is the page's.

    `name` must be unique in the page, and a legal id. The fonts are the page's `--sans` and `--mono`.
    The same figure gives the same text.
    """
    FigureCanvasSVG(figure)
    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # the fonts of the reader will draw it, not ours
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", facecolor="none", metadata=metadata)

    def adapt(tag: re.Match[str]) -> str:
        named = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", tag[0])
        faced = named.replace("'DejaVu Sans Mono'", "var(--mono)").replace("'DejaVu Sans'", "var(--sans)")
        return re.sub("#[0-9a-f]{6}", lambda colour: colour_variable(colour[0]), faced)

    # what comes before the first group is replaced: a DTD on the network, a size, rules for the whole page
    drawn = printable(text.getvalue())
    groups = re.sub("<[^>]*>", adapt, drawn[drawn.index("<g ") :]).strip()
    width, height = figure.get_size_inches() * 72
    return (
        f'<svg role="img" aria-label="{html.escape(title)}" viewBox="0 0 {width:.6g} {height:.6g}" '
        f'style="max-width:{5 / 3 * width:.0f}px" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">\n{groups}'
    )
