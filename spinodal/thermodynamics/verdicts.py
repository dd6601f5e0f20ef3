"""The outcome of a flash for each mixture, and the error that is raised for mixtures without a solution."""

import math
from enum import IntEnum

import torch
from torch import Tensor

from spinodal.errors import InputError


class Verdict(IntEnum):
    """The outcome of a flash for one mixture: above UNCONVERGED it has no solution, and `reason` says why."""

    SOLVED = 0
    UNCONVERGED = 1
    NO_ROOT = 2
    NOT_UNIQUE = 3
    FEED_NOT_FINITE = 4
    FEED_NEGATIVE = 5
    FEED_EMPTY = 6
    FACTORS_NOT_FINITE = 7
    FACTORS_NEGATIVE = 8

    @property
    def reason(self) -> str:
        return REASONS[self]


REASONS = {
    Verdict.SOLVED: "solved",
    Verdict.UNCONVERGED: "the digits that are promised were not reached",
    Verdict.NO_ROOT: "some change of L raises the dilution of every component",
    Verdict.NOT_UNIQUE: "some phases in K are combinations of the others",
    Verdict.FEED_NOT_FINITE: "z has NaN or infinite entries, or a sum that overflows",
    Verdict.FEED_NEGATIVE: "z has negative entries: signed compositions have no unique split",
    Verdict.FEED_EMPTY: "z sums to zero: there is nothing to split",
    Verdict.FACTORS_NOT_FINITE: "K has NaN or infinite entries whose ratio is open: infinity says that the reference "
    "phase lacks a component, which one phase of K alone may hold",
    Verdict.FACTORS_NEGATIVE: "K has negative entries: take the exponential of log K, and 0 for a component that a "
    "phase lacks",
}


def input_verdicts(z: Tensor, K: Tensor) -> tuple[Tensor, bool]:
    """The verdict [b] of each mixture z [b, n], K [b, n, q] before it is solved, and whether all K are finite."""
    total = z.sum(-1)
    found = torch.zeros_like(total, dtype=torch.long)
    extremes = torch.stack([total.amin(), z.amin(), total.amax(), *K.aminmax()]).tolist()
    if extremes[0] > 0 and extremes[1] >= 0 and extremes[3] >= 0 and max(extremes[2], extremes[4]) < math.inf:
        return found, True  # all is well; NaN fails every comparison
    for verdict, bad in (
        (Verdict.FACTORS_NEGATIVE, (K < 0).flatten(1).any(-1)),
        (Verdict.FACTORS_NOT_FINITE, K.isnan().flatten(1).any(-1) | (K.isposinf().sum(-1) > 1).any(-1)),
        (Verdict.FEED_EMPTY, total == 0),
        (Verdict.FEED_NEGATIVE, (z < 0).any(-1)),
        (Verdict.FEED_NOT_FINITE, ~total.isfinite()),
    ):
        found = torch.where(bad, int(verdict), found)
    return found, False


def refuse(verdicts: Tensor, batch: torch.Size, z: Tensor, K: Tensor) -> None:
    """Raises InputError, with its index in the batch, for the first mixture that has no solution."""
    bad = (verdicts > Verdict.UNCONVERGED).nonzero()[:, 0].tolist()
    if not bad:
        return
    first, verdict = bad[0], Verdict(int(verdicts[bad[0]]))
    index = [int(axis) for axis in torch.unravel_index(torch.tensor(first), batch)]
    reason = verdict.reason
    if verdict == Verdict.FEED_NEGATIVE:
        reason = reason.replace("entries", f"entries, {z[first].amin():g} the lowest")
    if verdict == Verdict.FACTORS_NEGATIVE:
        reason = f"K must be above zero, its lowest is {K[first].amin():g}: {reason.split(': ')[1]}"
    solved = f"`errors` 'mask' solves the others, {len(verdicts) - len(bad)} of {len(verdicts)}"
    raise InputError(
        f"no unique split of the mixture at {index} of the batch: {reason}. {solved}",
        field="errors",
    )
