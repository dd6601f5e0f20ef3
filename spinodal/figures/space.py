"""Tokens anywhere in R^d: their paths, and the convex hull that they end in."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spinodal.figures.flow import COLOURS, subsample_tokens, time_axis
from spinodal.figures.style import MUTED, panel, styled


@styled
def paths_in_space(times: Float[np.ndarray, " t"], tokens: Float[np.ndarray, "t n d"]) -> Figure:
    """Paths of tokens over time in R^1; in R^2 in the plane, with the hull of the last ones, which are dots.

    Above, the plane is that of the two directions in which the last tokens spread most, or the first where these are
    one.
    """
    shown, last = subsample_tokens(tokens), tokens[-1]
    if tokens.shape[2] == 1:
        figure, axes = panel(6.4, 4.0)
        axes.plot(times, shown[..., 0], color=COLOURS[0], linewidth=0.7, alpha=0.7)
        time_axis(axes, times)
        axes.set(ylabel="x", title="tokens over time")
        return figure
    plane = None
    if tokens.shape[2] > 2:
        plane = principal_plane(last if np.ptp(last, axis=0).max() > 0 else tokens[0])
        shown, last = shown @ plane.T, last @ plane.T
    figure, axes = panel(5.0, 5.0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.plot(shown[..., 0], shown[..., 1], color=COLOURS[0], linewidth=0.6, alpha=0.5)
    draw_hull(axes, last)
    axes.plot(shown[-1, :, 0], shown[-1, :, 1], "o", color=COLOURS[1], markersize=3.5)
    where = "" if plane is None else ", in the plane where they spread most"
    axes.set_title(f"tokens in R^{tokens.shape[2]}{where}, t = {times[0]:.4g} to {times[-1]:.4g}")
    return figure


def principal_plane(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "2 d"]:
    """The two orthonormal directions in which points spread most; with a second one at will where there is one."""
    directions = np.linalg.svd(x - x.mean(0), full_matrices=True)[2]
    return directions[:2]


def draw_hull(axes: Axes, x: Float[np.ndarray, "n 2"]) -> None:
    """The edge of the convex hull, a closed line through its vertices in order."""
    from spinodal.observables.hull import vertex_indices

    corners = x[vertex_indices(x)]
    around = corners - corners.mean(0)
    order = np.argsort(np.arctan2(around[:, 1], around[:, 0]))
    axes.plot(*corners[np.append(order, order[:1])].T, color=MUTED, linewidth=0.9)
