"""The attention of a stack by layer: effective beta, spectra, and the conditions of a gradient flow."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.models import interaction_text
from spinodal.watch.calls import LayerCall, attention_calls
from spinodal.watch.record import validity
from spinodal.watch.result import AttentionLayer
from spinodal.watch.stacks import Stack, first_input, sequence_first
from spinodal.watch.weights import (
    AttentionCall,
    Selections,
    attention_call,
    effective_beta,
    heads_of,
    source_of,
    spectra,
)


@torch.inference_mode(False)
@torch.enable_grad()
def attention_layers(
    model: nn.Module, inputs: Mapping[str, Any], stack: Stack
) -> tuple[tuple[AttentionLayer, ...], str]:
    """(layers, reason): effective beta, symmetry and alignment of each layer with attention, on these inputs.

    `spinodal.watch.weights` defines them. Where the attention cannot be read, `layers` is empty and `reason`
    says why; else it is "". Layers whose queries are no linear map have only an effective beta, and a reason.
    """
    try:
        tracked = attention_calls(model, first_input(inputs), stack, tracked=True)
        calls = attention_calls(model, inputs, stack)
        if [call.index for call in tracked] != [call.index for call in calls]:
            raise InputError(f"{type(model).__name__} calls other layers for one input than for several")
        shape = () if calls[0].tokens is None else tuple(calls[0].tokens.shape)
        turned = sequence_first(model, inputs, stack, shape)
        valid = validity(model, inputs, stack, _read(tracked[0], calls[0], turned).read[None])
        selections = Selections()
        found = [
            _layer(one, _read(one, call, turned), selections, valid)
            for one, call in zip(tracked, calls, strict=True)
        ]
    except InputError as error:
        return (), str(error)
    return tuple(found), ""


def _read(tracked: LayerCall, call: LayerCall, turned: bool) -> AttentionCall:
    assert tracked.q is not None
    return attention_call(call, turned=turned, place=source_of(tracked.q, tracked))


def _layer(
    tracked: LayerCall, call: AttentionCall, selections: Selections, valid: Bool[Tensor, "b n"]
) -> AttentionLayer:
    what = tracked.interaction
    name = "" if what is None else interaction_text(what)
    if what is not None and not hasattr(what, "beta"):
        raise InputError(f"its attention is {name}, whose weights are of no beta <q, k>")
    beta = effective_beta(call, valid)
    finite = beta[np.isfinite(beta)]
    facts: dict[str, Any] = {
        "layer": tracked.index + 1,
        "effective_beta": float(finite.mean()) if len(finite) else None,
        "effective_beta_of_heads": tuple(float(b) if np.isfinite(b) else None for b in beta),
        "interaction": name,
    }
    try:
        if getattr(what, "own_values", False):
            raise InputError(f"its attention is {name}, and the conditions are those of softmax attention")
        maps = heads_of(tracked, selections)
    except InputError as error:
        return AttentionLayer(**facts, reason=str(error))
    found = spectra(maps)
    facts |= {
        "symmetry": float(found.symmetry.mean()),
        "positive_share_QK": float((np.real(found.A) > 0).mean()),
        "spectral_radius_QK": None if maps.normed else float(np.abs(found.A).max(-1).mean()),
        "reason": maps.reason,
    }
    if found.V is None or found.alignment is None:
        return AttentionLayer(**facts)
    return AttentionLayer(
        **facts,
        alignment=float(found.alignment.mean()),
        positive_share_V=float((np.real(found.V) > 0).mean()),
        spectral_radius_V=float(np.abs(found.V).max(-1).mean()),
    )
