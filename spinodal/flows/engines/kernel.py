r"""The kernel of attention, e^{b <Q x, K y>}, where a number stands for that multiple of the identity.

Only M = Q^T K enters. Where M = a I the kernel is that of Q = K = I at inverse temperature a b, which may be
negative, so that engines for Q = K = I alone serve it. Scores B_ij of fixed positions may be added to b <Q x_i, K x_j>.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from spinodal.loops import product

Number = float | int
Matrix = Number | Float[np.ndarray, "..."]


class Scores(NamedTuple):
    """B_ij, -inf where target i does not read source j, and the largest |B_ij| that is finite."""

    values: Float[np.ndarray, "n m"]
    largest: float


@runtime_checkable
class PositionScores(Protocol):
    """Scores B_ij that do not depend on tokens, but on which tokens they are."""

    @property
    def top(self) -> float:
        """An upper bound on B_ij."""
        ...

    def scores(self, n: int) -> Scores:
        """Those among n tokens."""
        ...


@dataclass(frozen=True, eq=False)
class Kernel:
    """w_j e^{b <Q x_i, K x_j> + B_ij}, over j <= i where causal; b = inf keeps only the largest, -inf the smallest.

    Where `euclidean` tokens are no unit vectors, and no exponent bounds the others.
    """

    beta: float
    queries: Matrix = 1.0
    keys: Matrix = 1.0
    causal: bool = False
    query_bias: Float[np.ndarray, " k"] | None = None
    key_bias: Float[np.ndarray, " k"] | None = None
    positions: PositionScores | None = None
    euclidean: bool = False

    @cached_property
    def coupling(self) -> Matrix:
        """M = Q^T K, as a number where it is a multiple of the identity."""
        if np.ndim(self.queries) and np.ndim(self.keys):
            return scalar_or_matrix(np.asarray(self.queries).T @ self.keys)
        return scalar_or_matrix(np.transpose(self.queries) * self.keys)

    @cached_property
    def top(self) -> float:
        """|b| |Q^T K|, the largest exponent; with biases or positions an upper bound on it."""
        size = norm(self.coupling)
        if self.biased:
            q, k = (
                0.0 if bias is None else float(np.linalg.norm(bias))
                for bias in (self.query_bias, self.key_bias)
            )
            size += norm(self.queries) * k + q * norm(self.keys) + q * k
        return abs(self.beta) * size + (0.0 if self.positions is None else self.positions.top)

    def position_scores(self, n: int) -> Scores | None:
        """B of n tokens; None without positions."""
        return None if self.positions is None else self.positions.scores(n)

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
        """Whether Q^T K = a I, without biases and positions."""
        return np.ndim(self.coupling) == 0 and not self.biased and self.positions is None

    @property
    def hard(self) -> bool:
        return math.isinf(self.beta)

    def logits(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """Targets and sources of tokens that read each other."""
        return self.targets(x), self.sources(x)

    def targets(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """b Q x (Q x for hardmax, with the sign of b)."""
        factor = math.copysign(1.0, self.beta) if self.hard else self.beta
        return factor * plus_bias(times(self.queries, x), self.query_bias)

    def sources(self, y: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m k"]:
        """K y."""
        return plus_bias(times(self.keys, y), self.key_bias)


def plus_bias(
    rows: Float[np.ndarray, "n k"], bias: Float[np.ndarray, " k"] | None
) -> Float[np.ndarray, "n k"]:
    return rows if bias is None else rows + bias


def scalar_or_matrix(matrix: Matrix) -> Matrix:
    """The number a where the matrix is exactly a I, else the matrix."""
    if np.ndim(matrix) == 0:
        return float(matrix)
    array = np.asarray(matrix)
    if array[0, 1:].any():  # as in nearly all that are not, before an identity is made
        return array
    a = float(array[0, 0])
    return a if np.array_equal(array, a * np.eye(len(array))) else array


def square(matrix: Matrix, d: int = 2) -> Float[np.ndarray, "k d"]:
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
