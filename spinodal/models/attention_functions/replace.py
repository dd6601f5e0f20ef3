"""Replacing a model's attention by an interaction, by name or for as long as a context lasts.

`from_pretrained(..., attn_implementation="spinodal_beta:2")` and `model.set_attn_implementation` take an interaction by
its name, after `import spinodal.models`; a saved configuration keeps it, and the model comes back with it.
`replaced_attention` takes any interaction, counts calls, and refuses a model that calls no attention
function, or calls it in some layers alone. Masks are registered with the interactions: without that
transformers drops them silently, the causal one too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import eager_mask

from spinodal.errors import InputError
from spinodal.models.attention_functions.couplings import check_call, check_own, couplings
from spinodal.models.attention_functions.interactions import (
    INTERACTIONS,
    Interaction,
    interaction,
    interaction_text,
)
from spinodal.models.attention_functions.own_code import Calls, own_code


@dataclass(frozen=True)
class AttentionFunction:
    """(output [b n h k], weights [b h n m]) of an interaction, called by transformers; counts calls."""

    interaction: Interaction
    calls: Calls

    def __call__(
        self,
        module: nn.Module,
        query: Float[Tensor, "b h n c"],
        key: Float[Tensor, "b g m c"],
        value: Float[Tensor, "b g m k"],
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        **kwargs,  # the library's: what changes attention is read or refused, windows are in the mask already
    ) -> tuple[Tensor, Tensor]:
        what = self.interaction
        self.calls.count += 1
        check_call(module, what.name, kwargs)
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        found = couplings(module, query, key, attention_mask, scaling, kwargs)
        if getattr(what, "own_values", False):
            check_own(module, what.name, found)
        w = what.weights(found.e, found.most, found.allowed, found.bias)
        if found.blind is not None:
            w = w.masked_fill(found.blind, 0.0)
        w = functional.dropout(w.to(value.dtype), dropout, training=module.training)
        return what.output(w, value).transpose(1, 2).contiguous(), w


def register_interaction(what: Interaction, *, name: str | None = None) -> Calls:
    """Registers an interaction with transformers, with masks, by its name or another; returns its counter."""
    calls = Calls()
    AttentionInterface.register(name or what.name, AttentionFunction(what, calls))
    AttentionMaskInterface.register(name or what.name, eager_mask)
    return calls


for make in INTERACTIONS.values():
    register_interaction(make())


def _keep_names() -> None:
    """Patches transformers to accept names with parameters, and to save the interaction in configurations.

    transformers does not save `attn_implementation`, but reads it where it stands in a file.
    """
    write, find = PreTrainedConfig.to_dict, PreTrainedModel.get_correct_attn_implementation
    choose = PreTrainedModel.set_attn_implementation

    def to_dict(self: PreTrainedConfig) -> dict[str, Any]:
        kept = _kept_names(self)
        return write(self) | ({} if kept is None else {"attn_implementation": kept})

    def get_correct_attn_implementation(
        self: PreTrainedModel, requested_attention: str | None, is_init_check: bool = False
    ) -> str:
        if is_name(requested_attention) and requested_attention not in AttentionInterface():
            register_interaction(interaction(str(requested_attention)), name=requested_attention)
        return find(self, requested_attention, is_init_check)

    def set_attn_implementation(
        self: PreTrainedModel, attn_implementation: str | dict, *args: Any, **kwargs: Any
    ):
        choose(self, attn_implementation, *args, **kwargs)
        for part in self.modules():
            if isinstance(part, PreTrainedModel):
                _tell_parts(part)

    PreTrainedConfig.to_dict = to_dict
    PreTrainedModel.get_correct_attn_implementation = get_correct_attn_implementation
    PreTrainedModel.set_attn_implementation = set_attn_implementation


def _tell_parts(model: PreTrainedModel) -> None:
    """Sets or removes a model's interaction in the copies of its configuration that its parts hold.

    transformers' `EncoderDecoderModel` gives its two models another configuration than their layers hold.
    """
    own = model.config
    for part in model.modules():
        copy = None if isinstance(part, PreTrainedModel) else getattr(part, "config", None)
        if copy is None or copy is own or type(copy) is not type(own):
            continue
        if is_name(own._attn_implementation) or is_name(copy._attn_implementation):
            copy._attn_implementation_internal = own._attn_implementation


def _kept_names(config: PreTrainedConfig) -> str | dict[str, Any] | None:
    """The name of a configuration's interaction or None; where parts differ {part: name}, "" for itself."""
    own = config._attn_implementation if is_name(config._attn_implementation) else None
    parts = {key: getattr(config, key, None) for key in config.sub_configs}
    kept = {key: _kept_names(part) for key, part in parts.items() if isinstance(part, PreTrainedConfig)}
    if all(name == own for name in kept.values()):
        return own
    return kept if own is None else {"": own, **kept}


def is_name(text: str | None) -> bool:
    """Whether a text names an interaction, with parameters or without."""
    return text is not None and text.split(":")[0] in INTERACTIONS


_keep_names()


@contextmanager
def replaced_attention(
    model: PreTrainedModel, what: Interaction, inputs: Mapping[str, Tensor]
) -> Iterator[Calls]:
    """The model with an interaction for its attention, for as long as the context lasts.

    A first pass on `inputs` counts the calls: InputError for an architecture that makes none, and so would
    silently keep its own attention, and for one with layers, which it names, that compute attention in their
    own code.
    """
    kind, before = type(model).__name__, model.config._attn_implementation or "eager"
    name = interaction_text(what)
    calls = register_interaction(what, name=name)
    try:
        if not model._can_set_attn_implementation():
            raise InputError(f"{kind} ignores attention plug-ins: it has an attention of its own")
        model.set_attn_implementation(name)
        with torch.no_grad(), own_code(model, calls) as own:
            model(**inputs)
        if not calls.count:
            raise InputError(f"{kind} ignores attention plug-ins: a pass made no call to {what.name}")
        if own:
            raise InputError(
                f"{kind} takes {what.name} in some layers alone: {', '.join(own)} would keep an attention in code of "
                f"its own; model.set_attn_implementation({name!r}) replaces that of the others"
            )
        yield calls
    finally:
        model.set_attn_implementation(before)
