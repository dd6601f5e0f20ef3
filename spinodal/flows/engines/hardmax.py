r"""The limit beta -> infinity of softmax attention, or -infinity: only the largest logits of a token count.

    shift_i = mean of (v_j - a_i) over the j that maximise <t_i, s_j>, weighted by w

The maximum is decided up to the rounding of a logit, so that coincident and mirrored tokens share it.
With Q = K = I the largest logit of a token is its own and nothing moves; the limit is for other matrices.
"""

import numpy as np
from jaxtyping import Float

from spinodal.flows.engines.engine import Engine, Problem, Routine
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import EPS, Attention
from spinodal.loops import product

BLOCK = 2**21  # logits at a time
ROUNDING = 32 * EPS  # of a sum by halves


def interaction(
    targets: Float[np.ndarray, "n d"],
    sources: Float[np.ndarray, "m d"],
    values: Float[np.ndarray, "m e"],
    weights: Float[np.ndarray, " m"],
    anchors: Float[np.ndarray, "n e"] | None = None,
    causal: bool = False,
) -> Attention:
    """As `engines.pairs.interaction` at infinite beta; e^{log Z} is the mass of the maximisers.

    The bound is that of the mean: where a runner-up comes within rounding it counts as a maximiser.
    """
    n, m = len(targets), len(sources)
    shift, log_Z = np.zeros((n, values.shape[1])), np.full(n, -np.inf)
    longest = np.linalg.norm(sources, axis=1).max()
    for start in range(0, n, max(1, BLOCK // m)):
        rows = slice(start, start + max(1, BLOCK // m))
        logits = product(targets[rows], sources.T)
        unseen = np.broadcast_to(weights == 0, logits.shape)
        if causal:
            unseen = unseen | (np.arange(m) > np.arange(n)[rows, None])
        logits[unseen] = -np.inf
        tie = 4 * EPS * (1 + targets.shape[1] ** 0.5) * np.linalg.norm(targets[rows], axis=1) * longest
        best = (logits >= logits.max(1, keepdims=True) - tie[:, None]) & ~unseen
        for i, row in enumerate(best, start):
            some = np.flatnonzero(row)
            if len(some):
                mass = weights[some].sum()
                apart = values[some] - (0.0 if anchors is None else anchors[i])
                shift[i], log_Z[i] = np.sum(weights[some] * apart.T, 1) / mass, np.log(mass)
    size = np.abs(shift).sum(1) + np.abs(values).max()
    return Attention(shift, log_Z, ROUNDING * size)


def average(kernel: Kernel, x: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Attention:
    """m_i = the mean of x_j - x_i over the j with the largest <Q x_i, K x_j>."""
    targets, sources = kernel.logits(x)
    return interaction(targets, sources, x, weights, x, kernel.causal)


def cost(problem: Problem) -> float:
    return 20 * problem.n + 1e-3 * (problem.d or 2) * problem.n**2


ENGINE = Engine(
    "hardmax",
    average=Routine(average, cost),
    matrices=True,
    causal=True,
    hard=True,
    exact=True,
    negative=True,
    biased=True,
    euclidean=True,
)
