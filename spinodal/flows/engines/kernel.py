r"""The kernel of attention, e^{b <Q x, K y>}, where a number stands for that multiple of the identity.

Only M = Q^T K enters. Where M = a I the kernel is that of Q = K = I at inverse temperature a b, which may be
negative, so that engines for Q = K = I alone serve it.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from spinodal.loops import product

Number = float | int
Matrix = Number | Float[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Kernel:
    """w_j e^{b <Q x_i, K x_j>}, over j <= i where causal; b = inf keeps only the largest, -inf the smallest."""

    beta: float
    queries: Matrix = 1.0
    keys: Matrix = 1.0
    causal: bool = False
    query_bias: Float[np.ndarray, " k"] | None = None
    key_bias: Float[np.ndarray, " k"] | None = None

    @cached_property
    def coupling(self) -> Matrix:
        """M = Q^T K, as a number where it is a multiple of the identity."""
        if np.ndim(self.queries) and np.ndim(self.keys):
            return scalar_or_matrix(np.asarray(self.queries).T @ self.keys)
        return scalar_or_matrix(np.transpose(self.queries) * self.keys)

    @cached_property
    def top(self) -> float:
        """|b| |Q^T K|, the largest exponent; with biases an upper bound on it."""
        size = norm(self.coupling)
        if self.biased:
            q, k = (
                0.0 if bias is None else float(np.linalg.norm(bias))
                for bias in (self.query_bias, self.key_bias)
            )
            size += norm(self.queries) * k + q * norm(self.keys) + q * k
        return abs(self.beta) * size

    @property
    def biased(self) -> bool:
        """Whether it is e^{b <Q x + q, K y + k>}."""
        return self.query_bias is not None or self.key_bias is not None

    @property
    def inverse_temperature(self) -> float:
        """a b where Q^T K = a I, else |b| |Q^T K|."""
        return self.beta * float(self.coupling) if self.isotropic else self.top

    @cached_property
    def isotropic(self) -> bool:
        """Whether Q^T K = a I, without biases."""
        return np.ndim(self.coupling) == 0 and not self.biased

    @property
    def hard(self) -> bool:
        return math.isinf(self.beta)

    def logits(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """Targets b Q x (Q x for hardmax, with the sign of b) and sources K x."""
        factor = math.copysign(1.0, self.beta) if self.hard else self.beta
        targets, sources = times(self.queries, x), times(self.keys, x)
        if self.query_bias is not None:
            targets = targets + self.query_bias
        if self.key_bias is not None:
            sources = sources + self.key_bias
        return factor * targets, sources


def scalar_or_matrix(matrix: Matrix) -> Matrix:
    """The number a where the matrix is exactly a I, else the matrix."""
    if np.ndim(matrix) == 0:
        return float(matrix)
    array = np.asarray(matrix)
    a = float(array[0, 0])
    return a if np.array_equal(array, a * np.eye(len(array))) else array


def square(matrix: Matrix, d: int = 2) -> Float[np.ndarray, "d d"]:
    """The matrix as an array: a I [d d] for a number a."""
    return float(matrix) * np.eye(d) if np.ndim(matrix) == 0 else np.asarray(matrix)


def norm(matrix: Matrix) -> float:
    """Spectral norm."""
    return abs(float(matrix)) if np.ndim(matrix) == 0 else float(np.linalg.norm(matrix, 2))


def times(matrix: Matrix, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
    """M x_i for every row."""
    if np.ndim(matrix) == 0:
        return x if matrix == 1 else matrix * x
    return product(x, np.asarray(matrix).T)
