"""Stacks: the layers of a model, found by what they do and not by what they are called.

A stack is a list of modules of one class that, in one pass of the model, is called at least twice, each time with
tokens [b n d] in and tokens of the same shape out, each call receiving what the one before returned, and that is no
part of another stack. Calls count, not members: a model with tied layers has one member and many calls. An
encoder-decoder has two stacks. A model whose configuration says that it has one layer has a stack of one call.

Tokens are [b n d] or, in layers that put the sequence first, [n b d]: the batch axis is the inputs'.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spinodal.errors import InputError


class Stack(NamedTuple):
    """Layers that a pass calls one after the other: the list's `name` in the model, its modules, the number of calls.

    Modules that are called more than once are `tied`: ALBERT has one module and as many calls as layers.
    """

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
    """The tokens [b n d] among the arguments of a layer; None if there are none."""
    return tokens_of([*args[:1], kwargs.get("hidden_states"), *args[1:], kwargs])


def first_input(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """One sequence of a batch: enough to find the layers."""
    return {
        name: value[:1] if isinstance(value, Tensor) and value.ndim else value
        for name, value in inputs.items()
    }


class _Calls:
    """The calls of a list of modules: shapes, and whether each received what the one before returned."""

    def __init__(self):
        self.shapes: list[tuple[int, ...] | None] = []
        self.count = 0
        self.broken: int | None = None
        self.last: Tensor | None = None

    def add(self, before: Tensor | None, after: Tensor | None) -> None:
        self.shapes += [None if x is None else tuple(x.shape) for x in (before, after)]
        if self.count and self.broken is None and not continues(self.last, before):
            self.broken = self.count
        self.count, self.last = self.count + 1, after

    @property
    def alike(self) -> bool:
        return len(set(self.shapes)) == 1 and self.shapes[0] is not None


def continues(returned: Tensor | None, received: Tensor | None) -> bool:
    """Whether a layer received what the layer before it returned; values not finite are not compared."""
    if returned is None or received is None or returned is received:
        return returned is received
    if returned.shape != received.shape:
        return False
    return bool(((returned == received) | ~received.isfinite()).all())


def _calls_of_lists(
    model: nn.Module, inputs: Mapping[str, Any]
) -> dict[str, tuple[nn.ModuleList | nn.Sequential, _Calls]]:
    """{name: (list, calls)} of every list of modules of one class, from one pass of the model."""
    lists = {
        name: (module, _Calls())
        for name, module in model.named_modules()
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len({type(child) for child in module}) == 1
    }

    def note(calls: _Calls):
        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any):
            calls.add(received(args, kwargs), tokens_of(output))

        return hook

    members = [(calls, child) for module, calls in lists.values() for child in module]
    hooks = [child.register_forward_hook(note(calls), with_kwargs=True) for calls, child in members]
    was_training = model.training
    try:
        with plain_attention():
            model.eval()(**inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return lists


@torch.no_grad()
def find_stacks(model: nn.Module, inputs: Mapping[str, Any]) -> list[Stack]:
    """The stacks of a model, the one with most calls first: tokens [b n d] in, [b n d] out, each layer to the next.

    Runs the model once on `inputs`, its keyword arguments, in evaluation mode. Stacks of as many calls stand in the
    order in which the model lists them. Empty where the model has no stack; `one_stack` refuses that with the reason.
    """
    return _stacks(model, _calls_of_lists(model, inputs))


def _stacks(model: nn.Module, lists: dict[str, tuple[nn.ModuleList | nn.Sequential, _Calls]]) -> list[Stack]:
    shallow = getattr(getattr(model, "config", None), "num_hidden_layers", None) == 1
    like = {name: found for name, found in lists.items() if found[1].alike and found[1].count}
    chains = {
        name: Stack(name, tuple(module), calls.count)
        for name, (module, calls) in like.items()
        if calls.broken is None and (calls.count > 1 or (shallow and len(module) == 1))
    }
    # a part of layers is no stack, whether they follow one another or not
    layers = [name for name, (_, calls) in like.items() if calls.count > 1 or name in chains]
    outermost = [s for name, s in chains.items() if not any(name.startswith(f"{other}.") for other in layers)]
    return sorted(outermost, key=lambda stack: -stack.calls)


@torch.no_grad()
def one_stack(model: nn.Module, inputs: Mapping[str, Any], name: str | None = None) -> Stack:
    """The longest stack, or the only one whose name contains `name`.

    A `name` that is exactly that of a list of modules is taken as it is, calls uncounted. InputError without
    a recognisable stack, and for a name that fits none or several.
    """
    named = dict(model.named_modules()).get(name) if name else None
    if isinstance(named, (nn.ModuleList, nn.Sequential)):
        return Stack(name or "", tuple(named), len(named))
    lists = _calls_of_lists(model, inputs)
    found = _stacks(model, lists)
    kind = type(model).__name__
    if not found:
        raise InputError(
            f"{kind} has no recognisable layers: no list of like modules takes tokens [b n d] and returns tokens of "
            f"that shape{_broken(lists)}; name the list that holds them"
        )
    if name is None:
        return found[0]
    fitting = [stack for stack in found if name in stack.name]
    if len(fitting) != 1:
        raise InputError(f"{kind} has no one stack {name!r}: it has {', '.join(s.name for s in found)}")
    return fitting[0]


def _broken(lists: dict[str, tuple[nn.ModuleList | nn.Sequential, _Calls]]) -> str:
    """For an error message: the first list that would be a stack if each call read the output of the last."""
    for name, (_, calls) in lists.items():
        if calls.alike and calls.broken is not None:
            return (
                f", each from what the one before returned ({name}: call {calls.broken + 1} does not receive what "
                f"call {calls.broken} returned)"
            )
    return ""


@contextmanager
def plain_attention() -> Iterator[None]:
    """A context without the fused path of torch's encoder: its layers are called with tokens [b n d]."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def _as_its_attention(model: nn.Module, inputs: Mapping[str, Any], stack: Stack) -> bool | None:
    """Whether a layer's tokens are [n b d], as its torch attention's; None where that cannot be told."""
    attention = next(
        (m for m in stack.modules[0].modules() if isinstance(m, nn.MultiheadAttention) and not m.batch_first),
        None,
    )
    if attention is None:
        return None
    layer, own = (tuple(x.shape[:2]) for x in _first_received(model, inputs, (stack.modules[0], attention)))
    return {own: True, own[::-1]: False}.get(layer) if own[0] != own[1] else None


def _first_received(
    model: nn.Module, inputs: Mapping[str, Any], modules: Sequence[nn.Module]
) -> list[Tensor]:
    """The tokens that each module is first called with in a pass; an empty tensor where there are none."""
    seen: list[list[Tensor]] = [[] for _ in modules]

    def note(module: nn.Module, args: tuple, kwargs: dict):
        tokens = received(args, kwargs)
        seen[modules.index(module)].append(torch.zeros(0, 0) if tokens is None else tokens)

    was_training = model.training
    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        with plain_attention():
            model.eval()(**inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return [tokens[0] if tokens else torch.zeros(0, 0) for tokens in seen]


@torch.no_grad()
def sequence_first(model: nn.Module, inputs: Mapping[str, Any], stack: Stack, shape: tuple[int, ...]) -> bool:
    """Whether the layers take [n b d]: the batch axis of tokens of this shape is that of the inputs.

    Layers that hand their tokens as they are to torch's attention do where that takes [n b d], as by default. Where
    batch and sequence are equally long, a pass on the first input alone tells them apart. InputError where neither
    axis is the inputs' batch.
    """
    if (
        said := _as_its_attention(model, inputs if shape[0] != shape[1] else first_input(inputs), stack)
    ) is not None:
        return said
    batches = {value.shape[0] for value in inputs.values() if isinstance(value, Tensor) and value.ndim}
    first, second = shape[0] in batches, shape[1] in batches
    if not (first or second):
        raise InputError(
            f"{stack.name}: tokens of shape {shape}, inputs in batches of {', '.join(map(str, sorted(batches)))}: no "
            f"axis of the tokens is the inputs'"
        )
    if first != second or shape[0] == 1:
        return not first
    (alone,) = _first_received(model, first_input(inputs), (stack.modules[0],))
    return alone.shape[0] != 1 and alone.shape[1] == 1
