"""Layers that compute attention in their own code, without transformers' attention interface, and so keep it.

A module counts as such a layer if its class name contains "att", it lies in a numbered layer, and its pass
calls torch's attention or a softmax of three axes or more, but not the interaction. Layers without softmax
attention (state spaces, linear attention) do not count, and stay as they are.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SOFTMAX = {torch.softmax, Tensor.softmax, functional.softmax}
KERNELS = {functional.scaled_dot_product_attention, functional.multi_head_attention_forward}


@dataclass
class Calls:
    """A counter of the calls that a model makes of its attention function."""

    count: int = 0


class _OwnCode(TorchFunctionMode):
    """Records, for each running attention module, the calls before it and how often it computed attention."""

    def __init__(self, calls: Calls):
        super().__init__()
        self.calls = calls
        self.running: list[list[int]] = []
        self.found: dict[str, int] = {}

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None):
        if self.running and (func in KERNELS or (func in SOFTMAX and args[0].ndim >= 3)):
            self.running[-1][1] += 1
        return func(*args, **(kwargs or {}))

    def enter(self, module: nn.Module, args: tuple) -> None:
        self.running.append([self.calls.count, 0])

    def leave(self, module: nn.Module, args: tuple, output: Any) -> None:
        before, computed = self.running.pop()
        if computed and self.calls.count == before:
            kind = type(module).__name__
            self.found[kind] = self.found.get(kind, 0) + 1


@contextmanager
def own_code(model: nn.Module, calls: Calls) -> Iterator[dict[str, int]]:
    """A context that yields {class: number of passes of layers with attention in their own code}."""
    mode = _OwnCode(calls)
    with ExitStack() as stack:
        for name, module in model.named_modules():
            # a number in a name is a place in a list of layers: pooling heads have none
            if "att" in type(module).__name__.lower() and any(map(str.isdigit, name.split("."))):
                stack.callback(module.register_forward_pre_hook(mode.enter).remove)
                stack.callback(module.register_forward_hook(mode.leave).remove)
        stack.enter_context(mode)
        yield mode.found
