"""An observable: one number of a sequence at each time, with its name, label and meaning.

To add one, write a file with its `Observable` and list that in `registry`: `watch.observe`,
`spinodal simulate`, `spinodal list observables`, figures and reports find it there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from spinodal.types import Trajectory


class Scales(NamedTuple):
    """Parameters of observables: beta of the attention; cosines >= 1 - epsilon make a cluster.

    `attention` gives the weights [h n n] of tokens [n d] at a time, as `Simulation.attention_weights` does; softmax of
    beta <x_i, x_j> if not given.
    """

    beta: float = 1.0
    epsilon: float = 0.1
    attention: Callable[[float, Float[np.ndarray, "n d"]], Float[np.ndarray, "h n n"]] | None = None


@dataclass(frozen=True)
class Observable:
    """A number of each sequence at each time: `values` is (trajectory, scales) -> [t b].

    `name` selects it, `label` is that of its axis, with the unit where it has one, and `reading` says what
    its course over time or layers means. `equiangular` is its value where all pairs of n tokens have the
    cosine g, as under the theory from an orthonormal start: (g, n, scales) -> the number at each g; None
    where that says too little. `of_points`: lengths of tokens enter; other observables read directions x / |x| alone.
    """

    name: str
    label: str
    reading: str
    values: Callable[[Trajectory, Scales], Float[Tensor, "t b"]]
    equiangular: Callable[[Float[np.ndarray, " t"], int, Scales], Float[np.ndarray, " t"]] | None = None
    of_points: bool = False
