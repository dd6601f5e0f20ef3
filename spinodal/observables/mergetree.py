r"""The merge tree of clusters: which of them merge or split, and when.

A branch is a cluster followed through time. From one frame to the next each cluster's *heir* is the new
cluster that takes most of its mass. Of several branches with the same heir the one that brings most mass goes
on (the older, then the one with the first token, if equal); the others die, absorbed by it. A new cluster
that is the heir of none is born, split off the branch that gave it most: so both merges and splits, which
only trained networks have, are recorded. An event is dated by the first frame that shows it.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spinodal.errors import InputError


class MergeTree(NamedTuple):
    """Branches 0, 1, ... in the order of birth; branches of one frame in the order of their first tokens.

    `births` and `deaths` are times, `deaths` inf for a branch alive at the end. `absorbed_by` and
    `split_from` are branches, or -1. `mass` is a branch's last share of all tokens. `branch` is the branch of
    each token at each time, -1 on padding.
    """

    births: Float[Tensor, " k"]
    deaths: Float[Tensor, " k"]
    absorbed_by: Int[Tensor, " k"]
    split_from: Int[Tensor, " k"]
    mass: Float[Tensor, " k"]
    branch: Int[Tensor, "t n"]


def merge_tree(
    times: Float[Tensor, " t"], labels: Int[Tensor, "t n"], *, weights: Float[Tensor, " n"] | None = None
) -> MergeTree:
    """The branches of one sequence, from its `cluster_labels`.

    >>> import torch
    >>> from spinodal import observables
    >>> labels = torch.tensor([[0, 1, 2], [0, 0, 1], [0, 0, 0]])
    >>> tree = observables.merge_tree(torch.tensor([0.0, 1.0, 2.0]), labels)
    >>> tree.deaths.tolist()
    [inf, 1.0, 2.0]
    >>> tree.absorbed_by.tolist()
    [-1, 0, 0]
    """
    old, clock = labels.cpu().numpy(), times.tolist()
    w = np.ones(old.shape[1]) if weights is None else weights.to(torch.float64).cpu().numpy()
    w = np.where(old[0] >= 0, w, 0.0)
    if not w.sum() > 0:
        raise InputError("labels: no token is valid")
    w = w / w.sum()
    current = np.arange(old[0].max() + 1)  # the branch of each cluster of the last frame
    births, deaths = [clock[0]] * len(current), [np.inf] * len(current)
    absorbed_by, split_from = [-1] * len(current), [-1] * len(current)
    branch = np.empty_like(old)
    branch[0] = np.where(old[0] >= 0, current[old[0]], -1)
    for i in range(1, len(old)):
        if np.array_equal(old[i], old[i - 1]):
            branch[i] = branch[i - 1]
            continue
        flow = _flow(old[i - 1], old[i], w)
        heir = {a: c for a, c, _ in sorted(flow, key=lambda f: (f[2], -f[1]))}
        following = np.full(old[i].max() + 1, -1)
        for a, c, _ in sorted(flow, key=lambda f: (-f[2], births[current[f[0]]], f[0])):
            if heir[a] == c and following[c] < 0:
                following[c] = current[a]
        for a, c in heir.items():
            if following[c] != current[a]:
                deaths[current[a]], absorbed_by[current[a]] = clock[i], int(following[c])
        source = {c: a for a, c, _ in sorted(flow, key=lambda f: (f[2], -f[0]))}
        for c in np.flatnonzero(following < 0):
            following[c] = len(births)
            births.append(clock[i])
            deaths.append(np.inf)
            absorbed_by.append(-1)
            split_from.append(int(current[source[c]]))
        current = following
        branch[i] = np.where(old[i] >= 0, current[old[i]], -1)
    return MergeTree(
        torch.tensor(births, dtype=torch.float64),
        torch.tensor(deaths, dtype=torch.float64),
        torch.tensor(absorbed_by),
        torch.tensor(split_from),
        _last_mass(branch, w, len(births)),
        torch.as_tensor(branch),
    )


def _flow(old, new, w):
    """A list of (cluster before, cluster after, mass of the tokens in both)."""
    both = old >= 0
    pairs, owner = np.unique(np.stack([old[both], new[both]]), axis=1, return_inverse=True)
    mass = np.bincount(owner.ravel(), w[both])
    return list(zip(*pairs.tolist(), mass.tolist(), strict=True))


def _last_mass(branch, w, k):
    """Share of each branch in the last frame that has it."""
    mass = np.zeros(k)
    for frame in branch:
        share = np.bincount(frame[frame >= 0], w[frame >= 0], minlength=k)
        mass = np.where(share > 0, share, mass)
    return torch.as_tensor(mass)
