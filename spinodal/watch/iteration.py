r"""The iteration of a model's layers as a value, and its result: groups, steps, returns, exponents and fixed points.

    x_{k+1} = x_k + h (f(x_k) - x_k),   k = 0 .. depth          (`spinodal.watch.layer_map`)

A weight-shared model has one f. Of a model whose layers differ each layer is iterated by itself, from the tokens that
it receives, and the layers one after the other are a flow whose law changes with time.

    from spinodal.watch import Iteration, iterate, source_named
    iterate(Iteration(source_named("rxnmapper", text="reactions.txt"), depth=2000, without=("mlp",))).summary

Numbers are kept at chosen layers, so that neither memory nor the result grows with depth.
"""

from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np
import torch
from jaxtyping import Float, Int

from spinodal.errors import InputError, require_types
from spinodal.results import Result
from spinodal.runs import SAVED_IF_SET, UNSAVED
from spinodal.types import Trajectory
from spinodal.watch.ablations import check_parts
from spinodal.watch.experiment import NULLS, RANDOM, TrainedModel
from spinodal.watch.fixed_points import FixedPoint
from spinodal.watch.lyapunov import Exponent
from spinodal.watch.result import StackFacts
from spinodal.watch.returns import Return

MODEL = "model"  # the course of the layers as they are
FEW = 100  # layers up to which an observation keeps every one; deeper ones are iterated
NUMBERS = ("groups", "mean_cosine", "effective_rank", "residual")


@dataclass(frozen=True, eq=False)
class Iteration:
    """Layers iterated on, as a value: whose, how often, by which step, and what is compared with them.

    InputError for what does not fit, at construction.
    """

    source: TrainedModel  # the model, and what it reads; its `depth` is None
    depth: int  # how often a layer is applied
    step: float = 1.0  # h of x + h (f(x) - x); 1 is the model's own iteration
    without: tuple[str, ...] = ()  # ablations beside it: "attention", "mlp"
    nulls: tuple[str, ...] = (RANDOM,)  # of NULLS; random weights are iterated without the same parts too
    epsilon: float = 0.01  # groups have cosines of at least 1 - epsilon
    stack: str | None = None  # a part of the layers' name; the longest stack if None
    searched: int = 4  # texts from whose ends a fixed point is looked for
    seed: int = 0  # of the nulls and of the tangents

    def __post_init__(self) -> None:
        require_types(self, source=TrainedModel, depth=Integral, step=Real, without=tuple, nulls=tuple)
        require_types(self, epsilon=Real, stack=(str, type(None)), searched=Integral, seed=Integral)
        if self.source.depth is not None:
            raise InputError("`source` with a `depth`: an iteration has its own", field=("source", "depth"))
        if self.depth < 1:
            raise InputError(f"`depth` {self.depth}: must be at least 1", field="depth")
        if not 0 < self.step < np.inf:
            raise InputError(f"`step` {self.step}: must be positive and finite", field="step")
        if not 0 < self.epsilon < 2:
            raise InputError(f"`epsilon` {self.epsilon}: must be between 0 and 2", field="epsilon")
        if self.searched < 0:
            raise InputError(f"`searched` {self.searched}: a number of texts, 0 or more", field="searched")
        if unknown := sorted(set(self.nulls) - set(NULLS)):
            raise InputError(f"`nulls` {', '.join(unknown)}: the nulls are {', '.join(NULLS)}", field="nulls")
        check_parts(self.without)


@dataclass(frozen=True, eq=False)
class Course:
    """What became of the tokens of every text b at the layers r that were measured, and at the end.

    `residual` is |x_{k+1} - x_k| / |x_k| over the tokens of a text. From the layer `rested` on no text moved, by more
    than rounding; None where one did to the end.
    """

    layers: Int[np.ndarray, " r"]
    groups: Float[np.ndarray, "b r"]
    mean_cosine: Float[np.ndarray, "b r"]
    effective_rank: Float[np.ndarray, "b r"]
    residual: Float[np.ndarray, "b r"]
    rested: int | None
    exponent: Exponent
    returns: tuple[Return, ...]
    fixed_points: tuple[FixedPoint, ...] = ()

    def mean(self, name: str) -> Float[np.ndarray, " r"]:
        """The mean over texts of one of NUMBERS at the measured layers."""
        return getattr(self, name).mean(0)

    def error(self, name: str) -> Float[np.ndarray, " r"]:
        """The standard error of that mean; NaN of one text."""
        values = getattr(self, name)
        if len(values) < 2:
            return np.full(values.shape[1], np.nan)
        return values.std(0, ddof=1) / np.sqrt(len(values))

    def at(self, layer: int) -> int:
        """The place of a layer among those that were measured; InputError where it was not."""
        if layer not in self.layers:
            raise InputError(f"layer {layer} was not measured; these were: {self.layers.tolist()}")
        return int(np.searchsorted(self.layers, layer))

    @property
    def periods(self) -> tuple[int, ...]:
        """The periods of the nearest returns of the texts that have one, in order."""
        return tuple(sorted(r.period for r in self.returns if r.period is not None))


@dataclass(frozen=True)
class FlowDistance:
    """|x_k - x(t)| / |x(t)| by text: how far layers are from the flow x' = f(x) - x after the same time t = k h.

    `of_texts` are at the time `time`; `error` bounds what the integration of the flow itself contributes.
    """

    time: float
    of_texts: tuple[float, ...]
    error: float


@dataclass(frozen=True, eq=False, repr=False)
class IterationResult(Result):
    """The result of an iteration.

    `courses` are by name: "model", "without mlp", the nulls, and "random-weights without mlp"; of a model whose layers
    differ "layer 1", "layer 1 without mlp" and so on. `sequence` is the exponent of the layers one after the other,
    each once, and `distance` that from the flow, None for layers that differ. `kept_tokens` are those of the first text
    at `kept_layers`, whose texts are `words`.
    """

    model: str
    architecture: str
    stack: StackFacts
    texts: int
    tokens: int
    courses: dict[str, Course]
    sequence: Exponent
    distance: FlowDistance | None
    words: tuple[str, ...] = field(repr=False)
    kept_layers: Int[np.ndarray, " k"]
    kept_tokens: Float[np.ndarray, "k n d"]
    summary: tuple[str, ...] = ()
    warning: str = field(default="", metadata=SAVED_IF_SET)
    experiment: Iteration | None = field(default=None, repr=False, metadata=UNSAVED)

    def __str__(self) -> str:
        return self.summary[0] if self.summary else f"{self.model}, {self.texts} texts"

    @property
    def trajectory(self) -> Trajectory:
        """The tokens of the first text at the layers that are kept."""
        tokens = torch.from_numpy(self.kept_tokens)[:, None]
        return Trajectory(
            torch.from_numpy(self.kept_layers.astype(float)),
            tokens,
            torch.ones(1, tokens.shape[2], dtype=torch.bool),
        )


def measured_layers(depth: int, also: tuple[int, ...] = ()) -> Int[np.ndarray, " r"]:
    """The layers from 0 to `depth` at which numbers are kept: the first 32, then 24 to a decade, and `also`.

    Round numbers (100, 200, 500 and their tenfolds) are among them, and there are fewer than 200 for any depth to 10^6.
    """
    decades = range(1, len(str(depth)) + 1)
    round_ = [k * 10**p for p in decades for k in (1, 2, 5)]
    spread = np.rint(np.geomspace(32, max(depth, 33), 1 + int(24 * np.log10(max(depth, 33) / 32)))).astype(
        int
    )
    every = {*range(33), *spread.tolist(), *round_, *also, depth}
    return np.array(sorted(k for k in every if 0 <= k <= depth))


def kept_frames(depth: int) -> tuple[int, ...]:
    """The layers whose tokens are kept: 0, the round numbers 1, 2, 5, 10, ... and the last."""
    round_ = {k * 10**p for p in range(len(str(depth)) + 1) for k in (1, 2, 5)}
    return tuple(sorted({0, depth} | {k for k in round_ if k < depth}))
