"""The results of observations as frozen dataclasses, saved as observe.json and read back equal.

Layer 0 is what enters the first layer. `mass_above` and `clusters_at` have the cosines ".9", ".99" and ".999" as keys.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from spinodal.errors import InputError
from spinodal.observables import Plateau
from spinodal.results import PlayedResult, Result
from spinodal.runs import SAVED_IF_SET


@dataclass(frozen=True, kw_only=True)
class StandardErrors:
    """s / sqrt(N), the standard errors of the means over N inputs with standard deviation s; None for one input."""

    mean_cosine: float | None
    mass_above: dict[str, float | None]
    effective_rank: float | None
    energy: float | None
    clusters: float | None
    clusters_at: dict[str, float | None]
    observables: dict[str, float | None] = field(default_factory=dict, metadata=SAVED_IF_SET)

    def number(self, name: str) -> float | None:
        """The error of an observable's mean, by the observable's name."""
        return number_named(self, name)


@dataclass(frozen=True, kw_only=True)
class LayerNumbers:
    """Mean cosine, energy, rank and clusters of the tokens of one layer, means over inputs.

    `spinodal.watch.pairs` defines them; `mass_above` and `clusters_at` have one for each threshold. `histogram` counts
    cosines of pairs of all inputs, between the `cosine_edges` of the observation; `observables` are those that were
    asked for beside the others.
    """

    index: int
    mean_cosine: float
    mass_above: dict[str, float]
    effective_rank: float
    energy: float
    clusters: float
    clusters_at: dict[str, float]
    standard_error: StandardErrors
    histogram: tuple[int, ...] = field(repr=False)
    observables: dict[str, float | None] = field(default_factory=dict, metadata=SAVED_IF_SET)

    def number(self, name: str) -> float | None:
        """The mean of an observable, by the observable's name."""
        return number_named(self, name)


def number_named(numbers: LayerNumbers | StandardErrors, name: str) -> float | None:
    """A number of a layer by the observable's name: "energy", "above_.9", or one that was asked for."""
    kind, _, threshold = name.partition("_.")
    if threshold and kind in ("above", "clusters"):
        return (numbers.mass_above if kind == "above" else numbers.clusters_at)["." + threshold]
    return numbers.observables[name] if name in numbers.observables else getattr(numbers, name)


@dataclass(frozen=True, kw_only=True)
class Layer(LayerNumbers):
    """A layer's numbers over all valid tokens and over selections, and its time on the theory's curve g(t).

    `theory` is g(index x step) of the curve that fits best (`ClockFit`). `effective_time` is the t with g(t) = the mean
    cosine at the beta of the energy, in units of the time of the flow SA [glpr2023], from layer 0 on; None where the
    cosine is below that of layer 0, which no time of the flow reaches. `without_first` leaves out the first token of
    each input, `with_padding` takes padding in; either is None where no input has it.
    """

    theory: float
    effective_time: float | None
    without_first: LayerNumbers | None = None
    with_padding: LayerNumbers | None = None


@dataclass(frozen=True)
class Difference:
    """Mean over inputs of model - null, its standard error, and whether it differs significantly from 0.

    The test is Student's t at 95%; with a single input, `error` and `beyond_chance` are None.
    """

    mean: float
    error: float | None
    beyond_chance: bool | None


@dataclass(frozen=True)
class NullComparison:
    """The layers of a null, and by layer the differences model - null, {"index": k, name: Difference}."""

    layers: tuple[LayerNumbers, ...]
    difference: tuple[dict[str, int | Difference], ...]

    @property
    def last(self) -> dict[str, Difference]:
        """The differences at the last layer, by the name of the number."""
        return {name: x for name, x in self.difference[-1].items() if isinstance(x, Difference)}


@dataclass(frozen=True)
class TokenShare:
    """A token, and its share, between 0 and 1, of the energy that tokens lose at a layer."""

    text: str
    share: float


@dataclass(frozen=True)
class EnergyFall:
    """A layer at which the energy falls: in which share of inputs, by how much there, and which tokens lose most."""

    layer: int
    share_of_inputs: float
    mean_drop: float
    tokens: tuple[TokenShare, ...]


@dataclass(frozen=True)
class ClockFit:
    """argmin over beta and step of sum_l (g_l - g(l step; beta))^2, g_l the mean cosine of layer l, g [glpr2023]'s.

    `step` is the time of the flow that a layer takes, `residual` the root of the mean square of g_l - g(l step);
    `step_at_beta` and `residual_at_beta` are those of the best step at the beta of the energy.
    """

    beta: float
    step: float
    residual: float
    residual_at_beta: float
    step_at_beta: float


@dataclass(frozen=True)
class AttentionLayer:
    """Effective beta, symmetry, alignment and spectra of one attention layer, means over heads.

    `spinodal.watch.weights` defines them. Where the queries are no linear map of what the layer reads, what
    depends on the weights is None, and `reason` says why. An `interaction` of `spinodal.models` in place of
    softmax is named with its parameters; the effective betas then contain its own beta as a factor.
    """

    layer: int
    effective_beta: float | None
    effective_beta_of_heads: tuple[float | None, ...]
    symmetry: float | None = None
    alignment: float | None = None
    positive_share_QK: float | None = None
    positive_share_V: float | None = None
    spectral_radius_QK: float | None = None
    spectral_radius_V: float | None = None
    reason: str = field(default="", metadata=SAVED_IF_SET)
    interaction: str = field(default="", metadata=SAVED_IF_SET)


@dataclass(frozen=True)
class Effect:
    """Means over inputs at the last layer under one attention, and the loss a token in nats (None without a head)."""

    mean_cosine: float
    mass_above_9: float
    effective_rank: float
    clusters: float
    loss: float | None


@dataclass(frozen=True)
class StackFacts:
    """The observed layers: their name in the model, their number, and whether they share their weights."""

    name: str
    layers: int
    tied: bool


@dataclass(frozen=True, eq=False)
class ShownInput:
    """The first input of an observation, up to 2,048 tokens of it: its words, and how they cluster through the layers.

    `branch` [t n] says on which branch of the merge tree each token is at each layer. `linkage` is the single linkage
    of the last layer, rows (cluster, cluster, 1 - cosine, size) as SciPy has them. `times` and `tokens` are its
    trajectory, which is kept in trajectory.safetensors; None where that is gone.
    """

    words: tuple[str, ...]
    branch: tuple[tuple[int, ...], ...] = field(repr=False)
    linkage: tuple[tuple[float, ...], ...] = field(repr=False)
    times: Float[np.ndarray, " t"] | None = None
    tokens: Float[np.ndarray, "t n d"] | None = field(default=None, repr=False)

    def sphere_coordinates(self) -> tuple[Float[np.ndarray, "t n 3"], float]:
        """Directions of the tokens in their three main axes over all layers, and the share that these keep.

        InputError where the trajectory is not known.
        """
        if self.tokens is None:
            raise InputError(
                "the trajectory of this observation is gone: there is nothing to place on a sphere"
            )
        x = self.tokens.astype(np.float64)
        x = x / np.linalg.norm(x, axis=-1, keepdims=True)
        flat = x.reshape(-1, x.shape[-1])
        axes = np.linalg.svd(flat, full_matrices=False)[2][:3]
        seen = x @ axes.T
        kept = float((seen**2).sum() / (flat**2).sum())
        return np.pad(seen, [(0, 0), (0, 0), (0, 3 - seen.shape[-1])]), kept


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ObservationResult(PlayedResult):
    """The result of observing a model's tokens, over `inputs` sequences of `tokens` tokens in all.

    `beta` is that of the energy and `beta_source` says where it comes from; clusters have cosines of at least
    1 - epsilon; `sampled` is true where pairs are those of a sample. `summary` says in sentences what was found.
    `attention_reason` says why nothing is known of the attention, where that is so, and `warning`, the
    first sentence of the summary, what makes the rest doubtful.
    """

    model: str
    architecture: str
    stack: StackFacts
    view: str
    beta: float
    beta_source: str
    epsilon: float
    inputs: int
    tokens: int
    tokens_of_an_input: int
    sampled: bool
    cosine_edges: tuple[float, ...] = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)
    nulls: dict[str, NullComparison] = field(repr=False)
    violations: tuple[EnergyFall, ...] = field(repr=False)
    clock: ClockFit
    plateaus: tuple[Plateau, ...] = field(repr=False)
    shown: ShownInput = field(repr=False)
    attention: tuple[AttentionLayer, ...] = field(default=(), repr=False)
    summary: tuple[str, ...] = ()
    effect: dict[str, Effect] = field(default_factory=dict)
    attention_reason: str = field(default="", metadata=SAVED_IF_SET)
    warning: str = field(default="", metadata=SAVED_IF_SET)

    @property
    def observables(self) -> tuple[str, ...]:
        """The names of the observables that were asked for beside the others."""
        return tuple(self.layers[0].observables)

    @property
    def layers_of_most_falls(self) -> int:
        """The number of layers at which the energy falls in most inputs."""
        return sum(fall.share_of_inputs > 0.5 for fall in self.violations)


@dataclass(frozen=True, eq=False, repr=False)
class ObservationComparison(Result):
    """Several observations by name, and what the record of each says of its origin (configuration, seed, commit)."""

    observations: dict[str, ObservationResult]
    origins: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
