r"""The attention of a trained layer as a field on the sphere, with its own matrices, biases and norms.

What attention reads comes from a norm, y_i = g n_i + s with |n_i| = sqrt(d), but for the norm's epsilon. On
directions theta = n / sqrt(d)

    A_i = (1 / sqrt(d)) ( sum_h W_o^h sum_j p_ij^h (W_v^h y_j + b_v^h) + b_o ),
    p_ij^h = softmax_j c <W_q^h y_i + b_q^h, W_k^h y_j + b_k^h>,   y = sqrt(d) g theta + s

is the output of the attention sublayer, exactly, in units in which tokens are unit vectors [derived]. The field
theta' = P A then moves them as layers of this attention alone would that are normed to the sphere; a layer is a unit of
time. The mean over features, which a layer norm removes, stays in A: it is no part of the sublayer.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.flows import AttentionField, Head
from spinodal.watch.additions import is_norm
from spinodal.watch.calls import LayerCall, attention_calls
from spinodal.watch.experiment import Observation, Texts, TrainedModel
from spinodal.watch.folder import find_observation
from spinodal.watch.sources import batches_of, open_subject, reading_part, source_named
from spinodal.watch.stacks import Stack, first_input, one_stack, plain_attention, tokens_of
from spinodal.watch.weights import HeadBiases, Heads, Selections, biases_of, heads_of

AGREES = 1e-3  # of |A|: single precision; what is farther is another law


@dataclass(frozen=True, eq=False)
class LayerField:
    """The field of a layer's attention, and the directions theta [n d] of the tokens that it reads.

    `error` is the relative distance of the field's output from the layer's own on these tokens.
    """

    field: AttentionField
    tokens: Float[np.ndarray, "n d"]
    error: float


def layer_field(name: str, layer: int, *, text: str = "", stack: str | None = None) -> LayerField:
    """The field of layer 1, 2, ... of a model, from its tokens of one text.

    `name` is that of a model as `source_named` has it, or a folder of an observation, whose model and first text are
    taken where no `text` is given. InputError for a layer whose attention is no field of directions, with the reason.
    """
    source = _source(name, text)
    subject = reading_part(open_subject(source.name), source)
    inputs = first_input(batches_of(subject, source)[0])
    found = one_stack(subject.model, inputs, stack)
    return field_of_layer(subject.model, inputs, found, layer)


def _source(name: str, text: str) -> TrainedModel:
    if (folder := find_observation(name)) is None:
        source = source_named(name, text=text, most=1)
    else:
        from spinodal.runs import read_run

        source = read_run(folder).config_as(Observation).source
        if isinstance(source, TrainedModel) and text:
            source = source_named(source.name, text=text, most=1)
    if not isinstance(source, TrainedModel):
        raise InputError(f"`from` {name} holds arrays: a field is made of a model that runs", field="from")
    if isinstance(source.inputs, Texts):
        source = TrainedModel(
            source.name, Texts(source.inputs.lines[:1], source.inputs.truncate), source.depth
        )
    return source


def field_of_layer(model: nn.Module, inputs: Mapping[str, Any], stack: Stack, layer: int) -> LayerField:
    """`layer_field` of a model that is open, on one sequence as it takes it."""
    if not 1 <= layer <= stack.calls:
        raise InputError(f"`layer` {layer}: {stack.name} has layers 1 to {stack.calls}", field="layer")
    with torch.inference_mode(False), torch.enable_grad():
        call = next(
            (c for c in attention_calls(model, inputs, stack, tracked=True) if c.index == layer - 1), None
        )
    if call is None:
        raise InputError(f"`layer` {layer} of {stack.name} makes no call of attention", field="layer")
    try:
        selections = Selections()
        maps, biases = heads_of(call, selections), biases_of(call, selections)
        if maps.Wv is None or maps.Wo is None:
            raise InputError(maps.reason)
    except InputError as error:
        raise InputError(f"`layer` {layer}: {error}", field="layer") from None
    read = call.projections[0].read
    theta, gain, shift = _normed(model, inputs, read, layer)
    heads = _heads(maps, biases, np.sqrt(theta.shape[1]) * gain, shift)
    own = _own_output(call, maps, biases) / np.sqrt(theta.shape[1])
    apart = {}
    for causal in (False, True):
        field = AttentionField(maps.scale, heads=heads, causal=causal)
        output = field.attention_output(theta, np.full(len(theta), 1 / len(theta)))
        A = output.tangent + output.radial[:, None] * theta
        apart[causal] = field, float(np.linalg.norm(A - own) / np.linalg.norm(own))
    field, error = min(apart.values(), key=lambda pair: pair[1])
    if error > AGREES:
        raise InputError(
            f"`layer` {layer}: its attention is not that of its matrices, biases and norms on these tokens (relative "
            f"distance {error:.2g}): positions enter it, or a mask",
            field="layer",
        )
    return LayerField(field, theta, error)


def _heads(
    maps: Heads, biases: HeadBiases, gain: Float[np.ndarray, " d"], shift: Float[np.ndarray, " d"]
) -> tuple[Head, ...]:
    """The heads of the field; the output bias is sent with the first one's values, whose weights sum to one."""
    assert maps.Wv is not None
    assert maps.Wo is not None
    root = np.sqrt(len(gain))
    V = (maps.Wo @ maps.Wv).numpy() / root
    v = torch.einsum("hdk,hk->hd", maps.Wo, biases.v).numpy() / root
    v[0] += biases.o.numpy() / root
    parts = zip(maps.Wq.numpy(), maps.Wk.numpy(), V, biases.q.numpy(), biases.k.numpy(), v, strict=True)
    return tuple(Head(*part).after_norm(gain, shift) for part in parts)


def _own_output(call: LayerCall, maps: Heads, biases: HeadBiases) -> Float[np.ndarray, "n d"]:
    """What the layer's own attention adds, from what its attention function returned."""
    assert call.result is not None
    assert maps.Wo is not None
    return (torch.einsum("nhk,hdk->nd", call.result[0].double(), maps.Wo) + biases.o).numpy()


def _normed(
    model: nn.Module, inputs: Mapping[str, Any], read: Float[Tensor, "1 n d"], layer: int
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """(theta, g, s) of tokens y = sqrt(d) g theta + s, from the norm that returned them; InputError without one."""
    norms: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, args: tuple, output: Any) -> None:
        y = tokens_of(output)
        if y is not None and y.shape == read.shape and torch.equal(y, read):
            norms.append((module, args[0].detach()))

    with ExitStack() as hooks, torch.no_grad(), plain_attention():
        for module in filter(is_norm, model.modules()):
            hooks.callback(module.register_forward_hook(note).remove)
        model.eval()(**inputs)
    y, d = read[0].double(), read.shape[-1]
    for norm, x in norms:
        weight, bias = (getattr(norm, name, None) for name in ("weight", "bias"))
        shift = torch.zeros(d).double() if bias is None else bias.detach().double()
        gains = [torch.ones(d).double()] if weight is None else [weight.detach().double()]
        for gain in (*gains, *(1 + g for g in gains)):
            for centred in (x[0].double() - x[0].double().mean(-1, keepdim=True), x[0].double()):
                theta = centred / centred.norm(dim=-1, keepdim=True)
                if _close(d**0.5 * gain * theta + shift, y):
                    return theta.numpy(), gain.numpy(), shift.numpy()
    raise InputError(
        f"`layer` {layer} reads tokens that no norm made, so that they are of any length: take another layer",
        field="layer",
    )


def _close(a: Tensor, b: Tensor) -> bool:
    return float((a - b).norm()) <= AGREES * float(b.norm())
