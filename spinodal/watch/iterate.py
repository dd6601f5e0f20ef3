"""`iterate`: layers applied over and over, streamed; what is measured on the way does not grow with depth."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spinodal.types import Progress
from spinodal.watch.ablations import without
from spinodal.watch.experiment import RANDOM, SHUFFLED, Texts
from spinodal.watch.fixed_points import FixedPoint, fixed_point
from spinodal.watch.iteration import (
    MODEL,
    NUMBERS,
    Course,
    FlowDistance,
    Iteration,
    IterationResult,
    kept_frames,
    measured_layers,
)
from spinodal.watch.iteration_summary import iteration_summary
from spinodal.watch.layer_map import LayerMaps, layer_maps
from spinodal.watch.lyapunov import Exponent, exponent_of, sequence_exponent
from spinodal.watch.measure import shuffled_inputs
from spinodal.watch.nulls import random_weights
from spinodal.watch.resolution import STEP, flow_states, relative_distance
from spinodal.watch.result import StackFacts
from spinodal.watch.sources import batches_of, open_subject, reading_part
from spinodal.watch.stacks import Stack, first_input, one_stack
from spinodal.watch.streaming import Batch, follow, group_counter
from spinodal.watch.subject import Inputs, Subject, refuse_random_stream, text_batches, warning, words

BATCH = 8  # texts in one tensor, of like lengths, so that little of it is padding


def iterate(experiment: Iteration, *, progress: Progress | None = None) -> IterationResult:
    """x_{k+1} = x_k + h (f(x_k) - x_k), f the layers of a trained model, for `depth` layers and every text.

    `progress` is called with (layers done, layers in all). InputError for a model that cannot be opened, inputs that it
    does not take, layers without the part that is to be left out, and tokens that are not finite.
    """
    source = experiment.source
    subject = reading_part(open_subject(source.name), source)
    if isinstance(source.inputs, Texts):
        batches = text_batches(subject, source.inputs.lines, batch=BATCH, truncate=source.inputs.truncate)
    else:
        batches = batches_of(subject, source)
    return iterate_model(subject, batches, experiment, progress=progress)


def iterate_model(
    subject: Subject, batches: list[Inputs], experiment: Iteration, *, progress: Progress | None = None
) -> IterationResult:
    """The iteration of a model that is open, on inputs as it takes them; the `source` of the experiment is not read."""
    first = first_input(batches[0])
    stack = one_stack(subject.model, first, experiment.stack)
    refuse_random_stream(subject, first, stack)
    shared = len({id(m) for m in stack.modules}) == 1
    variants = list(_variants(subject, stack, batches, experiment))
    layers = 1 if shared else stack.calls
    total = len(variants) * layers * (experiment.depth + 1) * len(batches)
    done = 0

    def count(layers: int = 1) -> None:
        nonlocal done
        done += layers
        if progress:
            progress(min(done, total), total)

    courses: dict[str, Course] = {}
    kept: list[list[Float[Tensor, "n d"]]] = []
    for variant in variants:
        for k in range(layers):
            name = variant.name if shared else " ".join(filter(None, (f"layer {k + 1}", variant.suffix)))
            courses[name], frames = _course(variant, k, experiment, stack.calls, count)
            kept = kept or [frames]
    sequence, distance = _as_sequence(variants[0], experiment, shared, stack.calls)
    text = words(
        subject, batches[0], 0, decoder="decoder" in stack.name, n=variants[0].passes[0].valid.shape[1]
    )
    there = variants[0].passes[0].valid[0].tolist()
    found = IterationResult(
        model=subject.name,
        architecture=type(subject.model).__name__,
        stack=StackFacts(stack.name, stack.calls, stack.tied),
        texts=sum(len(one.valid) for one in variants[0].passes),
        tokens=int(sum(one.valid.sum() for one in variants[0].passes)),
        courses=courses,
        sequence=sequence,
        distance=distance,
        words=tuple(word for word, is_there in zip(text, there, strict=True) if is_there),
        kept_layers=np.array(kept_frames(experiment.depth)),
        kept_tokens=torch.stack(kept[0]).numpy(),
        warning=warning(subject, batches),
        experiment=experiment,
    )
    return replace(found, summary=tuple(iteration_summary(found, experiment)))


@dataclass(frozen=True, eq=False)
class _Variant:
    """A model, whole or without a part, and its layers on every batch of inputs."""

    model: nn.Module
    stack: Stack
    null: str
    part: str
    batches: list[Inputs]
    passes: list[LayerMaps]

    @property
    def suffix(self) -> str:
        return " ".join(filter(None, (self.null, f"without {self.part}" * bool(self.part))))

    @property
    def name(self) -> str:
        return self.suffix or MODEL

    def ablated(self) -> AbstractContextManager[None]:
        if not self.part:
            return contextlib.nullcontext()
        return without(self.part, self.passes[0].maps, self.passes[0].received)


def _variants(
    subject: Subject, stack: Stack, batches: list[Inputs], experiment: Iteration
) -> Iterator[_Variant]:
    """The model, its ablations, the nulls, and the ablations of random weights."""
    shuffled = [shuffled_inputs(subject, inputs, experiment.seed + i) for i, inputs in enumerate(batches)]
    for null in ("", *experiment.nulls):
        model, read = subject.model, batches
        if null == RANDOM:
            model = random_weights(subject.model, experiment.seed)
        elif null == SHUFFLED:
            if any(inputs is None for inputs in shuffled):
                continue
            read = [inputs for inputs in shuffled if inputs is not None]
        own = stack if model is subject.model else one_stack(model, first_input(batches[0]), stack.name)
        passes = [layer_maps(model, inputs, own) for inputs in read]
        for part in ("", *(() if null == SHUFFLED else experiment.without)):
            yield _Variant(model, own, null, part, read, passes)


def _course(
    variant: _Variant, k: int, experiment: Iteration, calls: int, count: Callable[[int], None]
) -> tuple[Course, list[Float[Tensor, "n d"]]]:
    """The course of layer k of a variant over all texts, and the kept tokens of the first text."""
    rows = measured_layers(experiment.depth, (calls,))
    parts, fixed = list[Batch](), list[FixedPoint]()
    with variant.ablated():
        for number, one in enumerate(variant.passes):
            part = follow(one.maps[k], one.received[k], one.valid, experiment, rows, count)
            parts.append(part)
            if not variant.null:
                fixed += _fixed_points(variant, number, k, part.end, experiment, len(fixed))
    numbers = np.concatenate([part.numbers for part in parts])
    growths = [part.growths for part in parts]
    shortest = min(map(len, growths))
    rested = [part.rested for part in parts]
    course = Course(
        layers=rows,
        **{name: numbers[..., i] for i, name in enumerate(NUMBERS)},
        rested=None if None in rested else max(r for r in rested if r is not None),
        exponent=exponent_of(np.concatenate([g[-shortest:] for g in growths], axis=1)),
        returns=tuple(r for part in parts for r in part.returns),
        fixed_points=tuple(fixed),
    )
    return course, parts[0].frames


def _fixed_points(
    variant: _Variant, number: int, k: int, end: Float[Tensor, "b n d"], experiment: Iteration, found: int
) -> list[FixedPoint]:
    """What Newton's method finds from the ends of a batch's texts, of those that are still to be searched."""
    valid, groups = variant.passes[number].valid, group_counter(experiment.epsilon)
    points = []
    for i in range(min(len(valid), experiment.searched - found)):
        inputs = {
            name: x[i : i + 1] if isinstance(x, Tensor) and x.ndim else x
            for name, x in variant.batches[number].items()
        }
        alone = layer_maps(variant.model, inputs, variant.stack).maps[k]
        text, h = found + i, experiment.step
        points.append(fixed_point(alone, end[i : i + 1], valid[i], h, text=text, groups=groups))
    return points


@torch.no_grad()
def _as_sequence(
    variant: _Variant, experiment: Iteration, shared: bool, calls: int
) -> tuple[Exponent, FlowDistance | None]:
    """The exponent of the layers one after the other and, of shared ones, their distance from the flow."""
    growths, far, errors = [], [], []
    time = min(float(calls), experiment.depth * experiment.step)
    for one in variant.passes:
        x, valid = one.received[0], one.valid
        growths.append(sequence_exponent(one.maps, x, valid, seed=experiment.seed))
        if shared:
            layer, y = one.maps[0], x
            for _ in range(round(time / experiment.step)):
                y = layer.step(y, experiment.step)
            coarse, fine = (flow_states(layer, x, time, step=step) for step in (STEP, STEP / 2))
            far += relative_distance(y, fine, valid).tolist()
            errors += relative_distance(coarse, fine, valid).tolist()
    exponent = exponent_of(np.concatenate(growths, axis=1))
    return exponent, FlowDistance(time, tuple(far), max(errors)) if shared else None
