"""Measurement of a model on inputs, batch by batch: means over inputs are kept, and one input that is shown.

All numbers are functions of trajectories: a model, its nulls and arrays from disk are measured alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage
from torch import Tensor

from spinodal.errors import InputError
from spinodal.observables import (
    Scales,
    cluster_labels,
    measure,
    merge_tree,
    observables_named,
    plateaus,
)
from spinodal.types import Progress, Trajectory
from spinodal.watch.attention import attention_layers
from spinodal.watch.clock import effective_clock
from spinodal.watch.experiment import RANDOM, SHUFFLED, Question
from spinodal.watch.nulls import random_weights, shuffle_tokens
from spinodal.watch.pairs import BINS, NAMES, SAMPLE, PairStatistics, pair_statistics, without_first
from spinodal.watch.record import recording
from spinodal.watch.result import AttentionLayer, ClockFit, Layer, ObservationResult, ShownInput, StackFacts
from spinodal.watch.stacks import first_input, one_stack
from spinodal.watch.subject import Inputs, Subject, refuse_random_stream, warning, words
from spinodal.watch.summary import summary
from spinodal.watch.tally import Null, Tally, Violations

SHOWN = 2048  # tokens of the input that is shown, or as many as have
NUMBERS = 2**26  # in all layers, 256 MB in single precision


class _Tallies:
    """The running means over the inputs: of selections of tokens, of nulls, and of falls of the energy."""

    def __init__(self, nulls: Iterable[str], question: Question):
        names = (*NAMES, *question.observables)
        self.selections = {name: Tally(names) for name in ("whole", "without_first", "with_padding")}
        self.nulls = {name: Null(names) for name in nulls}
        self.violations, self.tokens, self.inputs = Violations(), 0, 0

    def add(
        self, trajectory: Trajectory, sequence: int, text: list[str], question: Question, beta: float
    ) -> PairStatistics:
        valid, tokens = trajectory.valid[sequence], trajectory.tokens[:, sequence]
        selections = {"whole": valid}
        if int(valid.sum()) > 2:
            selections["without_first"] = without_first(valid)
        if not valid.all() and tokens.isfinite().all() and (tokens != 0).any(-1).all():
            selections["with_padding"] = torch.ones_like(valid)
        seen = sequence_statistics(trajectory, sequence, selections, question, beta)
        for name, found in seen.items():
            self.selections[name].add(found)
        found = seen["whole"]
        there = valid.nonzero()[:, 0].tolist()
        self.violations.add(found, [text[there[i]] for i in found.sample.tolist()])
        self.tokens, self.inputs = self.tokens + len(there), self.inputs + 1
        return found


def sequence_statistics(
    trajectory: Trajectory, sequence: int, selections: Mapping[str, Tensor], question: Question, beta: float
) -> dict[str, PairStatistics]:
    """`pair_statistics` of one sequence, with a column more for each observable of the question.

    An InputError names the sequence.
    """
    tokens = trajectory.tokens[:, sequence]
    try:
        found = pair_statistics(tokens, selections, beta, question.epsilon)
    except InputError as error:
        raise InputError(f"sequence {sequence}: {error}") from None
    if not question.observables:
        return found
    asked, scales = observables_named(question.observables), Scales(beta, question.epsilon)
    for name, keep in selections.items():
        alone = Trajectory(trajectory.times, tokens[:, None], keep[None])
        columns = [values[:, 0].double().cpu().numpy() for values in measure(alone, asked, scales).values()]
        numbers = np.concatenate([found[name].numbers, np.stack(columns, axis=1)], axis=1)
        found[name] = found[name]._replace(numbers=numbers)
    return found


def observe_model(
    subject: Subject, batches: Sequence[Inputs], question: Question, *, progress: Progress | None = None
) -> ObservationResult:
    """The result of a model on inputs, beside its nulls; `progress` is called with (inputs done, all inputs).

    InputError for a model without recognisable layers or with random weights in them, an input of one token, and
    activations that are not finite.
    """
    if not batches:
        raise InputError("there is nothing to observe: no inputs")
    stack = one_stack(subject.model, first_input(batches[0]), question.stack)
    refuse_random_stream(subject, first_input(batches[0]), stack)
    decoder = "decoder" in stack.name and "decoder_input_ids" in batches[0]
    attention, reason = attention_layers(subject.model, batches[0], stack)
    beta, source = energy_beta(question, attention)
    made = {RANDOM: random_weights(subject.model, question.seed)} if RANDOM in question.nulls else {}
    strangers = {name: one_stack(model, first_input(batches[0]), stack.name) for name, model in made.items()}
    nulls = [name for name in question.nulls if name != SHUFFLED or shuffled_inputs(subject, batches[0], 0)]
    tallies, shown = _Tallies(nulls, question), None
    total = sum(len(next(iter(inputs.values()))) for inputs in batches)
    for number, inputs in enumerate(batches):
        trajectory = recording(subject.model, inputs, stack, view=question.view)[0]
        others = {
            name: recording(m, inputs, strangers[name], view=question.view)[0] for name, m in made.items()
        }
        if SHUFFLED in nulls:
            other = shuffled_inputs(subject, inputs, question.seed + number)
            assert other is not None
            others[SHUFFLED] = recording(subject.model, other, stack, view=question.view)[0]
        if len(trajectory.times) < 2:
            raise InputError(
                f"{stack.name} has one layer, and view {question.view} one frame of it: no way to follow"
            )
        for i in range(trajectory.tokens.shape[1]):
            text = words(subject, inputs, i, decoder=decoder, n=trajectory.tokens.shape[2])
            own = tallies.add(trajectory, i, text, question, beta)
            for name, null in others.items():
                try:
                    alone = sequence_statistics(null, i, {"whole": null.valid[i]}, question, beta)["whole"]
                except InputError as error:
                    raise InputError(
                        f"the null {name}: {error}; leave it out of `nulls`", field="nulls"
                    ) from None
                tallies.nulls[name].add(own, alone)
            shown = shown or shown_input(trajectory, i, text, question.epsilon)
        if progress:
            progress(tallies.inputs, total)
    assert shown is not None
    facts = Facts(
        subject.name, type(subject.model).__name__, StackFacts(stack.name, stack.calls, stack.tied), question.view,
        beta, source, attention, reason, warning(subject, batches),
    )  # fmt: skip
    return observation_result(facts, tallies, shown, question)


def observe_arrays(
    name: str, trajectory: Trajectory, question: Question, *, progress: Progress | None = None
) -> ObservationResult:
    """The result for tokens from disk; without a model there are no nulls, and beta is 1 unless chosen."""
    if len(trajectory.times) < 2:
        raise InputError(
            f"{name} holds one frame: what layers do needs two frames at least, before and after"
        )
    tallies, shown = _Tallies((), question), None
    beta, source = energy_beta(question, ())
    total = trajectory.tokens.shape[1]
    for i in range(total):
        text = [str(k) for k in range(trajectory.tokens.shape[2])]
        tallies.add(trajectory, i, text, question, beta)
        shown = shown or shown_input(trajectory, i, text, question.epsilon)
        if progress:
            progress(i + 1, total)
    if shown is None:
        raise InputError(f"{name} holds no sequence")
    stack = StackFacts("arrays", len(trajectory.times) - 1, tied=False)
    return observation_result(
        Facts(name, "arrays", stack, "as given", beta, source, ()), tallies, shown, question
    )


def energy_beta(question: Question, attention: Sequence[AttentionLayer]) -> tuple[float, str]:
    """(beta of the energy, a phrase that says where it comes from): chosen, measured on `attention`, or 1."""
    if question.beta is not None:
        return question.beta, "chosen"
    measured = [layer.effective_beta for layer in attention if layer.effective_beta is not None]
    if not measured:
        return 1.0, "one, since there is no attention to measure it on"
    typical = float(np.median(measured))
    if typical <= 0.1:
        return 1.0, f"one, since the median over layers is {typical:.2f}"
    return typical, "median over layers of the slope of logits on cosines"


def shown_input(trajectory: Trajectory, sequence: int, text: list[str], epsilon: float) -> ShownInput:
    """The first SHOWN valid tokens of one sequence, with the branch of the merge tree that each is on."""
    t, _, _, d = trajectory.tokens.shape
    there = trajectory.valid[sequence].nonzero()[: min(SHOWN, max(2, NUMBERS // (t * d))), 0]
    tokens = trajectory.tokens[:, sequence : sequence + 1, there]
    alone = Trajectory(trajectory.times, tokens, torch.ones(1, len(there), dtype=torch.bool))
    labels = cluster_labels(alone, epsilon)[:, 0]
    branch = merge_tree(trajectory.times.double(), labels).branch
    x = tokens[-1, 0].double()
    x = x / x.norm(dim=-1, keepdim=True)
    far = (1 - x @ x.mT)[tuple(torch.triu_indices(len(x), len(x), 1))].clamp(min=0)
    return ShownInput(
        words=tuple(text[i] for i in there.tolist()),
        branch=tuple(map(tuple, branch.tolist())),
        linkage=tuple(map(tuple, linkage(far.numpy(), "single").tolist())),
        times=trajectory.times.numpy(),
        tokens=tokens[:, 0].numpy(),
    )


class Facts(NamedTuple):
    """The fields of `ObservationResult` that are known before the tokens are measured."""

    model: str
    architecture: str
    stack: StackFacts
    view: str
    beta: float
    beta_source: str
    attention: tuple[AttentionLayer, ...]
    attention_reason: str = ""
    warning: str = ""


def observation_result(
    facts: Facts, tallies: _Tallies, shown: ShownInput, question: Question
) -> ObservationResult:
    """The result made of the means over all inputs, with its summary."""
    n = max(2, round(tallies.tokens / tallies.inputs))
    layers, clock = on_the_clock(tallies, n, facts.beta)
    assert shown.times is not None
    counts = torch.tensor([len(set(row)) for row in shown.branch])
    groups = plateaus(torch.from_numpy(shown.times).double(), counts)
    found = ObservationResult(
        **facts._asdict(),
        epsilon=question.epsilon,
        inputs=tallies.inputs,
        tokens=tallies.tokens,
        tokens_of_an_input=n,
        sampled=bool(tallies.tokens / tallies.inputs > SAMPLE),
        cosine_edges=tuple(np.linspace(-1, 1, BINS + 1).tolist()),
        layers=layers,
        nulls={name: null.comparison() for name, null in tallies.nulls.items()},
        violations=tuple(tallies.violations.falls()),
        clock=clock,
        plateaus=tuple(p for p in groups if p.end - p.start >= 2),
        shown=shown,
    )
    return replace(found, summary=tuple(summary(found)))


def on_the_clock(tallies: _Tallies, n: int, beta: float) -> tuple[tuple[Layer, ...], ClockFit]:
    """(layers, each with its time on the theory's curve for n tokens; the fit of that curve)."""
    numbers = tallies.selections["whole"].layers()
    fields: list[dict[str, Any]] = [dict(vars(layer)) for layer in numbers]
    for name, tally in tallies.selections.items():
        if name != "whole" and tally.moments.n:
            for values, selected in zip(fields, tally.layers(), strict=True):
                values[name] = selected
    cosines = np.array([layer.mean_cosine for layer in numbers])
    fitted, given = effective_clock(cosines, n), effective_clock(cosines, n, beta=beta)
    layers = tuple(
        Layer(
            **values,
            theory=float(fitted.curve[k]),
            effective_time=float(given.times[k]) if np.isfinite(given.times[k]) else None,
        )
        for k, values in enumerate(fields)
    )
    return layers, ClockFit(fitted.beta, fitted.step, fitted.residual, given.residual, given.step)


def shuffled_inputs(subject: Subject, inputs: Inputs, seed: int) -> dict | None:
    """The inputs with their tokens in another order; None where nothing is known to be in an order."""
    return shuffle_tokens(inputs, seed, patch=getattr(subject.config, "patch_size", None))
