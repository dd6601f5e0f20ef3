r"""The types that describe an engine: what it computes, on which problems, and at what cost.

    average   m_i = sum_j p_ij (x_j - x_i) and log Z_i, p_ij = w_j e^{b <Q x_i, K x_j>} / Z_i
    drift     P_{x_i} m_i times the clock of a law, with Q = K = V = I and no mask

Every scheme of normalisation, every V and every mask is computed from the average; an engine that has a
faster way to the drift alone provides that too. To add an engine write a file with an `Engine` and name it in
`registry`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import BETA_MAX, Attention, Drift, Law, from_shift


class Problem(NamedTuple):
    """What an engine has to compute for n tokens in R^d (d None while unknown), beta = b |Q^T K|.

    `isotropic` says that Q^T K is a multiple of the identity, whose sign beta then has, `causal` that token i reads
    tokens j <= i alone, `hard` that beta is infinite. `average` is True where the drift alone is not enough: <x, A> is
    needed, or V is a matrix. `biased` that Q and K have biases, `placed` that scores of positions are added,
    `euclidean` that tokens have any length.
    """

    n: int
    d: int | None
    beta: float
    isotropic: bool = True
    causal: bool = False
    hard: bool = False
    average: bool = False
    biased: bool = False
    placed: bool = False
    euclidean: bool = False

    @property
    def drift_alone(self) -> bool:
        """Whether the drift with Q = K = V = I is enough."""
        return self.isotropic and not (self.causal or self.hard or self.average or self.euclidean)


@dataclass(frozen=True, eq=False)
class Routine:
    """One computation of an engine, with its cost in microseconds of one core.

    `compute` returns the result, or None where it cannot keep its error bound; another engine is then tried.
    A cost of infinity keeps it out of the automatic choice. `attempt` is what the automatic choice calls in
    the place of `compute`: it returns None where another engine would be faster. `beta_max` is the largest
    exponent b |Q^T K|.
    """

    compute: Callable[..., Any]
    cost: Callable[[Problem], float]
    beta_max: float = BETA_MAX
    attempt: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any, automatic: bool = False) -> Any:
        return (self.attempt if automatic and self.attempt else self.compute)(*arguments)


@dataclass(frozen=True, eq=False)
class Engine:
    """One way to compute attention among n tokens: its routines, one of them at least, and their domain.

    `average(kernel, x, weights)` is sum_j p_ij x_j, `drift(x, weights, law)` is dx/dt with Q = K = V = I.

    d         the one dimension that it serves, None for all
    matrices  it serves general Q and K
    causal    it serves a causal mask
    hard      it is for beta = inf, and for that alone
    exact     its bound is as small as the drift, so that no token is refined
    negative  it serves Q^T K = -I, which is beta < 0
    biased    it serves <Q x + q, K y + k>
    placed    it serves scores of positions, b <Q x_i, K x_j> + B_ij
    euclidean it serves tokens of any length
    """

    name: str
    average: Routine | None = None
    drift: Routine | None = None
    d: int | None = None
    matrices: bool = False
    causal: bool = False
    hard: bool = False
    exact: bool = False
    negative: bool = False
    biased: bool = False
    placed: bool = False
    euclidean: bool = False

    def routine(self, problem: Problem) -> Routine | None:
        """The routine for the problem, the faster one where there are two."""
        return self.drift if problem.drift_alone and self.drift else self.average

    def refusal(self, problem: Problem) -> str | None:
        """Why the problem lies outside the domain, as the rest of a sentence about the engine; or None."""
        routine = self.routine(problem)
        if problem.hard != self.hard:
            return "is for beta = inf alone" if self.hard else "does not know beta = inf"
        if problem.euclidean and not self.euclidean:
            return "is for unit vectors, and tokens without layer norm have any length"
        if problem.causal and not self.causal:
            return "does not know a causal mask"
        if problem.placed and not self.placed:
            return "does not know scores of positions"
        if not (problem.isotropic or self.matrices):
            return "does not know general Q, K, V"
        if problem.biased and not self.biased:
            return "does not know biases of Q and K"
        if problem.isotropic and problem.beta < 0 and not self.negative:
            return "does not know beta < 0"
        if self.d is not None and problem.d not in (None, self.d):
            return f"needs d = {self.d}, the tokens have d = {problem.d}"
        if routine is None:
            return "does not give <x, A>, which this normalisation or V needs"
        bounded = not (problem.hard or problem.euclidean)
        if bounded and abs(problem.beta) > routine.beta_max:
            return f"ends at beta |Q^T K| = {routine.beta_max:g}, here it is {abs(problem.beta):g}"
        return None

    def cost(self, problem: Problem) -> float:
        """Microseconds; infinite outside the domain."""
        routine = self.routine(problem)
        return float("inf") if routine is None or self.refusal(problem) else routine.cost(problem)

    def __call__(
        self,
        x: Float[np.ndarray, "n d"],
        weights: Float[np.ndarray, " n"],
        law: Law,
        automatic: bool = False,
    ) -> Drift | None:
        """The drift with Q = K = V = I, by the routine for it or from the average; None where the engine declines."""
        if self.drift:
            return self.drift(x, weights, law, automatic=automatic)
        mean = self.mean(Kernel(law.beta), x, weights, automatic)
        return None if mean is None else from_shift(x, mean, law)

    def mean(
        self,
        kernel: Kernel,
        x: Float[np.ndarray, "n d"],
        weights: Float[np.ndarray, " n"],
        automatic: bool = False,
    ) -> Attention | None:
        """The average; None where the engine has none or declines."""
        return self.average(kernel, x, weights, automatic=automatic) if self.average else None
