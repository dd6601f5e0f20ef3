"""Figures of observations: cosines by layer, numbers by layer beside nulls, and merge trees of tokens.

`results` are several observations by name.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import dendrogram

from spinodal.figures.cosines import cosine_ridges
from spinodal.figures.style import INK, MODELS, MUTED, colours, label_ends, panel, printable, styled
from spinodal.observables import OBSERVABLES, Scales
from spinodal.watch import LayerNumbers, ObservationComparison, ObservationResult, StandardErrors

WIDTH, HEIGHT = 4.8, 3.0
NUMBERS = ("mean_cosine", "energy", "effective_rank", "clusters", "above_.9")  # drawn of every observation
WORDS = 60  # rows of a merge tree that can be read
LEAVES = 128  # rows of a linkage: of more tokens, its last clusters


def draw_observed(result: ObservationResult) -> dict[str, Figure]:
    """One figure a number by layer beside the nulls, and "cosines", "merge_tree", "linkage" and "attention".

    "attention" is there where the weights of the attention are known.
    """
    colour = colours(["model", *result.nulls])
    figures = {name: observed_numbers(result, name, colour) for name in numbers_drawn(result)}
    figures["cosines"] = observed_cosines(result, colour["model"])
    figures["merge_tree"], figures["linkage"] = merge_tree_of_words(result), linkage_of_words(result)
    if result.attention:
        figures["attention"] = attention_by_layer(result, colour["model"])
    return figures


def draw_compared(results: ObservationComparison) -> dict[str, Figure]:
    """For every number one figure, against depth, with one curve for each model."""
    seen = results.observations
    return {name: compared_numbers(seen, name, colours(seen)) for name in numbers_drawn(*seen.values())}


def numbers_drawn(*results: ObservationResult) -> list[str]:
    """The names of the observables that are drawn: those of every observation, and what all of these were asked for."""
    extra = [name for name in results[0].observables if all(name in r.observables for r in results)]
    return [*NUMBERS, *extra]


def layer_numbers(layers: Sequence[LayerNumbers | StandardErrors], name: str) -> np.ndarray:
    """One number by layer, NaN where there is none."""
    found = [layer.number(name) for layer in layers]
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def observed_cosines(result: ObservationResult, colour: str, *, selection: str | None = None) -> Figure:
    """Histograms of cosines by layer, of all tokens or of a selection such as "without_first"."""
    layers = [getattr(layer, selection) if selection else layer for layer in result.layers]
    counts = np.array([layer.histogram for layer in layers], dtype=float)
    means = [layer.mean_cosine for layer in layers]
    return cosine_ridges(np.array(result.cosine_edges), counts, means, colour, title=result.model)


@styled
def observed_numbers(result: ObservationResult, name: str, colour: Mapping[str, str]) -> Figure:
    """One number by layer: the model, its nulls, and a band of two standard errors over inputs about each.

    Dashed: the number of equiangular tokens whose cosine follows the theory's curve that fits the mean cosines best.
    """
    figure, axes = panel(WIDTH, HEIGHT)
    ends = {}
    curves: dict[str, Sequence[LayerNumbers]] = {"model": result.layers}
    curves |= {null: compared.layers for null, compared in result.nulls.items()}
    for who, layers in curves.items():
        y, error = layer_numbers(layers, name), layer_numbers([x.standard_error for x in layers], name)
        x = np.arange(len(y))
        axes.plot(x, y, color=colour[who], linewidth=2.2 if who == "model" else 1.2)
        if np.isfinite(error).any():
            axes.fill_between(x, y - 2 * error, y + 2 * error, color=colour[who], alpha=0.18, linewidth=0)
        ends[who] = float(y[-1])
    if (theory := theory_by_layer(result, name)) is not None:
        axes.plot(theory, color=INK, linewidth=1.0, linestyle=(0, (2, 2)))
        ends["theory"] = float(theory[-1])
    axes.set(xlabel="layer (0: what enters the first)", title=OBSERVABLES[name].label)
    axes.set_xlim(0, len(result.layers) - 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_ends(axes, ends, {**colour, "theory": INK})
    return figure


def theory_by_layer(result: ObservationResult, name: str) -> np.ndarray | None:
    """An observable of equiangular tokens on the fitted curve of the theory; None where it has no such value."""
    if (equiangular := OBSERVABLES[name].equiangular) is None:
        return None
    cosines = np.array([layer.theory for layer in result.layers])
    return equiangular(cosines, result.tokens_of_an_input, Scales(result.beta, result.epsilon))


@styled
def compared_numbers(
    results: Mapping[str, ObservationResult], name: str, colour: Mapping[str, str]
) -> Figure:
    """One number of several models against relative depth; the random-weights null of each dashed."""
    figure, axes = panel(WIDTH, HEIGHT)
    ends = {}
    for model, result in results.items():
        y = layer_numbers(result.layers, name)
        depth = np.linspace(0, 1, len(y))
        axes.plot(depth, y, color=colour[model])
        if null := result.nulls.get("random-weights"):
            z = layer_numbers(null.layers, name)
            axes.plot(depth, z, color=colour[model], linewidth=1.0, linestyle=(0, (2, 2)))
        ends[model] = float(y[-1])
    axes.set(xlabel="depth (0: before the layers; 1: after)", xlim=(0, 1))
    axes.set(
        title=OBSERVABLES[name].label + "; dashed: random weights" * any(r.nulls for r in results.values())
    )
    label_ends(axes, ends, dict(colour))
    return figure


@styled
def merge_tree_of_words(result: ObservationResult) -> Figure:
    """One line for each token, from its word on the left through the layers; lines of a cluster coincide.

    A cluster is drawn in the middle of its tokens' rows, and tokens are ordered so that those that end together are
    neighbours. Tokens that are alone are faint.
    """
    branch = np.array(result.shown.branch)[:, :WORDS]
    words = [printable(word) for word in result.shown.words[:WORDS]]
    layers, n = branch.shape
    place = np.empty(n)
    place[np.lexsort(branch)] = np.arange(n)
    figure, axes = panel(min(11.0, 3.0 + 0.34 * layers), 0.9 + 0.19 * n)
    palette = [light for light, _ in MODELS.values()]
    height = np.empty((layers, n))
    alone = np.empty((layers, n), dtype=bool)
    for k, row in enumerate(branch):
        for b in set(row.tolist()):
            members = row == b
            height[k, members], alone[k, members] = place[members].mean(), members.sum() == 1
    for i, word in enumerate(words):
        for k in range(layers - 1):
            lone = alone[k, i] and alone[k + 1, i]
            colour = MUTED if lone else palette[branch[k + 1, i] % len(palette)]
            axes.plot([k, k + 1], height[k : k + 2, i], linewidth=0.5 if lone else 1.3, color=colour)
        axes.text(
            -0.25,
            height[0, i] if alone[0, i] else place[i],
            word,
            ha="right",
            va="center",
            fontsize=7,
            parse_math=False,
        )
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set(xlim=(-0.02, layers - 1), ylim=(n - 0.5, -0.5), xlabel="layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.1)
    return figure


@styled
def linkage_of_words(result: ObservationResult) -> Figure:
    """Single linkage of the last layer: from the right, tokens join as the cosine asked for is lowered.

    At a cosine c the components are what hangs together to the right of c. Of more than LEAVES tokens the last LEAVES
    clusters are drawn, each named after its first token.
    """
    joined = np.array(result.shown.linkage)
    words = names_of_clusters([printable(word) for word in result.shown.words], joined)
    tree = dendrogram(joined, p=LEAVES, truncate_mode="lastp", no_plot=True, orientation="left")
    rows = len(tree["leaves"])
    figure, axes = panel(6.4, 0.9 + 0.17 * rows)
    for height, far in zip(tree["icoord"], tree["dcoord"], strict=True):
        axes.plot(1 - np.array(far), np.array(height) / 10 - 0.5, color=INK, linewidth=0.9)
    for row, i in enumerate(tree["leaves"]):
        axes.text(1.01, row, words[i], va="center", fontsize=7, parse_math=False)
    axes.axvline(1 - result.epsilon, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)))
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set(
        ylim=(rows - 0.5, -0.5),
        xlim=(None, 1.0),
        xlabel="cosine that makes one cluster (dashed: the one chosen)",
    )
    return figure


def names_of_clusters(words: Sequence[str], linkage: np.ndarray) -> list[str]:
    """The words, and then of each cluster of a linkage its first token's word with the number of the others."""
    first = list(range(len(words)))
    names = list(words)
    for a, b, _, size in linkage.tolist():
        first.append(min(first[int(a)], first[int(b)]))
        names.append(f"{words[first[-1]]} + {size - 1:.0f}")
    return names


@styled
def attention_by_layer(result: ObservationResult, colour: str) -> Figure:
    """Effective beta of each head (dots) and the mean over heads (line), by layer."""
    figure, axes = panel(WIDTH, HEIGHT)
    for layer in result.attention:
        heads = [beta for beta in layer.effective_beta_of_heads if beta is not None]
        axes.plot(
            [layer.layer] * len(heads),
            heads,
            "o",
            color=colour,
            alpha=0.35,
            markersize=4,
            markeredgewidth=0,
        )
    means = [np.nan if layer.effective_beta is None else layer.effective_beta for layer in result.attention]
    axes.plot([layer.layer for layer in result.attention], means, color=colour)
    axes.axhline(0, color=MUTED, linewidth=0.7, linestyle=(0, (1, 3)))
    axes.set(xlabel="layer", title="effective beta: slope of logits on cosines; dots: heads")
    return figure
