r"""Pairs: every number that depends on the cosines of one sequence, from one pass over them.

    name                symbol and definition, over the n (n-1) / 2 pairs of distinct tokens unless it says otherwise
    mean_cosine         mean of c_ij = <x_i, x_j>, x unit directions; over all tokens, however many
    mass_above          P(c_ij >= a) for a = .9, .99, .999
    clusters            connected components of {c_ij >= 1 - epsilon}, for the same a and for the chosen epsilon
    effective_rank      exp of the entropy of the eigenvalues of (1/n) sum_i x_i x_i^T: 1 where all are parallel
    energy              2 beta E e^{-beta} = (1/n^2) sum_ij e^{beta (c_ij - 1)}, diagonal too: 1 at consensus

Lengths do not enter: a sink of 150 times the others' norm counts as one direction. Beyond `SAMPLE` tokens pairs are
those of a uniform sample, so that memory is SAMPLE^2 and not n^2; mean and rank stay exact.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import linkage
from torch import Tensor

from spinodal.errors import InputError
from spinodal.types import Trajectory

SAMPLE = 2048
BINS = 80
THRESHOLDS = (0.9, 0.99, 0.999)
NAMES = (
    "mean_cosine", "above_.9", "above_.99", "above_.999", "effective_rank", "energy",
    "clusters", "clusters_.9", "clusters_.99", "clusters_.999",
)  # fmt: skip
CHUNK = 2**16  # tokens at a time, where all of them are summed over


class Pairs(NamedTuple):
    """Numbers in the order of NAMES, histogram of cosines over [-1, 1], and the share of each token in the energy.

    `sample` says which tokens the pairs are of.
    """

    numbers: Float[np.ndarray, " k"]
    histogram: Int[np.ndarray, " bins"]
    energy_shares: Float[np.ndarray, " s"]
    sample: Int[np.ndarray, " s"]


def pair_numbers(tokens: Float[Tensor, "n d"], beta: float, epsilon: float, *, seed: int = 0) -> Pairs:
    """The numbers of one sequence, all of whose tokens are there.

    InputError for fewer than two tokens and for a token that is zero or not finite.
    """
    n = len(tokens)
    if n < 2:
        raise InputError(f"{n} token: cosines need pairs; give at least two tokens")
    x = directions(tokens)
    total = sum(
        (x[a : a + CHUNK].double().sum(0) for a in range(0, n, CHUNK)), torch.zeros(x.shape[1]).double()
    )
    mean = float((total.square().sum() - n) / (n * (n - 1)))
    sample = np.arange(n)
    if n > SAMPLE:
        sample = np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False))
    s = len(sample)
    y = x if s == n else x[torch.from_numpy(sample)]
    C = (y @ y.mT).clamp_(-1, 1)
    upper = C[tuple(torch.triu_indices(s, s, 1))]
    slots = upper.add(1).mul_(BINS / 2).long().clamp_(0, BINS - 1)
    weights = torch.expm1(beta * (C - 1)).add_(1)
    others = weights.sum(1).double() - 1
    # of n tokens a sample of s has (s-1) of the (n-1) others: the diagonal keeps its weight 1
    shares = (1 + others * (n - 1) / (s - 1)) / n
    heights = linkage((1 - upper).clamp_(min=0).double().numpy(), "single")[:, 2]
    counts = [s - int((heights <= reach).sum()) for reach in (epsilon, *(1 - a + 1e-12 for a in THRESHOLDS))]
    numbers = [
        mean,
        *(float((upper >= a).double().mean()) for a in THRESHOLDS),
        effective_rank(x, C if s == n else None),
        float(shares.mean()),
        *counts,
    ]
    return Pairs(
        np.array(numbers, dtype=float),
        torch.bincount(slots, minlength=BINS).numpy(),
        (shares / s).numpy(),
        sample,
    )


def directions(tokens: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """x / |x| in double precision up to SAMPLE tokens, in the tokens' own beyond."""
    x = tokens.double() if len(tokens) <= SAMPLE else tokens
    length = x.norm(dim=-1, keepdim=True)
    wrong = ~(length.isfinite() & (length > 0))[:, 0]
    if wrong.any():
        raise InputError(f"token {int(wrong.int().argmax())} is zero or not finite: it has no direction")
    return x / length


def effective_rank(x: Float[Tensor, "n d"], C: Float[Tensor, "n n"] | None) -> float:
    """exp(-sum p log p) over the eigenvalues p of the second moments, from the smaller of the two matrices."""
    n, d = x.shape
    if C is None or n > d:
        chunks = (x[a : a + CHUNK].double() for a in range(0, n, CHUNK))
        C = sum((y.mT @ y for y in chunks), torch.zeros(d, d, dtype=torch.float64))
    p = torch.linalg.eigvalsh(C / n).clamp(min=0)
    return float(torch.special.entr(p / p.sum()).sum().exp())


class Portrait(NamedTuple):
    """`pairs` of every frame of one sequence."""

    numbers: Float[np.ndarray, "t k"]
    histogram: Int[np.ndarray, "t bins"]
    energy_shares: Float[np.ndarray, "t s"]
    sample: Int[np.ndarray, " s"]


def portrait(
    trajectory: Trajectory,
    sequence: int,
    beta: float,
    epsilon: float,
    *,
    keep: Bool[Tensor, " n"] | None = None,
) -> Portrait:
    """Every frame of one sequence, of its valid tokens or of those in `keep`. InputError names what is wrong, where."""
    mask = trajectory.valid[sequence] if keep is None else keep
    found = []
    for t, frame in enumerate(trajectory.tokens):
        try:
            found.append(pair_numbers(frame[sequence][mask], beta, epsilon))
        except InputError as error:
            raise InputError(f"layer {t}, sequence {sequence}: {error}") from None
    numbers, histogram, shares, sample = (np.stack(part) for part in zip(*found, strict=True))
    return Portrait(numbers, histogram, shares, sample[0])


def without_first(valid: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """The same tokens without the first that is there."""
    kept = valid.clone()
    kept[int(valid.int().argmax())] = False
    return kept
