"""Pictures of recall: accuracy by the number of tokens, and what a penalty on the links of a graph costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from spinodal.figures.style import MUTED, colours, label_ends, panel, plain_log_ticks, styled


@styled
def accuracy_by_length(
    lengths: Sequence[int], accuracy: Mapping[str, Sequence[Sequence[float]]], *, chance: float
) -> Figure:
    """One line a mixer, the mean of its seeds, and their spread; it ends where the mixer was tried no further."""
    figure, axes = panel(5.2, 3.1)
    shown = colours(accuracy)
    means = {}
    for name, seeds in accuracy.items():
        tried, values = lengths[: len(seeds[0])], np.array(seeds)
        means[name] = values.mean(0)
        axes.plot(tried, means[name], "o-", color=shown[name])
        axes.fill_between(tried, values.min(0), values.max(0), color=shown[name], alpha=0.2, linewidth=0)
    axes.axhline(chance, color=MUTED, linewidth=0.7, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set(
        xlabel="tokens", title="share of right answers; dashed: chance", ylim=(0, 1.03), xticks=list(lengths)
    )
    axes.set_xticks(list(lengths), [str(n) for n in lengths], minor=False)
    label_ends(axes, {name: values[-1] for name, values in means.items()}, shown)
    return figure


@styled
def loss_against_density(
    densities: Sequence[float], losses: Sequence[float], penalties: Sequence[float]
) -> Figure:
    """One point a penalty, named by its weight."""
    figure, axes = panel(5.2, 3.1)
    axes.plot(densities, losses, "o-", color=colours(["flow"])["flow"])
    for k, (x, y, weight) in enumerate(zip(densities, losses, penalties, strict=True)):
        place, side = ((6, 5), "left") if k % 2 else ((-6, -12), "right")
        axes.annotate(
            f"λ = {weight:g}",
            (x, y),
            xytext=place,
            textcoords="offset points",
            color=MUTED,
            fontsize=8,
            ha=side,
        )
    axes.margins(0.1, 0.2)
    axes.set(xlabel="density of the links", title="held-out loss, nats an answer", yscale="log")
    plain_log_ticks(axes.yaxis)
    return figure
