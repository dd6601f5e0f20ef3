r"""Arguments that other libraries pass to every model: what is honoured, what means nothing here, what is refused.

honoured     position_ids, where they number the tokens that are there one after another, as the mixers do
without use  token_type_ids (tokens have no types), cache_position (the cache knows its own)
refused      everything else that a model does not name: a misspelling changes nothing in silence
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spinodal.errors import InputError
from spinodal.mixers.entry import near
from spinodal.mixers.ops.tracing import traced

WITHOUT_USE = {"token_type_ids", "cache_position", "tokenizer"}
TAKEN = (
    "input_ids", "inputs_embeds", "attention_mask", "position_ids", "output_hidden_states", "output_residuals",
    "labels", "start_positions", "end_positions", "shift_labels", "scored_only", "num_items_in_batch", "logits_to_keep",
    "cache", "past_key_values", "use_cache", "encoder_outputs", "decoder_input_ids", "decoder_attention_mask",
    "decoder_inputs_embeds", "decoder_position_ids",
)  # fmt: skip


def require_known(kwargs: Mapping[str, Any], *, decodes: bool = False):
    """InputError for an argument that no model takes; a warning where attention weights are asked for.

    output_hidden_states passes, since `capture_outputs` handles it.
    """
    given = dict(kwargs)
    if given.pop("output_attentions", False):
        warnings.warn("output_attentions=True: these models return no attention weights", stacklevel=3)
    if not decodes and given.get("use_cache"):
        raise InputError("use_cache=True: an encoder reads whole texts and has no cache")
    unknown = (
        given.keys() - WITHOUT_USE - {"output_hidden_states"} - ({"use_cache"} if not decodes else set())
    )
    if unknown:
        guess = near(min(unknown), {*TAKEN, *WITHOUT_USE} - unknown)
        raise InputError(
            f"unknown argument {', '.join(sorted(unknown))}: a model takes input_ids or inputs_embeds, "
            f"attention_mask, position_ids, output_hidden_states, output_residuals, and where it decodes cache and "
            f"use_cache" + (f"; {guess.strip()}" if guess else "")
        )


def place_offset(
    position_ids: Int[Tensor, "..."] | None,
    x: Float[Tensor, "b n d"],
    valid: Bool[Tensor, "b n"] | None,
    *,
    counted: bool,
) -> Int[Tensor, " b"] | None:
    """position_i - i of each sequence, the same for all its tokens; None where no positions are given.

    Only differences of positions act in a mixer. `counted`: i counts the tokens that are there, else all of them.
    InputError for positions that leave gaps, turn back or begin again within a sequence.
    """
    if position_ids is None:
        return None
    position = position_ids[None] if position_ids.ndim == 1 else position_ids
    if position.shape not in {(1, x.shape[1]), tuple(x.shape[:2])}:
        raise InputError(f"position_ids are {tuple(position_ids.shape)}, tokens are {tuple(x.shape[:2])}")
    there = x.new_ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
    index = there.long().cumsum(1) - 1 if counted else torch.arange(x.shape[1], device=x.device)
    gap = position.expand(x.shape[:2]) - index
    last = gap.masked_fill(~there, torch.iinfo(torch.long).min).amax(1)
    if not traced() and bool(((gap != last[:, None]) & there).any()):
        raise InputError(
            "position_ids must number the tokens of a sequence one after another: positions that leave gaps or begin "
            "again (packed sequences) are not supported; give one text a row, and padding by attention_mask"
        )
    return last
