"""Stacks: the layers of a model, found by what they do and not by what they are called.

A stack is a list of modules of one class that, in one pass of the model, is called at least twice, each time with
tokens [b n d] in and tokens of the same shape out, and that is no part of another stack. Calls count, not
members: a model with tied layers has one member and many calls. An encoder-decoder has two stacks.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spinodal.errors import InputError


class Stack(NamedTuple):
    """The modules of a stack by the list's name in the model, and how often a pass calls one of them."""

    name: str
    modules: tuple[nn.Module, ...]
    calls: int

    @property
    def tied(self) -> bool:
        return self.calls > len(self.modules)


def tokens_of(values: Any) -> Tensor | None:
    """The first tensor [b n d] of floats among values, themselves or the fields of an output."""
    if isinstance(values, Tensor):
        return values if values.ndim == 3 and values.is_floating_point() else None
    if isinstance(values, Mapping):
        values = values.values()
    elif not isinstance(values, (tuple, list)):
        return None
    return next((found for value in values if (found := tokens_of(value)) is not None), None)


def received(args: tuple, kwargs: dict[str, Any]) -> Tensor | None:
    """The tokens that a layer was called with."""
    return tokens_of([*args[:1], kwargs.get("hidden_states"), *args[1:], kwargs])


@torch.no_grad()
def find_stacks(model: nn.Module, inputs: Mapping[str, Any]) -> list[Stack]:
    """The stacks of a model, longest first, then in the order in which they are called; runs the model once."""
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len({type(child) for child in module}) == 1
    }
    calls: dict[str, list[tuple]] = {name: [] for name in lists}

    def note(name: str):
        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any):
            before, after = received(args, kwargs), tokens_of(output)
            calls[name].append(tuple(None if x is None else tuple(x.shape) for x in (before, after)))

        return hook

    members = [(name, child) for name, module in lists.items() for child in module]
    hooks = [child.register_forward_hook(note(name), with_kwargs=True) for name, child in members]
    was_training = model.training
    try:
        model.eval()(**inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    found = {
        name: Stack(name, tuple(lists[name]), len(shapes))
        for name, shapes in calls.items()
        if len(shapes) > 1 and len({shape for pair in shapes for shape in pair}) == 1 and shapes[0][0]
    }
    outermost = [s for name, s in found.items() if not any(name.startswith(f"{other}.") for other in found)]
    return sorted(outermost, key=lambda stack: -stack.calls)


def one_stack(model: nn.Module, inputs: Mapping[str, Any], name: str | None = None) -> Stack:
    """The longest stack, or the only one whose name contains `name`.

    A `name` that is exactly that of a list of modules is taken as it is, calls uncounted. InputError without
    a recognisable stack, and for a name that fits none or several.
    """
    named = dict(model.named_modules()).get(name) if name else None
    if isinstance(named, (nn.ModuleList, nn.Sequential)):
        return Stack(name or "", tuple(named), len(named))
    found = find_stacks(model, inputs)
    kind = type(model).__name__
    if not found:
        raise InputError(
            f"{kind} has no recognisable layers: no list of like modules takes tokens [b n d] and returns tokens of "
            f"that shape; name the list that holds them"
        )
    if name is None:
        return found[0]
    fitting = [stack for stack in found if name in stack.name]
    if len(fitting) != 1:
        raise InputError(f"{kind} has no one stack {name!r}: it has {', '.join(s.name for s in found)}")
    return fitting[0]
