r"""A sphere on paper: seen from far away along one direction, its far side faint.

symbol  meaning                                             shape
R       rows: right and up on paper, and toward the eye     3 3
p       x R^T: a place on paper, and its height above it    n 3
"""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Circle

from spinodal.figures.style import MUTED, RULE

FAR = 0.18  # opacity of what lies behind


def view_rotation(direction: Float[np.ndarray, " 3"], tilt: float = 0.5) -> Float[np.ndarray, "3 3"]:
    """R of a view of `direction` from the front (tilt = 0), or with it to the right and above the middle."""
    ahead = direction / np.linalg.norm(direction)
    across = np.cross(np.eye(3)[np.argmin(np.abs(ahead))], ahead)
    across /= np.linalg.norm(across)
    up = np.cross(ahead, across)
    eye = ahead - tilt * (across + up)
    eye /= np.linalg.norm(eye)
    right = np.cross(up, eye)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(eye, right), eye])


def globe(axes: Axes, R: Float[np.ndarray, "3 3"]):
    """Draws the outline of the sphere, with meridians and parallels a twelfth of a turn apart."""
    axes.set_axis_off()
    axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), aspect="equal")
    axes.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=MUTED, linewidth=0.8))
    turn, step = np.linspace(0, 2 * np.pi, 121), np.pi / 6
    circle = np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    meridians = [circle[:, [0, 2, 1]] @ rotation(k * step).T for k in range(6)]
    parallels = [
        np.cos(k * step) * circle + np.sin(k * step) * np.array([0.0, 0.0, 1.0]) for k in range(-2, 3)
    ]
    trails(axes, np.stack([*meridians, *parallels], 1) @ R.T, RULE, width=0.6)


def rotation(angle: float) -> Float[np.ndarray, "3 3"]:
    """The rotation by `angle` (radians) about the third axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def trails(axes: Axes, p: Float[np.ndarray, "t n 3"], colour: str, *, width: float = 0.8):
    """Draws one line for each token through its positions, fainter on the far side."""
    segments = np.stack([p[:-1], p[1:]], 2).reshape(-1, 2, 3)
    tint = shade_by_height(colour, segments[..., 2].mean(1))
    axes.add_collection(LineCollection(list(segments[..., :2]), colors=tint, linewidths=width))


def dots(axes: Axes, p: Float[np.ndarray, "n 3"], colour: str, size: float):
    """Draws one dot for each token, the nearest on top."""
    order = np.argsort(p[:, 2])
    axes.scatter(*p[order, :2].T, s=size, c=shade_by_height(colour, p[order, 2]), linewidths=0, zorder=3)


def shade_by_height(colour: str, height: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k 4"]:
    """The colour, faint where the height above the paper is negative."""
    tint = np.tile(to_rgba(colour), (len(height), 1))
    tint[:, 3] = FAR + (1 - FAR) * np.clip(0.5 + 6 * height, 0, 1)
    return tint
