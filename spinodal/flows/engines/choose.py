r"""The choice of an engine, for `flows.field` and every composed field, and the refinement of its result.

Of the engines whose domain holds the problem the cheapest runs; where it returns None, the next. An O(n)
engine has an error of eps / Z_i, largest for tokens far from all others: those whose bound exceeds
`tolerance` times the largest drift are computed again by differences, where that costs at most `WORK`. In a
metastable state all drifts are small, all tokens are computed again, and the result is that of "direct". A
token whose Z_i is below the error of the engine has an infinite bound and is always computed again; its
weight is small, or 0 as that of a probe.

Results have the name of the engine that ran: "circle+direct" where some tokens were computed again.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from spinodal.errors import InputError
from spinodal.flows.engines import direct, pairs
from spinodal.flows.engines.engine import Engine, Problem
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import Attention, Drift, Law, replace_rows
from spinodal.flows.engines.registry import ENGINES
from spinodal.flows.names import require_known

TOLERANCE = 1e-8  # of the largest drift
WORK = 2e9  # pairs times dimensions that refining tokens may cost: a second or two
Numbers = Float[np.ndarray, " n"]
Tokens = Float[np.ndarray, "n d"]


@runtime_checkable
class BoundedAnswer(Protocol):
    """An answer of an engine with a bound on the error of every token."""

    @property
    def tangent(self) -> Tokens: ...
    @property
    def error_bound(self) -> Numbers: ...


Answer = TypeVar("Answer", bound=BoundedAnswer)


def choose_engines(problem: Problem, engine: str = "auto") -> tuple[Engine, ...]:
    """The engines whose domain holds the problem, in the order of their cost.

    With a name other than "auto", that engine alone. InputError for an unknown name, and for an engine outside its
    domain.
    """
    if engine == "auto":
        return rank_engines(problem, tuple(ENGINES.values()))
    named = ENGINES[require_known("engine", engine, ["auto", *ENGINES])]
    reason = named.refusal(problem)
    if reason:
        raise InputError(f"engine {engine!r} {reason}; use 'auto' as `engine`", field="engine")
    return (named,)


@lru_cache(maxsize=1024)
def rank_engines(problem: Problem, engines: tuple[Engine, ...]) -> tuple[Engine, ...]:
    """The engines that apply to the problem, by ascending cost."""
    costs = {engine: engine.cost(problem) for engine in engines}
    return tuple(sorted((e for e, cost in costs.items() if cost < np.inf), key=costs.__getitem__))


def unchecked_drift(
    x: Tokens, weights: Numbers, law: Law, engine: str = "auto", tolerance: float = TOLERANCE
) -> Drift:
    """dx_i/dt of `field`, without its checks of tokens and weights.

    For callers whose tokens are unit vectors by construction; takes the law itself and NumPy arrays.
    """
    n, d = x.shape
    for one in choose_engines(Problem(n, d, law.beta), engine):
        answer = one(x, weights, law, engine == "auto")
        if answer is not None:
            answer = replace(answer, engine=one.name)
            return answer if one.exact else refine_drift(answer, x, weights, law, tolerance)
    raise engine_error(engine, x)


def compute_average(
    kernel: Kernel,
    x: Tokens,
    weights: Numbers,
    split: Callable[[Attention], Answer],
    *,
    engine: str = "auto",
    tolerance: float = TOLERANCE,
) -> tuple[Answer, str]:
    """(split(m, log Z), engine name): the average of the cheapest engine, with inaccurate tokens computed again.

    `split` turns m_i and log Z_i into the answer and its error bound.
    """
    mean, one = mean_and_engine(kernel, x, weights, engine)
    answer = split(mean)
    if one.exact:
        return answer, one.name
    poor = offenders(answer.tangent, answer.error_bound, tolerance)
    if len(poor) == 0:
        return answer, one.name
    if kernel.causal:
        return split(direct.average(kernel, x, weights)), direct.ENGINE.name
    targets, sources = kernel.logits(x)
    scores = kernel.position_scores(len(x))
    scores = scores and scores._replace(values=scores.values[poor])
    replace_rows(mean, poor, pairs.interaction(targets[poor], sources, x, weights, x[poor], scores=scores))
    return split(mean), f"{one.name}+{direct.ENGINE.name}"


def mean_and_engine(kernel: Kernel, x: Tokens, weights: Numbers, engine: str) -> tuple[Attention, Engine]:
    """m_i and log Z_i as an engine gives them, and that engine."""
    n, d = x.shape
    problem = Problem(
        n, d, kernel.inverse_temperature, kernel.isotropic, kernel.causal, kernel.hard, True, kernel.biased,
        kernel.positions is not None, kernel.euclidean,
    )  # fmt: skip
    for one in choose_engines(problem, engine):
        mean = one.mean(kernel, x, weights, engine == "auto")
        if mean is not None:
            return mean, one
    raise engine_error(engine, x)


def engine_error(engine: str, x: Tokens) -> InputError:
    """InputError for an engine that, asked by name, cannot serve these tokens."""
    return InputError(
        f"engine {engine!r} declines these {len(x)} tokens of d = {x.shape[1]}; use 'auto' as `engine`",
        field="engine",
    )


def refine_drift(answer: Drift, x: Tokens, weights: Numbers, law: Law, tolerance: float) -> Drift:
    """Replaces the drift of tokens whose bound exceeds `tolerance` times the largest drift by the sum over pairs.

    All tokens are computed again where that costs no more than the offenders alone.
    """
    poor = offenders(answer.drift, answer.error_bound, tolerance)
    if len(poor) == 0:
        return answer
    if x.shape[1] < 4 and len(poor) > len(x) // 4:
        return replace(direct.drift(x, weights, law), engine=direct.ENGINE.name)
    replace_rows(answer, poor, direct.drift_at(x[poor], x, weights, law))
    return replace(answer, engine=f"{answer.engine}+{direct.ENGINE.name}")


def offenders(drift: Tokens, bound: Numbers, tolerance: float) -> Int[np.ndarray, " m"]:
    """Indices of the tokens whose error may exceed `tolerance` times the largest drift, or is unknown.

    The latter alone where all are too many to refine.
    """
    worst = bound.max()
    some = np.abs(drift[:: 1 + len(drift) // 1000]).max()  # cheap, and never above the largest
    if worst < np.inf and worst <= tolerance * some:
        return np.empty(0, int)
    unknown = bound == np.inf
    poor = np.flatnonzero(unknown | (bound > tolerance * np.abs(drift).max()))
    return poor if len(poor) * drift.size <= WORK else np.flatnonzero(unknown)
