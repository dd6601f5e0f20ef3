r"""Weights that change with depth: one set of heads on each stretch of time.

Resampled   random matrices, drawn anew every `period`: the same for all tokens, a common noise  [derived]
Piecewise   given heads, from given times on
"""

import bisect
import math
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real

import numpy as np

from spinodal.errors import InputError, require_type, require_types
from spinodal.flows.engines.kernel import Kernel, Matrix, PositionScores
from spinodal.flows.fields.heads import Head, stack_heads
from spinodal.flows.fields.matrices import ROLES, is_random, named_matrix
from spinodal.runs import register

ROUNDING = 1e-9  # of a period, by which a time that ends it may fall short


@register("resampled")
@dataclass(frozen=True)
class Resampled:
    """Q, K and V by names as of `named_matrix`; "random:SEED" is drawn anew at t = 0, period, 2 period, ...

    On the layer clock with period = step every layer has its own, with period = m step m layers share one; a simulation
    refuses other periods. The k-th draw depends on the seed, the role of the matrix and k alone. InputError where no
    text is random, and for a period that is not positive.

    >>> from spinodal.flows import Resampled
    >>> weights = Resampled(d=2, values="random:1", period=0.1)
    >>> weights.heads(0.05)[0].values is weights.heads(0.1)[0].values
    False
    """

    d: int
    queries: str = "scaled:1"
    keys: str = "scaled:1"
    values: str = "scaled:1"
    period: float = 0.1

    def __post_init__(self) -> None:
        require_types(self, d=Integral, queries=str, keys=str, values=str, period=Real)
        if not 0 < self.period < math.inf:
            raise InputError(f"`period` {self.period}: must be positive and finite", field="period")
        if not any(is_random(getattr(self, role)) for role in ROLES):
            raise InputError("of `queries`, `keys` and `values` one at least is random:SEED", field=ROLES)
        self.heads(0.0)

    def reseeded(self, s: int) -> "Resampled":
        """The same law with s added to every seed."""

        def later(text: str) -> str:
            seed, colon, size = text.removeprefix("random:").partition(":")
            return f"random:{int(seed) + s}{colon}{size}" if is_random(text) else text

        return replace(self, **{role: later(getattr(self, role)) for role in ROLES})

    def heads(self, time: float) -> tuple[Head, ...]:
        """The head of the period that holds this time."""
        draw = math.floor(time / self.period + ROUNDING)
        queries, keys, values = (
            named_matrix(getattr(self, role), self.d, role=role, draw=draw) for role in ROLES
        )
        heads = stack_heads(queries, keys, values)
        return tuple(RedrawnHead(head.queries, head.keys, head.values) for head in heads)


def frobenius(matrix: Matrix) -> float:
    """|M|_F of a matrix, |a| of a number; not by a BLAS, whose threads take longer to wake than the sum does."""
    return math.sqrt(np.einsum("ij,ij->", matrix, matrix)) if np.ndim(matrix) else abs(float(matrix))


class RedrawnKernel(Kernel):
    """A kernel of random matrices, whose largest exponent is bounded by |b| |Q|_F |K|_F.

    The spectral norm of Q^T K takes longer than a layer, and SA needs it for the scale of Z alone.
    """

    @cached_property
    def top(self) -> float:
        size = frobenius(self.queries) * frobenius(self.keys)
        return abs(self.beta) * size + (0.0 if self.positions is None else self.positions.top)

    @cached_property
    def isotropic(self) -> bool:
        return not (np.ndim(self.queries) or np.ndim(self.keys)) and self.positions is None


class RedrawnHead(Head):
    """A head of random matrices, whose norms are bounded by those of Frobenius, which take no time."""

    def sa_kernel(self, beta: float, causal: bool, positions: PositionScores | None) -> Kernel:
        return RedrawnKernel(beta, self.queries, self.keys, causal, positions=positions)

    @cached_property
    def value_norm(self) -> float:
        return frobenius(self.values)

    @property
    def isotropic(self) -> bool:
        return not any(np.ndim(M) for M in (self.queries, self.keys, self.values))


@register("piecewise")
@dataclass(frozen=True, eq=False)
class Piecewise:
    """heads[k] from times[k] on, times[0] = 0: a schedule of weights that are constant between times.

    InputError for times that do not increase from 0, and unless there is a tuple of heads a time.
    """

    times: tuple[float, ...]
    stacks: tuple[tuple[Head, ...], ...]

    def __post_init__(self) -> None:
        for time in self.times:
            require_type("times", time, Real)
        increase = all(a < b < math.inf for a, b in zip(self.times, self.times[1:], strict=False))
        if not (self.times and self.times[0] == 0 and increase):
            raise InputError(f"`times` {self.times}: increase from 0, and are finite", field="times")
        if any(isinstance(stack, Head) for stack in self.stacks):
            raise InputError(
                "`stacks` of single heads: a tuple of heads a time, such as (Head(),), is needed",
                field="stacks",
            )
        if len(self.stacks) != len(self.times) or not all(self.stacks):
            raise InputError(
                f"`stacks` are {len(self.stacks)}, `times` {len(self.times)}: a tuple of heads a time is needed",
                field=("stacks", "times"),
            )
        if len({head.d for stack in self.stacks for head in stack if head.d is not None}) > 1:
            raise InputError("`stacks` are of different d", field="stacks")

    @property
    def d(self) -> int | None:
        return next((head.d for stack in self.stacks for head in stack if head.d is not None), None)

    def heads(self, time: float) -> tuple[Head, ...]:
        """The heads at this time."""
        span = ROUNDING * (1 + abs(time))
        return self.stacks[max(bisect.bisect_right(self.times, time + span) - 1, 0)]
