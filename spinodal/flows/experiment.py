"""A simulation of tokens as a value: all that its result depends on.

simulation = Simulation(AttentionField(beta=25.0), UniformStart(200, 2), until=CONSENSUS)
result = evolve(simulation)
print(result.final); result.merge_time; draw_simulation(simulation, result)["cosines"].savefig("cosines.png")
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.flows.engines.field import check
from spinodal.flows.engines.span import reduced
from spinodal.flows.fields import AttentionField
from spinodal.flows.starts import AnyStart, UniformStart
from spinodal.flows.state import State
from spinodal.flows.time import CONSENSUS, Adaptive, Layers, Noisy

MEMORY = 2**28  # bytes of frames
DECADES = 30  # of time that a consensus may take, for which there must be memory
PER_DECADE = 8


class Coordinates(NamedTuple):
    """Tokens x = c B where their span is smaller than the space (else B is None), and their weights."""

    c: Float[np.ndarray, "n r"]
    B: Float[np.ndarray, "r d"] | None
    weights: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Simulation:
    """theta_i' = F_i(theta), from a start until a time, on the clock of the method.

    InputError for what does not fit, at construction.

        until    a time, or CONSENSUS: however long it takes
        method   Adaptive(tolerance) for the ode clock; Layers(step); Noisy(step) for fields with noise
        weights  [n], >= 0, summing to one; equal if not given
        times    kept beside the start and the end: so many evenly spread, as far as 256 MiB hold them; increasing
                 times [t]; or "log", 8 a decade, as it is for a consensus
    """

    field: AttentionField
    start: AnyStart = dataclasses.field(default_factory=UniformStart)
    until: float = 20.0
    method: Adaptive | Layers | Noisy = dataclasses.field(default_factory=Adaptive)
    weights: Float[np.ndarray, "..."] | None = None
    times: int | str | Float[np.ndarray, "..."] = 101

    def __post_init__(self) -> None:
        if not 0 < self.until <= CONSENSUS:
            raise InputError(f"`until` {self.until:g}: a positive time, or consensus", field="until")
        if self.until == CONSENSUS:
            check_consensus(self.field)
        c = self.coordinates.c
        check_times(self.times, self.most)
        self.field(0.0, State(c, np.ones(len(c))), self.coordinates.weights)

    @property
    def n(self) -> int:
        return len(self.coordinates.c)

    @property
    def d(self) -> int:
        c, B, _ = self.coordinates
        return c.shape[1] if B is None else B.shape[1]

    @property
    def most(self) -> int:
        """How many frames of tokens fit in memory."""
        return MEMORY // (8 * self.n * self.d)

    @cached_property
    def coordinates(self) -> Coordinates:
        """The start, checked, in its span where the field keeps tokens there and n < d."""
        x = self.start.tokens()
        n, d = x.shape
        weights = np.full(n, 1 / n) if self.weights is None else self.weights
        if weights.shape != (n,):
            raise InputError(f"`weights` have shape {weights.shape}: {n} tokens need ({n},)", field="weights")
        check(x, weights)
        if self.field.d not in (None, d):
            raise InputError(f"tokens have d = {d}, the matrices of the field have d = {self.field.d}")
        c, B = reduced(x) if self.field.in_span and n < d else (x, None)
        return Coordinates(c, B, weights)

    def saves(self) -> Iterable[float]:
        """The times to keep, an endless sequence where the end is not known."""
        if isinstance(self.times, np.ndarray):
            return self.times.tolist()
        if self.until < CONSENSUS and isinstance(self.times, int):
            return np.linspace(0, self.until, max(2, min(self.times, self.most)))[1:].tolist()
        rate = min(PER_DECADE, self.most // DECADES)
        if rate < 1:
            return ()
        first = 0.01 * (math.exp(-self.field.beta) if self.field.kind == "usa" else 1.0)
        return (first * 10 ** (k / rate) for k in itertools.count())


def check_consensus(field: AttentionField) -> None:
    """InputError where tokens keep apart for ever."""
    if field.noise > 0:
        raise InputError(
            "`until` consensus with `noise`: noise keeps tokens apart for ever; give a time",
            field=("until", "noise"),
        )
    if all(np.ndim(head.pull) == 0 and float(head.pull) < 0 for head in field.heads):
        raise InputError(
            "`until` consensus with `repulsive` values: tokens that spread do not meet; give a time",
            field=("until", "repulsive"),
        )


def check_times(times: int | str | Float[np.ndarray, "..."], most: int) -> None:
    """InputError for times that do not increase, are too many for memory, or are no times."""
    if isinstance(times, int):
        if times < 2:
            raise InputError(f"`frames` {times}: at least the start and the end", field="frames")
    elif isinstance(times, str):
        if times != "log":
            raise InputError(f"`save_times` {times!r}: times, or log", field="save_times")
    elif times.ndim != 1 or not (
        np.isfinite(times).all() and (times >= 0).all() and (np.diff(times) > 0).all()
    ):
        raise InputError("`save_times`: increasing times >= 0 are needed", field="save_times")
    elif len(times) > most:
        raise InputError(
            f"`save_times`: {len(times)} frames take more than {MEMORY >> 20} MiB; {most} would fit",
            field="save_times",
        )
