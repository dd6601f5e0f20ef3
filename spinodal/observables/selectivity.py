r"""How selective attention is: rows that read one token, and the rank of the matrix of weights  [clusters2023].

    a row is Boolean where max_j p_ij >= 0.99,   rank = #{k: s_k > 1e-3 s_1},   s the singular values of p

Tokens without layer norm in d = 1 have, with V > 0, attention that tends to a Boolean matrix of low rank.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spinodal.arrays import real_array
from spinodal.errors import InputError
from spinodal.observables.entry import Observable, Scales
from spinodal.observables.frames import frames
from spinodal.types import Trajectory

BOOLEAN, RANK = 0.99, 1e-3
LARGEST = 4096  # tokens whose matrix has its singular values taken

Weights = Float[np.ndarray, "*h n n"]


def boolean_rows(weights: Weights, threshold: float = BOOLEAN) -> float:
    """The share of rows of attention weights [n n] or [h n n] whose largest entry is at least `threshold`.

    >>> import numpy as np
    >>> from spinodal import observables
    >>> observables.boolean_rows(np.array([[1.0, 0.0], [0.5, 0.5]]))
    0.5
    """
    return float(np.mean(matrices(weights).max(-1) >= threshold))


def attention_rank(weights: Weights, tolerance: float = RANK) -> float:
    """The number of singular values of attention weights [n n] above `tolerance` of the largest; the mean over heads.

    Time O(n^3). InputError for more than 4,096 tokens.
    """
    p = matrices(weights)
    if p.shape[-1] > LARGEST:
        raise InputError(f"{p.shape[-1]} tokens: singular values are for {LARGEST} at most")
    s = np.linalg.svd(p, compute_uv=False)
    return float(np.mean(np.sum(s > tolerance * s[..., :1], axis=-1)))


def matrices(weights: Weights) -> Weights:
    """Attention weights as an array; InputError unless it is [n n] or [h n n], of finite numbers."""
    p = real_array(weights, "weights")
    if p.ndim not in (2, 3) or p.shape[-1] != p.shape[-2] or p.size == 0:
        raise InputError(
            f"`weights` have shape {p.shape}: attention weights [n n] or [h n n]", field="weights"
        )
    if not np.isfinite(p).all():
        raise InputError("`weights` hold NaN or infinity: attention weights are needed", field="weights")
    return p


def softmax_weights(x: Float[np.ndarray, "n d"], beta: float) -> Float[np.ndarray, "n n"]:
    """e^{beta <x_i, x_j>} / Z_i."""
    logits = beta * x @ x.T
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def over_time(
    measured: Callable[[Weights], float], trajectory: Trajectory, scales: Scales
) -> Float[Tensor, "t b"]:
    """A number of the attention weights that `scales` gives, or of softmax of beta <x_i, x_j>, at each time."""
    found = torch.empty(len(trajectory.tokens), len(trajectory.valid), dtype=torch.float64)
    for t, x in enumerate(frames(trajectory)):
        for b, (tokens, valid) in enumerate(zip(x, trajectory.valid, strict=True)):
            y = tokens[valid].cpu().numpy()
            if scales.attention is None:
                found[t, b] = measured(softmax_weights(y, scales.beta))
            else:
                found[t, b] = measured(scales.attention(float(trajectory.times[t]), y))
    return found


def equiangular_weights(g: float, n: int, beta: float) -> Float[np.ndarray, "n n"]:
    return softmax_weights(np.linalg.cholesky((1 - g) * np.eye(n) + g) if g < 1 else np.ones((n, 1)), beta)


BOOLEAN_ROWS = Observable(
    "boolean_rows",
    "share of tokens that read one token alone",
    "Rising towards 1: attention selects, as hardmax does.",
    values=lambda trajectory, scales: over_time(boolean_rows, trajectory, scales),
    equiangular=lambda g, n, scales: np.array(
        [boolean_rows(equiangular_weights(float(c), n, scales.beta)) for c in g]
    ),
    of_points=True,
)
ATTENTION_RANK = Observable(
    "attention_rank",
    "numerical rank of attention",
    "Falling: tokens read the same few tokens, the leaders.",
    values=lambda trajectory, scales: over_time(attention_rank, trajectory, scales),
    equiangular=lambda g, n, scales: np.array(
        [attention_rank(equiangular_weights(float(c), n, scales.beta)) for c in g]
    ),
    of_points=True,
)
