"""Layers without attention or without their MLP: the term that it adds to the stream is zero, and norms stay.

    x + a + m                   without the MLP x + a
    norm(norm(x + a) + m)       without the MLP norm(norm(x + a)), attention with its norms alone

Which module returns the term is found on one call of the layer, from its additions (`spinodal.watch.additions`).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.watch.additions import ATTENTION, MLP
from spinodal.watch.layer_map import LayerMap
from spinodal.watch.record import self_attention, watch_additions
from spinodal.watch.stacks import Stack

PARTS = (ATTENTION, MLP)


def check_parts(parts: Sequence[str]) -> None:
    """InputError for a part that layers do not have, and for one that stands twice."""
    for part in parts:
        if part not in PARTS:
            raise InputError(f"`without` {part}: layers have {' and '.join(PARTS)}", field="without")
    if len(set(parts)) < len(parts):
        raise InputError(f"`without` {', '.join(parts)}: one of them stands twice", field="without")


@contextmanager
def without(part: str, maps: Sequence[LayerMap], tokens: Sequence[Float[Tensor, "b n d"]]) -> Iterator[None]:
    """Within, no layer of the maps adds the term of this part; `tokens` are what each of the maps receives.

    InputError where the term is no module's output, as in layers that scale it first, and for layers of two attentions.
    """
    with ExitStack() as hooks:
        for one, x in {m.layer: (m, x) for m, x in zip(maps, tokens, strict=True)}.values():
            hooks.callback(term_module(one, x, part).register_forward_hook(_zero).remove)
        yield


def _zero(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
    return torch.zeros_like(output)


@torch.no_grad()
def term_module(one: LayerMap, x: Float[Tensor, "b n d"], part: str) -> nn.Module:
    """The innermost module of a layer whose output is the term of attention or of the MLP."""
    attention = type(self_attention(one.layer))
    if sum(type(module) is attention for module in one.layer.modules()) > 1:
        raise InputError(
            f"`without` {part}: {type(one.layer).__name__} has several attentions: which is meant is not known",
            field="without",
        )
    terms: list[Tensor | None] = []
    returned: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, args: tuple, output: Any) -> None:
        if isinstance(output, Tensor):
            returned.append((module, output.clone()))

    with ExitStack() as hooks:
        for module in one.layer.modules():
            hooks.callback(module.register_forward_hook(note).remove)
        watch_additions(hooks, Stack("`without`", (one.layer,), 1), part, terms.append)
        one(x)
    (term,) = terms
    for module, output in returned:
        if term is not None and output.shape == term.shape and torch.equal(output, term):
            return module
    raise InputError(
        f"`without` {part}: no module of {type(one.layer).__name__} returns what its {part} adds",
        field="without",
    )
