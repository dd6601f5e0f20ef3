"""Histograms of the cosines of tokens, one for each layer, the deepest at the bottom."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from spinodal.figures.runs import number, require_probe
from spinodal.figures.style import INK, MUTED, PAGE, panel, styled
from spinodal.training import TrainingRun

OVERLAP = 1.6  # heights of a row that a peak may reach


def cosine_histograms(run: TrainingRun, colour: str) -> Figure:
    """Histograms of <x_i, x_j> / (|x_i| |x_j|), i != j, one ridge for each layer, the embedding (0) on top.

    InputError for a run that recorded no cosines.
    """
    probe = require_probe(run)
    counts, edges = np.array(probe.cosine_counts, dtype=float), np.array(probe.cosine_edges)
    means = [number(mean) for mean in probe.mean_cosine]
    return cosine_ridges(edges, counts, means, colour, title=f"{run.name}, seed {run.seed}")


@styled
def cosine_ridges(
    edges: Float[np.ndarray, " e"],
    counts: Float[np.ndarray, "t bins"],
    means: Sequence[float],
    colour: str,
    *,
    title: str,
) -> Figure:
    """Histograms of cosines by layer, and their means.

    Every ridge is scaled to its own peak, since peaks of collapsed layers are much higher than others; the
    dot is the mean cosine.
    """
    layers = len(counts)
    figure, axes = panel(4.8, 0.9 + min(max(0.34 * layers, 1.2), 7.0))
    middles = (edges[1:] + edges[:-1]) / 2
    for k, row in enumerate(counts):
        ridge = k - OVERLAP * row / max(row.max(), 1)
        axes.fill_between(middles, ridge, k, color=PAGE, linewidth=0, zorder=k + 2.0)
        axes.fill_between(middles, ridge, k, color=colour, alpha=0.3, linewidth=0, zorder=k + 2.1)
        axes.plot(middles, ridge, color=colour, linewidth=1.2, zorder=k + 2.2)
    axes.plot(means, range(layers), "o", color=INK, markersize=3.2, zorder=layers + 3.0)
    axes.axvline(0, color=MUTED, linewidth=0.7, linestyle=(0, (1, 3)))
    axes.grid(visible=False)
    every = max(1, -(-layers // 16))
    names = ["embedding" if k == 0 else f"layer {k}" for k in range(layers)]
    axes.set_yticks(range(0, layers, every), names[::every])
    axes.set(xlim=(edges[0], edges[-1]), ylim=(layers - 0.6, -OVERLAP - 0.2))
    axes.set(
        xlabel="cosine between two tokens",
        title=f"{title}; each ridge to its own peak, dot: mean",
    )
    return figure
