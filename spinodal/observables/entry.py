"""What an observable is: one number of a sequence at each time, with all that is said of it anywhere.

An observable that is added is a file with its entry, and a name in `registry`: `watch.observe`, `spinodal simulate`,
`spinodal list observables`, figures and reports find it there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from spinodal.types import Trajectory


class Scales(NamedTuple):
    """What a number may depend on beside the tokens: the energy's beta; clusters have cosines >= 1 - epsilon."""

    beta: float = 1.0
    epsilon: float = 0.1


@dataclass(frozen=True)
class Observable:
    """`values` are (trajectory, scales) -> one number for each time and sequence.

    `label` stands at its axis, with the unit where it has one; `reading` says what its course over time or layers
    tells. `equiangular` is its value where all pairs of n tokens have the cosine g, as under the theory from an
    orthonormal start: (g, n, scales) -> the number at each g; None where that says too little.
    """

    name: str
    label: str
    reading: str
    values: Callable[[Trajectory, Scales], Float[Tensor, "t b"]]
    equiangular: Callable[[Float[np.ndarray, " t"], int, Scales], Float[np.ndarray, " t"]] | None = None
