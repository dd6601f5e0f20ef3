r"""Pairs: every number that depends on the cosines of one sequence, from one product of directions.

    name                symbol and definition, over the n (n-1) / 2 pairs of distinct tokens unless it says otherwise
    mean_cosine         mean of c_ij = <x_i, x_j>, x unit directions; over all tokens, however many
    mass_above          P(c_ij >= a) for a = .9, .99, .999
    clusters            connected components of {c_ij >= 1 - epsilon}, for the same a and for the chosen epsilon
    effective_rank      exp of the entropy of the eigenvalues of (1/n) sum_i x_i x_i^T: 1 where all are parallel
    energy              2 beta E e^{-beta} = (1/n^2) sum_ij e^{beta (c_ij - 1)}, diagonal too: 1 at consensus

Lengths do not enter: a sink of 150 times the others' norm counts as one direction. Beyond `SAMPLE` tokens pairs are
those of a uniform sample, so that memory is SAMPLE^2 and not n^2; mean and rank stay exact.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import linkage
from torch import Tensor

from spinodal.errors import InputError

SAMPLE = 2048
BINS = 80
THRESHOLDS = (0.9, 0.99, 0.999)
NAMES = (
    "mean_cosine", "above_.9", "above_.99", "above_.999", "effective_rank", "energy",
    "clusters", "clusters_.9", "clusters_.99", "clusters_.999",
)  # fmt: skip
CHUNK = 2**16  # tokens at a time, where all of them are summed over
BLOCK = 2**22  # cosines at a time, where frames are taken together


class PairStatistics(NamedTuple):
    """Numbers, histogram and energy shares of the cosines of one sequence at each time or layer t.

    `numbers` [t k] are those of this file's table, in the order of NAMES; `histogram` [t bins] counts cosines over
    [-1, 1]; `energy_shares` [t s] is the share of each token in the energy. `sample` [s] says which tokens the pairs
    are of.
    """

    numbers: Float[np.ndarray, "t k"]
    histogram: Int[np.ndarray, "t bins"]
    energy_shares: Float[np.ndarray, "t s"]
    sample: Int[np.ndarray, " s"]


def pair_statistics(
    tokens: Float[Tensor, "t n d"], selections: Mapping[str, Bool[Tensor, " n"]], beta: float, epsilon: float
) -> dict[str, PairStatistics]:
    """c_ij = <x_i, x_j> / (|x_i| |x_j|): cosine, energy, rank and clusters of one sequence [t n d], by selection.

    A selection is a mask of tokens [n] by name, such as all or all but the first. `beta` is the inverse temperature of
    the energy sum_ij e^{beta (c_ij - 1)} / n^2, and tokens with c_ij >= 1 - `epsilon` are linked to clusters.
    InputError names the layer of a token that is zero or not finite, and a selection of fewer than two tokens.
    """
    for name, keep in selections.items():
        if (n := int(keep.sum())) < 2:
            raise InputError(f"{n} token ({name}): cosines need pairs; give at least two tokens")
    if max(int(keep.sum()) for keep in selections.values()) > SAMPLE:
        return {name: _sample_statistics(tokens[:, keep], beta, epsilon) for name, keep in selections.items()}
    union = torch.stack(list(selections.values())).any(0)
    places = {name: keep[union].nonzero()[:, 0] for name, keep in selections.items()}
    n = int(union.sum())
    group = max(1, BLOCK // (n * n))
    found: dict[str, list[tuple]] = {name: [] for name in selections}
    for start in range(0, len(tokens), group):
        x = directions(tokens[start : start + group, union], start)
        C = (x @ x.mT).clamp_(-1, 1)
        for name, kept in places.items():
            whole = len(kept) == n
            part = C if whole else C[:, kept[:, None], kept]
            rank = effective_rank(x if whole else x[:, kept], part)
            found[name].append(_numbers(part, len(kept), _mean(part), rank, beta, epsilon))
    return {name: _joined(parts, np.arange(len(places[name]))) for name, parts in found.items()}


def _joined(parts: list[tuple], sample: Int[np.ndarray, " s"]) -> PairStatistics:
    numbers, histogram, shares = (np.concatenate(part) for part in zip(*parts, strict=True))
    return PairStatistics(numbers, histogram, shares, sample)


def _mean(C: Float[Tensor, "t n n"]) -> Float[Tensor, " t"]:
    n = C.shape[-1]
    return (C.sum((-1, -2)) - C.diagonal(dim1=-2, dim2=-1).sum(-1)) / (n * (n - 1))


def _numbers(
    C: Float[Tensor, "t s s"],
    n: int,
    mean: Float[Tensor, " t"],
    rank: Float[Tensor, " t"],
    beta: float,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(numbers [t k], histogram [t bins], energy shares [t s]) from the cosines of s of n tokens."""
    t, s = C.shape[:2]
    rows, columns = torch.triu_indices(s, s, 1)
    upper = C[:, rows, columns].double()
    slots = ((upper + 1) * (BINS / 2)).long().clamp_(0, BINS - 1) + BINS * torch.arange(t)[:, None]
    histogram = torch.bincount(slots.flatten(), minlength=t * BINS).view(t, BINS)
    weights = (beta * (C.double() - 1)).exp()
    # of n tokens a sample of s has (s-1) of the (n-1) others: the diagonal keeps its weight 1
    others = weights.sum(-1) - weights.diagonal(dim1=-2, dim2=-1)
    shares = (1 + others * (n - 1) / (s - 1)) / n
    above = torch.stack([(upper >= a).double().mean(-1) for a in THRESHOLDS], dim=1)
    reaches = (epsilon, *(1 - a + 1e-12 for a in THRESHOLDS))
    counts = np.array([_counts(1 - frame, s, reaches) for frame in upper.numpy()])
    parts = [mean[:, None].double(), above, rank[:, None].double(), shares.mean(-1, keepdim=True)]
    numbers = np.concatenate([torch.cat(parts, dim=1).numpy(), counts], axis=1)
    return numbers, histogram.numpy(), (shares / s).numpy()


def _counts(distances: Float[np.ndarray, " k"], s: int, reaches: Sequence[float]) -> list[float]:
    """Numbers of clusters of s points that single linkage joins up to each distance of `reaches`."""
    if distances.min() > max(reaches):
        return [float(s)] * len(reaches)
    heights = linkage(np.maximum(distances, 0), "single")[:, 2]
    return [float(s - (heights <= reach).sum()) for reach in reaches]


def _sample_statistics(tokens: Float[Tensor, "t n d"], beta: float, epsilon: float) -> PairStatistics:
    """`pair_statistics` of many tokens, frame by frame: mean and rank of all, the rest of a sample."""
    n = tokens.shape[1]
    sample = np.sort(np.random.default_rng(0).choice(n, min(n, SAMPLE), replace=False))
    parts = []
    for k, frame in enumerate(tokens):
        x = directions(frame[None], k)
        total = sum((part.double().sum(0) for part in x[0].split(CHUNK)), torch.zeros(x.shape[-1]).double())
        y = x[:, torch.from_numpy(sample)]
        mean = (total.square().sum() - n) / (n * (n - 1))
        C = (y @ y.mT).clamp_(-1, 1)
        parts.append(_numbers(C, n, mean[None], effective_rank(x, None), beta, epsilon))
    return _joined(parts, sample)


def directions(tokens: Float[Tensor, "t n d"], first: int = 0) -> Float[Tensor, "t n d"]:
    """x / |x|, in double precision up to SAMPLE tokens and in their own beyond; `first` is the first frame's layer."""
    x = tokens.double() if tokens.shape[1] <= SAMPLE else tokens
    length = x.norm(dim=-1, keepdim=True)
    wrong = ~(length.isfinite() & (length > 0))[..., 0]
    if wrong.any():
        frame, token = wrong.nonzero()[0].tolist()
        raise InputError(f"layer {first + frame}: token {token} is zero or not finite: it has no direction")
    return x / length


def effective_rank(x: Float[Tensor, "t n d"], C: Float[Tensor, "t n n"] | None) -> Float[Tensor, " t"]:
    """exp(-sum p log p) over the eigenvalues p of the second moments, from the smaller of the two matrices."""
    t, n, d = x.shape
    if C is None or n > d:
        parts = (part.double() for part in x.split(CHUNK, dim=1))
        C = sum((y.mT @ y for y in parts), torch.zeros(t, d, d, dtype=torch.float64))
    p = torch.linalg.eigvalsh(C / n).clamp(min=0)
    return torch.special.entr(p / p.sum(-1, keepdim=True)).sum(-1).exp()


def without_first(valid: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """The mask `valid` without its first True."""
    kept = valid.clone()
    kept[int(valid.int().argmax())] = False
    return kept
