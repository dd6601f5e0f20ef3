"""The terms a and m that a layer adds to the stream, x_{k+1} = x_k + a + m, found from its additions.

Every addition inside a layer is noted, and the layer's output is followed back through additions and norms to what the
layer received. The terms that were added on the way are what attention and the MLP add, after any further norm
(OLMo 2), multiplier (Granite) or scale of their own (ViT's relatives): so the parts are those that sum to the stream.

    pre-norm    x + a + m                      terms a, m
    post-norm   norm(norm(x + a) + m)          terms a, m
    parallel    x + (a + m)                    the sum a + m is taken apart

The attention's term is the first that was computed from the linear maps of the attention; the MLP's is the last.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spinodal.errors import InputError

ADD = {torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__}
ADD_IN_PLACE = {Tensor.add_, Tensor.__iadd__}
RESHAPE = {torch.reshape, torch.flatten, Tensor.reshape, Tensor.view, Tensor.flatten, Tensor.unflatten}
ATTENTION, MLP = "attention", "mlp"


class Additions(TorchFunctionMode):
    """Records the additions in the layer that is being called; hooks on modules call its methods."""

    def __init__(self):
        super().__init__()
        self.enter(None)

    def enter(self, stream: Tensor | None) -> None:
        """Begins the record of a layer that received `stream`, and drops that of the layer before it."""
        self.stream = stream
        self.kept: list[Tensor] = []  # so that no id is used twice
        self.sums: dict[int, tuple[Tensor, Tensor]] = {}
        self.norms: dict[int, Tensor] = {}
        self.from_attention: set[int] = set()

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None):
        kwargs = kwargs or {}
        if self.stream is None:
            return func(*args, **kwargs)
        if func in ADD_IN_PLACE and _same_shape(args[:2], self.stream):
            before = args[0].clone()
            self._rename(args[0], before)
            result = func(*args, **kwargs)
            self._note(result, before, args[1])
            return result
        result = func(*args, **kwargs)
        if func in RESHAPE and result.numel() == self.stream.numel():
            self.normed(args, result)  # followed back as a norm is
        if func in ADD and not kwargs and _same_shape(args[:2], self.stream):
            self._note(result, args[0], args[1])
        elif any(id(x) in self.from_attention for x in _tensors(args)):
            self._mark(result)
        return result

    def attended(self, output: Any) -> None:
        """Marks `output` as returned by the layer's attention module or by a linear map of it."""
        self._mark(output)

    def normed(self, args: tuple, output: Any) -> None:
        """Records that a norm read args[0] and returned `output`."""
        if self.stream is not None and isinstance(output, Tensor) and args and isinstance(args[0], Tensor):
            self.norms[id(output)] = args[0]
            self.kept += [output, args[0]]

    def terms(self, output: Tensor) -> dict[str, Tensor]:
        """{"attention": a, "mlp": m}, the terms of a layer's output; InputError if it is no such sum."""
        found = [part for term in self._path(output) or [] for part in self._apart(term)]
        first = next((i for i, x in enumerate(found) if id(x) in self.from_attention), None)
        if first is None or len(found) < 2:
            raise InputError(
                "what this layer returns is no sum of its stream and terms of attention and an MLP"
            )
        rest = [x for i, x in enumerate(found) if i != first]
        return {name: x.reshape(output.shape) for name, x in ((ATTENTION, found[first]), (MLP, rest[-1]))}

    def _path(self, output: Tensor) -> list[Tensor] | None:
        """The terms in the order in which they were added to the stream, None where the stream is not reached."""
        if output is self.stream:
            return []
        if id(output) in self.norms:
            return self._path(self.norms[id(output)])
        for mine, other in ((0, 1), (1, 0)):
            if id(output) in self.sums:
                pair = self.sums[id(output)]
                if (path := self._path(pair[mine])) is not None:
                    return [*path, pair[other]]
        return None

    def _apart(self, term: Tensor) -> list[Tensor]:
        """[a, m] for a term a + m of which attention computed a alone; [term] for any other."""
        if id(term) not in self.sums:
            return [term]
        a, b = self.sums[id(term)]
        marks = id(a) in self.from_attention, id(b) in self.from_attention
        if marks[0] == marks[1]:
            return [term]
        return [a, b] if marks[0] else [b, a]

    def _note(self, result: Tensor, a: Tensor, b: Tensor) -> None:
        self.sums[id(result)] = (a, b)
        self.kept += [result, a, b]
        if id(a) in self.from_attention or id(b) in self.from_attention:
            self._mark(result)

    def _rename(self, old: Tensor, new: Tensor) -> None:
        """Moves the records of a tensor that is about to be changed in place to its copy `new`."""
        for known in (self.sums, self.norms):
            if id(old) in known:
                known[id(new)] = known.pop(id(old))  # type: ignore[assignment]
        if id(old) in self.from_attention:
            self.from_attention.add(id(new))
        if old is self.stream:
            self.stream = new
        self.kept.append(new)

    def _mark(self, values: Any) -> None:
        for x in _tensors(values):
            self.from_attention.add(id(x))
            self.kept.append(x)


def _same_shape(values: tuple, stream: Tensor) -> bool:
    """Whether all values have the stream's tokens and features in number, as [b n d] or (OPT) as [bn d]."""
    return all(
        isinstance(x, Tensor) and x.numel() == stream.numel() and x.shape[-1] == stream.shape[-1]
        for x in values
    )


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, (tuple, list)):
        return [x for value in values for x in _tensors(value)]
    return []


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm: its class has "norm" in its name, and it has no modules of its own."""
    return "norm" in type(module).__name__.lower() and not any(True for _ in module.children())
