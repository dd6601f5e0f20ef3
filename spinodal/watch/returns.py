r"""Nearest returns: after how many layers tokens come nearest to where they were, once they have left.

    D(s) = mean over the last layers t of |x_t - x_{t-s}| / |x_t|,   |x| over all tokens of a text

The lag s of the nearest return is the least beyond the first maximum of D, so that the slowness of a smooth motion is
no return. Of an orbit of period p it is p, and D(p) = 0. There is none where D has no maximum, where the tokens rest,
and where they come no nearer than half the greatest distance [derived].
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

WINDOW = 128  # layers of which the last are kept; returns are looked for up to half of them
REST = 1e-6  # of |x|: a step, or a distance, below it is rounding of single precision
NEAR = 1.1  # times the least distance: lags this near are one return, of which the first counts


@dataclass(frozen=True)
class Return:
    """The nearest return of a text: its period in layers, None without one, and the distance D there and a layer on."""

    period: int | None
    distance: float
    step: float


def nearest_return(window: Float[Tensor, "t k"]) -> Return:
    """The nearest return of the last frames of one text, its tokens flattened; see this file's head."""
    D = lag_distances(window)
    step = float(D[0])
    if len(D) < 3 or step < REST:
        return Return(None, step, step)
    peak = next((i for i in range(len(D) - 1) if D[i] > D[i + 1]), None)
    if peak is None:
        return Return(None, float(D.min()), step)
    beyond = D[peak + 1 :]
    first = int(np.argmax(beyond <= NEAR * beyond.min() + REST))
    if beyond[first] > D.max() / 2:
        return Return(None, float(beyond[first]), step)
    return Return(peak + 2 + first, float(beyond[first]), step)


def lag_distances(window: Float[Tensor, "t k"]) -> Float[np.ndarray, " s"]:
    """D(s) for s = 1 to half the number of frames."""
    x = window.double()
    x = x - x.mean(0)  # a common part has no digits of a difference
    G, size = (x @ x.mT).cpu().numpy(), window.double().norm(dim=1).cpu().numpy()
    own = np.diag(G)
    apart = np.sqrt(np.maximum(own[:, None] + own[None] - 2 * G, 0)) / size[:, None]
    return np.array([np.diagonal(apart, -s).mean() for s in range(1, len(x) // 2 + 1)])


class Window:
    """The last WINDOW frames of a stream, in memory that does not grow; `add` takes one, `frames` has them in order."""

    def __init__(self, most: int = WINDOW):
        self.most, self.kept = most, list[Tensor]()

    def add(self, x: Float[Tensor, "b n d"]) -> None:
        self.kept = [*self.kept[-(self.most - 1) :], x]

    def frames(self, text: int, valid: Tensor) -> Float[Tensor, "t k"]:
        return torch.stack([x[text, valid].flatten() for x in self.kept])
