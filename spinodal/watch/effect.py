"""The effect of an interaction in place of attention on clusters and on the model's own loss.

The loss is the one that the model was trained with, as far as its class tells: 15% of the tokens of each text, masked,
for a masked model, the next token for a decoder. An encoder-decoder is scored on the text that its decoder reads, given
what its encoder reads. A model without a head has none.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spinodal.models import Interaction, interaction, replaced_attention
from spinodal.watch.experiment import Question
from spinodal.watch.measure import sequence_statistics
from spinodal.watch.pairs import NAMES
from spinodal.watch.record import recording
from spinodal.watch.result import Effect
from spinodal.watch.stacks import one_stack
from spinodal.watch.subject import Inputs, Subject, has_head
from spinodal.watch.tally import Moments

MASKED = 0.15
IGNORED = -100
OWN = "its own attention"
Variant = Callable[[], AbstractContextManager[Any]]


def interactions(names: Sequence[str]) -> list[Interaction]:
    """The interactions of these names; InputError for one that is not known."""
    return [interaction(name) for name in names]


def check_interactions(subject: Subject, batches: Sequence[Inputs], plans: Sequence[Interaction]) -> None:
    """InputError for an interaction that the model ignores or cannot take, found on the first batch."""
    model: Any = subject.model
    for plan in plans:
        with replaced_attention(model, plan, batches[0]):
            pass


def effects_of(
    subject: Subject, batches: Sequence[Inputs], question: Question, plans: Sequence[Interaction]
) -> dict[str, Effect]:
    """{name: Effect} of the model's own attention and of each interaction in its place; {} for no `plans`."""
    if not plans:
        return {}
    model: Any = subject.model
    variants: dict[str, Variant] = {OWN: contextlib.nullcontext}
    for plan in plans:
        variants[repr(plan)] = functools.partial(replaced_attention, model, plan, batches[0])
    return effects(subject, batches, question, variants)


def effects(
    subject: Subject, batches: Sequence[Inputs], question: Question, variants: Mapping[str, Variant]
) -> dict[str, Effect]:
    """{variant: Effect}: means over inputs of the last layer's numbers, and the loss, in each variant.

    A variant is a function that returns a context manager in which the model is changed, such as
    `models.replaced_attention`. InputError for a model without recognisable layers, or from a variant.
    """
    stack = one_stack(subject.model, {k: v[:1] for k, v in batches[0].items()}, question.stack)
    found = {}
    for name, variant in variants.items():
        last, losses = Moments(), Moments()
        with variant():
            for number, inputs in enumerate(batches):
                trajectory = recording(subject.model, inputs, stack, view=question.view)[0]
                end = trajectory._replace(times=trajectory.times[-1:], tokens=trajectory.tokens[-1:])
                for i, valid in enumerate(end.valid):
                    last.add(
                        sequence_statistics(end, i, {"whole": valid}, question, question.beta or 1.0)[
                            "whole"
                        ].numbers[0]
                    )
                if (value := loss(subject, inputs, question.seed + number)) is not None:
                    losses.add(np.array(value))
        shown = [
            float(last.mean[NAMES.index(k)])
            for k in ("mean_cosine", "above_.9", "effective_rank", "clusters")
        ]
        found[name] = Effect(*shown, loss=float(losses.mean) if losses.n else None)
    return found


@torch.no_grad()
def loss(subject: Subject, inputs: Inputs, seed: int) -> float | None:
    """-(1/N) sum log p(token) of a language model over N tokens of these inputs, in nats a token.

    None for a model of another task, or whose head was not trained. A masked language model predicts tokens that are
    drawn from `seed`, a causal one or a decoder every next token.
    """
    kind = type(subject.model).__name__
    if has_head(subject) and subject.fresh:
        return None  # a head with random weights has no loss of the model's own
    if kind.endswith("ForMaskedLM"):
        given, labels = _mask_tokens(subject, inputs, seed)
    elif "decoder_input_ids" in inputs:
        given, labels = inputs, _labels(inputs["decoder_input_ids"], inputs.get("decoder_attention_mask"))
    elif kind.endswith(("ForCausalLM", "LMHeadModel")):
        given, labels = inputs, _labels(inputs["input_ids"], inputs.get("attention_mask"))
    else:
        return None
    logits = getattr(subject.model(**given), "logits", None)
    if logits is None:
        return None
    if not kind.endswith("ForMaskedLM"):
        logits, labels = logits[:, :-1], labels[:, 1:]
    return float(
        torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED
        )
    )


def _labels(ids: Tensor, mask: Tensor | None) -> Tensor:
    return ids if mask is None else ids.masked_fill(~mask.bool(), IGNORED)


def _mask_tokens(subject: Subject, inputs: Inputs, seed: int) -> tuple[Inputs, Tensor]:
    """(masked inputs, labels): at least one token of each text is masked, and no special token."""
    ids, generator = inputs["input_ids"], torch.Generator().manual_seed(seed)
    fair = inputs.get("attention_mask", torch.ones_like(ids)).bool().clone()
    special = torch.tensor(subject.tokenizer.all_special_ids)
    fair &= ~torch.isin(ids, special)
    chance = torch.rand(ids.shape, generator=generator).masked_fill(~fair, 2.0)
    chosen = (chance < MASKED) | (chance == chance.amin(-1, keepdim=True)) & fair
    return (
        inputs | {"input_ids": ids.masked_fill(chosen, subject.tokenizer.mask_token_id)},
        ids.masked_fill(~chosen, IGNORED),
    )
