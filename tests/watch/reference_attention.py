"""Attention's numbers from an architecture's own code, by another way than `spinodal.watch`.

A function of our own is registered with transformers' attention interface. It keeps what it is called with, and returns
each token's own value; so what the attention module returns for e_j, less what it returns for 0, is column j of the sum
over heads of W_o W_v, and the queries of e_j less those of 0 column j of W_q: no weight is read, no head is split.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

NAME = "reference"


class Seen(NamedTuple):
    module: nn.Module
    q: Tensor
    k: Tensor
    v: Tensor
    scale: float


@contextmanager
def own_calls(model: Any, *, head: int | None = None, softmax: bool = False) -> Iterator[list[Seen]]:
    """The calls of a pass; values of other heads than `head` are zero; with softmax, attention as it is."""
    seen: list[Seen] = []

    def function(module, query, key, value, attention_mask, scaling=None, **kwargs):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        groups = query.shape[1] // key.shape[1]
        k, v = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        seen.append(Seen(module, query.clone(), k, v, float(scale)))
        if softmax:
            logits = scale * query @ k.mT
            if (cap := kwargs.get("softcap")) is not None:
                logits = cap * (logits / cap).tanh()
            if (bias := kwargs.get("position_bias")) is not None:
                logits = logits + bias
            if attention_mask is not None:
                logits = logits + attention_mask[..., : k.shape[2]]
            v = logits.softmax(-1) @ v
        elif v.shape[2] != query.shape[2]:  # cross-attention, after the layer that is asked for
            v = v[:, :, :1].expand(-1, -1, query.shape[2], -1)
        if head is not None:
            v = v * (torch.arange(v.shape[1]) == head)[:, None, None]
        return v.transpose(1, 2).contiguous(), None

    AttentionInterface.register(NAME, function)
    AttentionMaskInterface.register(NAME, eager_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield seen
    finally:
        model.set_attn_implementation(before)


def call_of(model: Any, inputs: dict, layer: nn.Module) -> tuple[Seen, Tensor]:
    """The first call of attention in a layer, and what its module was given to read."""
    inside = {id(m) for m in layer.modules()}
    with own_calls(model, softmax=True) as seen, torch.no_grad():
        model(**inputs)
    module = next(call for call in seen if id(call.module) in inside).module
    with own_calls(model, softmax=True) as seen, reading(module, None) as notes, torch.no_grad():
        model(**inputs)
    return next(call for call in seen if call.module is module), notes[0][0]


@contextmanager
def reading(module: nn.Module, given: Tensor | None) -> Iterator[list]:
    """Notes (what an attention module reads, what it returns), and gives it `given` to read in its place."""
    notes = []

    def before(module, args, kwargs):
        name = next((k for k in ("hidden_states", "x", "query") if k in kwargs), None)
        notes.append([kwargs[name] if name else args[0], None])
        if given is None:
            return None
        return (args, kwargs | {name: given}) if name else ((given, *args[1:]), kwargs)

    def after(module, args, output):
        notes[-1][1] = output[0] if isinstance(output, tuple) else output

    hooks = [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after),
        *(m.register_forward_hook(gain_alone) for m in module.modules() if given is not None and is_norm(m)),
    ]
    try:
        yield notes
    finally:
        for hook in hooks:
            hook.remove()


def is_norm(module: nn.Module) -> bool:
    return type(module).__name__.lower().endswith("norm")


def gain_alone(norm: nn.Module, args: tuple, output: Tensor) -> Tensor:
    """A norm's gains without its division: RMS norms return them for ones, layer norms centre."""
    x = args[0]
    if isinstance(norm, nn.LayerNorm):
        return (x - x.mean(-1, keepdim=True)) * norm.weight
    return x * type(norm).forward(norm, torch.ones_like(x))


def beta(call: Seen, x: Tensor) -> np.ndarray:
    """Slope of s <q_i, k_j> on cosines, pair by pair, rows centred."""
    found = []
    for h in range(call.q.shape[1]):
        top = bottom = 0.0
        for s in range(len(x)):
            y = x[s].double().numpy()
            q, k = call.q[s, h].double().numpy(), call.k[s, h].double().numpy()
            there = [i for i in range(len(y)) if np.linalg.norm(y[i]) > 0]
            for i in there:
                others = [j for j in there if j != i]
                c = np.array([y[i] @ y[j] / np.linalg.norm(y[i]) / np.linalg.norm(y[j]) for j in others])
                e = np.array([call.scale * q[i] @ k[j] for j in others])
                c = c - c.mean()
                top, bottom = top + c @ (e - e.mean()), bottom + c @ c
        found.append(top / bottom)
    return np.array(found)


@torch.no_grad()
def conditions(model: Any, inputs: dict, layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Symmetry and alignment by head, of the maps that take e_j to queries, keys and the module's output.

    A module that returns its heads as they are (BERT's) is followed by its sibling `output.dense`.
    """
    call, x = call_of(model, inputs, layer)
    d, n, h = x.shape[-1], x.shape[1], call.q.shape[1]
    probe = torch.cat([torch.zeros(1, d), torch.eye(d)])[:, None].expand(-1, n, -1).contiguous()
    many = {name: value[:1].expand(d + 1, *value.shape[1:]).contiguous() for name, value in inputs.items()}
    dense = next((m for name, m in layer.named_modules() if name.endswith("attention.output.dense")), None)
    symmetry, alignment = [], []
    for head in range(h):
        with own_calls(model, head=head) as seen, reading(call.module, probe) as notes:
            model(**many)
        found = next(c for c in seen if c.module is call.module)
        q, k = ((y[1:, head, 0] - y[0, head, 0]).double().T for y in (found.q, found.k))
        out = notes[0][1]
        out = out if dense is None else dense(out)
        A, V = found.scale * q.T @ k, (out[1:, 0] - out[0, 0]).double().T
        symmetry.append(float((A * A.T).sum() / A.square().sum()))
        alignment.append(float((A * V).sum() / (A.norm() * V.norm())) if V.shape == A.shape else np.nan)
    return np.array(symmetry), np.array(alignment)
