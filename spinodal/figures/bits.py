"""A picture of what four bits cost: by the tails of the vectors that are rounded, with and without a rotation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from spinodal.figures.style import colours, panel, plain_log_ticks, styled


@styled
def cost_by_kurtosis(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """A point a gate and seed: filled as it is, hollow after a rotation, by the kurtosis of its hidden vectors."""
    figure, axes = panel(5.2, 3.4)
    shown = colours(found)
    for gate, runs in found.items():
        kurtosis = np.array([run["kurtosis"] for run in runs])
        for name, fill in (("cost", shown[gate]), ("cost, rotation", "none")):
            cost = [run[name] for run in runs]
            axes.plot(
                kurtosis, cost, "o", color=shown[gate], markerfacecolor=fill, label=gate * (fill != "none")
            )
    axes.set_xscale("log")
    axes.set(
        xlabel="kurtosis of the hidden vectors", title="nats that four bits cost; hollow: after a rotation"
    )
    plain_log_ticks(axes.xaxis)
    handles, labels = axes.get_legend_handles_labels()
    named = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label]
    axes.legend(*zip(*named, strict=True), frameon=False, fontsize=8)
    return figure
