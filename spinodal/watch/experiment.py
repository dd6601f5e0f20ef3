"""An observation as a value: the source of the tokens, and what is measured of them.

    TrainedModel(name, Texts(lines), depth)    a model that runs on texts, on Sound(samples) or an Image(pixels)
    Arrays(name, times, tokens, valid)                           tokens of a model that ran elsewhere

    from spinodal.watch import Observation, observe, source_named
    observe(Observation(source_named("minilm", text="The cat sat on the mat."))).summary

Values and results go to JSON and arrays and come back equal (`spinodal.runs`).
"""

from dataclasses import dataclass, field, replace
from numbers import Integral, Real

import numpy as np
from jaxtyping import Bool, Float, UInt8

from spinodal import watch
from spinodal.errors import InputError, require_types
from spinodal.runs import SAVED_IF_SET, register
from spinodal.types import Progress

RANDOM, SHUFFLED = "random-weights", "shuffled-tokens"
NULLS = (RANDOM, SHUFFLED)


@dataclass(frozen=True)
class Question:
    """What is measured, and with which parameters. Clusters have cosines of at least 1 - epsilon.

    `beta` is the inverse temperature of the energy, measured on the first batch if None. `view` is one of
    VIEWS (`spinodal.watch.record`): the stream between layers, what attention reads after its norm, or what
    attention or the MLP add. `stack` is a part of the layers' name, such as decoder: the longest stack if
    None. `seed` is that of the nulls. `observables` are measured beside the numbers of `watch.pairs`, which
    are measured always. InputError for a view, a null or an observable that does not exist, a beta that is
    not positive and finite, and an epsilon outside (0, 2).
    """

    view: str = "residual"
    stack: str | None = None
    beta: float | None = None
    epsilon: float = 0.1
    nulls: tuple[str, ...] = NULLS
    seed: int = 0
    observables: tuple[str, ...] = field(default=(), metadata=SAVED_IF_SET)

    def __post_init__(self):
        from spinodal.observables import observables_named
        from spinodal.watch.pairs import NAMES
        from spinodal.watch.record import VIEWS

        require_types(self, view=str, stack=(str, type(None)), beta=(Real, type(None)), epsilon=Real)
        require_types(self, nulls=tuple, seed=Integral, observables=tuple)
        if self.view not in VIEWS:
            raise InputError(f"`view` {self.view!r}: one of {', '.join(VIEWS)}", field="view")
        if self.beta is not None and not 0 < self.beta < np.inf:
            raise InputError(f"`beta` {self.beta}: must be positive and finite", field="beta")
        if not 0 < self.epsilon < 2:
            raise InputError(f"`epsilon` {self.epsilon}: must be between 0 and 2", field="epsilon")
        if unknown := set(self.nulls) - set(NULLS):
            told = ", ".join(sorted(unknown))
            raise InputError(f"`nulls` {told}: the nulls are {', '.join(NULLS)}", field="nulls")
        for name in observables_named(self.observables):
            if name in NAMES:
                raise InputError(
                    f"`observables` {name}: this is measured always; leave it out", field="observables"
                )


@register("texts")
@dataclass(frozen=True)
class Texts:
    """Texts, each a sequence of its own; `truncate` cuts those that are too long for the model."""

    lines: tuple[str, ...] = field(repr=False)  # a text each
    truncate: bool = False


@register("sound")
@dataclass(frozen=True, eq=False)
class Sound:
    """One recording: 16,000 numbers a second in [-1, 1], one channel."""

    samples: Float[np.ndarray, " t"] = field(repr=False)  # the numbers


@register("image")
@dataclass(frozen=True, eq=False)
class Image:
    """One picture: red, green and blue of its pixels, 0 to 255; the model's own processor resizes it."""

    pixels: UInt8[np.ndarray, "y x 3"] = field(repr=False)


@register("trained-model")
@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A name of `data.PINNED_MODELS`, a folder of a run or of `save_pretrained`, or a hub's name, and what it reads.

    `depth` iterates tied layers that often; None is as trained.
    """

    name: str
    inputs: Texts | Sound | Image  # what it reads
    depth: int | None = None

    def __post_init__(self):
        require_types(self, name=str, inputs=(Texts, Sound, Image), depth=(Integral, type(None)))
        if self.depth is not None and self.depth < 1:
            raise InputError(f"`depth` {self.depth}: must be at least 1", field="depth")


@register("token-arrays")
@dataclass(frozen=True, eq=False)
class Arrays:
    """Tokens [t b n d] by time or layer, recorded elsewhere, to be observed; `valid` [b n] is False on padding."""

    name: str  # where they come from
    times: Float[np.ndarray, " t"] = field(repr=False)  # or the numbers of the layers
    tokens: Float[np.ndarray, "t b n d"] = field(repr=False)  # at each of these
    valid: Bool[np.ndarray, "b n"] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Observation:
    """Tokens, a question, and interactions of `spinodal.models` to try in place of the model's own attention.

    `effect` names them with their parameters, ("spinodal_beta:2", "spinodal_usa").
    """

    source: TrainedModel | Arrays  # where the tokens come from
    question: Question = field(default_factory=Question)  # what is asked of them
    effect: tuple[str, ...] = ()

    def __post_init__(self):
        require_types(self, source=(TrainedModel, Arrays), question=Question, effect=tuple)
        if isinstance(self.source, Arrays):
            self._check_arrays(self.source.name)
        if len(set(self.effect)) < len(self.effect):
            raise InputError(f"`effect` {', '.join(self.effect)}: one of them stands twice", field="effect")

    def _check_arrays(self, name: str) -> None:
        """InputError for an effect, a stack or a view asked of arrays, which are one view without a model."""
        if self.effect:
            raise InputError(f"{name} holds arrays: `effect` is for models that run", field="effect")
        if self.question.stack is not None:
            raise InputError(f"{name} holds arrays: `stack` is for models that run", field="stack")
        if self.question.view != "residual":
            raise InputError(
                f"`view` {self.question.view}: {name} holds arrays, which have one view, as given: leave `view` out",
                field="view",
            )


def observe(experiment: Observation, *, progress: Progress | None = None) -> "watch.ObservationResult":
    """The result of an observation: the tokens' numbers by layer, those of the nulls, and effects.

    `progress` is called with (inputs done, inputs in all). InputError for a model that cannot be opened, inputs
    that it does not take, and interactions that it ignores, all before the first input.

    >>> import numpy as np
    >>> from spinodal import watch
    >>> tokens = np.random.default_rng(0).standard_normal((4, 2, 6, 3))
    >>> arrays = watch.Arrays("noise", np.arange(4.0), tokens, np.ones((2, 6), bool))
    >>> observed = watch.observe(watch.Observation(arrays, watch.Question(nulls=())))
    >>> len(observed.layers)
    4
    """
    from spinodal.watch import effect, measure, sources

    source, question = experiment.source, experiment.question
    if isinstance(source, Arrays):
        return measure.observe_arrays(source.name, sources.trajectory_of(source), question, progress=progress)
    interactions = effect.interactions(experiment.effect)
    subject = sources.reading_part(sources.open_subject(source.name, depth=source.depth), source)
    batches = sources.batches_of(subject, source)
    effect.check_interactions(subject, batches, interactions)
    found = measure.observe_model(subject, batches, question, progress=progress)
    return replace(found, effect=effect.effects_of(subject, batches, question, interactions))
