"""Plateaus: the intervals of time on which the number of clusters is constant."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Numbers(Protocol):
    """An array or a tensor of one axis."""

    def tolist(self) -> list: ...


class Plateau(NamedTuple):
    """`clusters` clusters from `start` until `end`, the first frame with another count.

    `unfinished` if the record ends before the plateau does. `log_lifetime` is log(end / start), where a plateau
    from t = 0 counts from the first positive time.
    """

    clusters: int
    start: float
    end: float
    log_lifetime: float
    unfinished: bool


def plateaus(times: Numbers, counts: Numbers) -> list[Plateau]:
    """The maximal intervals of one cluster count, from one sequence of `cluster_count`, in order."""
    clock, count = times.tolist(), counts.tolist()
    positive = next((t for t in clock if t > 0), np.inf)
    change = [i for i in range(1, len(count)) if count[i] != count[i - 1]]
    found = []
    for a, b in zip([0, *change], [*change, len(count)], strict=True):
        start, end = clock[a], clock[min(b, len(count) - 1)]
        span = float(np.log(end / max(start, positive))) if end > positive else 0.0
        found.append(Plateau(count[a], start, end, span, b == len(count)))
    return found
