r"""Fused attention in double precision: any d, every pair, O(n) memory, torch's own kernel.

    Z_i^-1 sum_j w_j e^{<t_i, s_j>} v_j  and  log Z_i = log sum_j w_j e^{<t_i, s_j>}

come from one pass. Relative accuracy is lost in a cluster: the mean is rounded like 1 before anything
is subtracted from it, so the error bound does not shrink with the drift.
"""

import numpy as np
from jaxtyping import Float

from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel, Scores
from spinodal.flows.engines.law import EPS, Attention, rounding_of_sum

BLOCK = 512  # the fused kernel sums over as many sources before it rescales


def interaction(
    targets: Float[np.ndarray, "n d"],
    sources: Float[np.ndarray, "m d"],
    values: Float[np.ndarray, "m e"],
    weights: Float[np.ndarray, " m"],
    anchors: Float[np.ndarray, "n e"] | None = None,
    causal: bool = False,
    scores: Scores | None = None,
) -> Attention:
    """shift_i = Z_i^-1 sum_j w_j e^{<t_i, s_j> + B_ij} v_j - a_i: as in `pairs`, but averaged first."""
    import torch

    d, e = targets.shape[1], values.shape[1]
    with np.errstate(divide="ignore"):
        log_w = np.log(weights) if scores is None else np.log(weights) + scores.values
    mask = torch.from_numpy(np.atleast_2d(log_w))[None, None]
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    q, k, v = (
        torch.from_numpy(pad_columns(rows, max(d, e)))[None, None] for rows in (targets, sources, values)
    )
    mean, log_Z = (answer[0, 0].numpy() for answer in fused(q, k, v, 0.0, causal, attn_mask=mask, scale=1.0))
    shift = mean[:, :e]
    size = np.full(len(shift), np.linalg.norm(values, axis=1).max())
    if anchors is not None:
        shift = shift - anchors
        size += np.linalg.norm(anchors, axis=1)
    if (causal and weights[0] == 0) or scores is not None:
        read = np.broadcast_to(np.isfinite(log_w), (len(shift), len(weights)))
        nothing = ~np.any(np.tril(read) if causal else read, axis=1)
        shift, log_Z = np.where(nothing[:, None], 0.0, shift), np.where(nothing, -np.inf, log_Z)
    logit = np.linalg.norm(targets, axis=1) * np.linalg.norm(sources, axis=1).max()
    logit = logit if scores is None else logit + scores.largest
    return Attention(shift, log_Z, rounding(weights, logit) * size)


def pad_columns(rows: Float[np.ndarray, "n d"], width: int) -> Float[np.ndarray, "n w"]:
    """Pads with zero columns to a width, so that the compiled kernel has one width for all inputs."""
    missing = width - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows


def rounding(weights: Float[np.ndarray, " m"], logit: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Relative error of a mean over these weights, with logits of at most this size."""
    largest = logit - np.log(weights[weights > 0].min())
    m = len(weights)
    return EPS * (8 + rounding_of_sum(m, BLOCK, BLOCK + m / BLOCK) + 4 * largest)


def average(kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i = (sum_j p_ij x_j) - x_i, averaged first."""
    targets, sources = kernel.logits(x)
    return interaction(targets, sources, x, weights, x, kernel.causal, kernel.position_scores(len(x)))


def cost(problem: Problem) -> float:
    n, d = problem.n, problem.d or 2
    return 120 + (3.2e-3 + 0.13e-3 * d) * n * n


ENGINE = Engine(
    "attention",
    average=Routine(average, cost),
    matrices=True,
    causal=True,
    negative=True,
    biased=True,
    placed=True,
)
