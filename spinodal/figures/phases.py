"""A heat map of the phase fractions of a sentence's tokens, below the sentence itself."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from spinodal.errors import InputError
from spinodal.figures.runs import readable, require_probe
from spinodal.figures.style import INK, MUTED, canvas, styled
from spinodal.training import TrainingRun

COLUMNS = 96  # letters a line of text
MARGIN = 9  # letters left of it, for the names of layers
LONGEST = 18  # letters of one token
PIXELS = 6  # across a letter
LETTER = 0.078  # inches across
TEXT, AIR = 0.24, 0.05  # inches down: a line of text, and what sets layers apart
COLOURS = "viridis"


@styled
def phase_map(run: TrainingRun, *, layers: Sequence[int] | None = None, tokens: int | None = None) -> Figure:
    """L_ij, the share of token i in phase j: one row for each phase, in one group for each layer.

    `layers` count from 1 and default to all that have phases; `tokens` keeps the first so many.
    One scale holds for the figure, from 0 to the greatest fraction. InputError for a layer
    without phases.
    """
    fractions_of, known = phase_fractions(run), mapped_layers(run)
    layers = known if layers is None else list(layers)
    if not layers or set(layers) - set(known):
        raise InputError(f"layers={layers}: the layers with phases of {run.name} are {known}")
    words = [readable(token) for token in require_probe(run).tokens[:tokens]]
    words = [word if len(word) <= LONGEST else word[: LONGEST - 1] + "…" for word in words]
    L = {k: fractions_of[k][: len(words)] for k in layers}
    scale = Normalize(0, max(fractions.max() for fractions in L.values()))
    lines = break_lines([width(word) for word in words])
    block = TEXT + sum(height(fractions) + AIR for fractions in L.values()) + 2 * AIR
    figure, axes = canvas(LETTER * (COLUMNS + MARGIN), block * len(lines) + 0.45)
    for k, line in enumerate(lines):
        sentence(axes, [words[i] for i in line], {k: f[line] for k, f in L.items()}, block * k, scale)
    legend(axes, max(f.shape[1] for f in L.values()), block * len(lines) + 0.1, scale)
    axes.set(xlim=(-MARGIN, COLUMNS), ylim=(block * len(lines) + 0.45, 0), aspect="auto")
    return figure


def mapped_layers(run: TrainingRun) -> list[int]:
    """The layers of which `phase_map` can draw phases, counted from 1; empty where the run recorded none."""
    return list(phase_fractions(run))


def phase_fractions(run: TrainingRun) -> dict[int, Float[np.ndarray, "n p"]]:
    """L_ij, the share of token i in phase j, by layer, counted from 1, of the sentence that the run recorded."""
    layers = (run.probe and run.probe.phase_fractions) or []
    return {k: np.array(layer) for k, layer in enumerate(layers, start=1) if layer is not None}


def width(text: str) -> int:
    """Letters that a token takes with its gap; Chinese, Japanese and Korean letters are double."""
    return 1 + sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def break_lines(widths: list[int]) -> list[list[int]]:
    """Indices of tokens in lines of at most COLUMNS letters."""
    lines: list[list[int]] = [[]]
    used = 0
    for i, letters in enumerate(widths):
        if lines[-1] and used + letters > COLUMNS:
            lines.append([])
            used = 0
        lines[-1].append(i)
        used += letters
    return lines


def height(fractions: Float[np.ndarray, "n p"]) -> float:
    """Inches of one layer: rows shrink as phases grow in number."""
    p = fractions.shape[1]
    return p * max(0.035, min(0.12, 0.48 / p))


def sentence(
    axes: Axes, words: list[str], L: dict[int, Float[np.ndarray, "_ _"]], top: float, scale: Normalize
):
    """One line of text and, below it, its tokens' fractions in every layer."""
    edges = np.cumsum([0] + [width(word) for word in words])
    for left, right, word in zip(edges[:-1], edges[1:], words, strict=True):
        axes.text(
            (left + right - 0.3) / 2, top + TEXT - 0.06, word, ha="center", family="DejaVu Sans Mono",
            size=8.5, color=INK, parse_math=False,
        )  # fmt: skip
    top += TEXT
    for k, fractions in L.items():
        pixels = np.repeat(fractions.T, PIXELS * np.diff(edges), axis=1)
        pixels[:, PIXELS * edges[1:] - 1] = np.nan  # an empty pixel after every token
        bottom = top + height(fractions)
        extent = (0, edges[-1], bottom, top)
        axes.imshow(pixels, extent=extent, norm=scale, cmap=COLOURS, interpolation="none", aspect="auto")
        axes.text(-1, (top + bottom) / 2, f"layer {k}", ha="right", va="center", size=8.5, color=MUTED)
        top = bottom + AIR


def legend(axes: Axes, p: int, top: float, scale: Normalize):
    """The scale of colours, with a line at the fraction of an even split."""
    most, bottom, style = float(scale.vmax or 0), top + 0.09, {"size": 8.5, "color": MUTED}
    strip = np.linspace(0, most, 120)[None]
    extent = (0, 24, bottom, top)
    axes.imshow(strip, extent=extent, norm=scale, cmap=COLOURS, interpolation="none", aspect="auto")
    axes.plot([24 / p / most] * 2, [top - 0.03, bottom + 0.03], color=INK, linewidth=1.5)
    axes.text(0, bottom + 0.15, "0", ha="center", **style)
    axes.text(24, bottom + 0.15, f"{most:.2f}", ha="center", **style)
    axes.text(26, bottom, f"share of the token in a phase; line: the even split, 1/{p}", **style)
