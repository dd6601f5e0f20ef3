"""Calls of attention: queries, keys, values and scale as each layer hands them to its attention function.

So no name of a projection, no order of heads in a fused matrix and no rule for the scale is assumed: what is recorded
is what the model computes, after its norms of queries and keys and its rotary angles.

    transformers' attention interface    every function that it returns, eager ones too, is recorded as it is called
    torch's scaled_dot_product_attention where a model calls that itself

A model that multiplies queries and keys in code of its own makes no such call, and is refused with its class.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface

from spinodal.errors import InputError
from spinodal.models import AttentionFunction, Interaction
from spinodal.watch.additions import is_norm
from spinodal.watch.record import is_linear, self_attention
from spinodal.watch.stacks import Stack, plain_attention, received


@dataclass
class Projection:
    """A linear map that a layer applied before its attention: what it read, and what it returned."""

    module: nn.Module
    read: Tensor
    returned: Tensor


@dataclass
class LayerCall:
    """The first call of attention in one call of a layer, and the linear maps around it.

    `following` is the linear map that reads exactly what the attention function returned, its heads side by side;
    `normed` says that a norm stands between the projections and the call. Where an `interaction` of `spinodal.models`
    is the model's attention, its beta is a factor of the scale.
    """

    index: int
    layer: nn.Module
    tokens: Tensor | None
    projections: list[Projection] = field(default_factory=list)
    module: nn.Module | None = None
    q: Tensor | None = None
    k: Tensor | None = None
    v: Tensor | None = None
    scale: float = 1.0
    result: Tensor | None = None
    following: nn.Module | None = None
    normed: bool = False
    interaction: Interaction | None = None


class Recorder:
    """Records the calls of a stack's layers; with `tracked`, outputs of linear maps carry gradients."""

    def __init__(self, stack: Stack, *, tracked: bool):
        self.stack, self.tracked = stack, tracked
        self.layers: list[LayerCall] = []
        self.current: LayerCall | None = None
        self.count = 0
        self.inside = False  # a call of the interface, whose own kernel is not a second one

    def enter(self, layer: nn.Module, args: tuple, kwargs: dict) -> None:
        self.current = LayerCall(len(self.layers), layer, received(args, kwargs))
        self.layers.append(self.current)

    def leave(self, layer: nn.Module, args: tuple, output: Any) -> None:
        self.current = None

    def linear(self, module: nn.Module, args: tuple, output: Any) -> Tensor | None:
        call = self.current
        if call is None or not isinstance(output, Tensor):
            return None
        if call.q is not None:
            self._after(call, module, args[0])
            return None
        kept = output.detach()
        if self.tracked:
            kept = kept.requires_grad_()
        call.projections.append(Projection(module, args[0].detach(), kept))
        # a copy, since models scale queries in place
        return kept.clone() if self.tracked else None

    def norm(self, module: nn.Module, args: tuple, output: Any) -> Tensor | None:
        """In a tracked pass, `linear_part` in place of the output of a norm of queries or keys; else None."""
        call = self.current
        if call is None or call.q is not None or not self.tracked or not call.projections:
            return None
        linear = linear_part(module, args[0], output) if isinstance(output, Tensor) and args else None
        call.normed = call.normed or linear is not None
        return linear

    def _after(self, call: LayerCall, module: nn.Module, read: Tensor) -> None:
        if call.following is None and call.result is not None:
            flat = call.result.reshape(*call.result.shape[:-2], -1)
            if read.numel() == flat.numel() and torch.equal(read.detach().flatten(), flat.flatten()):
                call.following = module

    def attention(
        self,
        module: nn.Module | None,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        scale: float | None,
        result: Tensor,
        interaction: Interaction | None = None,
    ) -> None:
        """Records a call: q [b h n c], k and v [b g m c], result [b n h c], and the interaction, if any."""
        self.count += 1
        call = self.current
        if call is None or call.q is not None:
            return
        call.module, call.q, call.k, call.v, call.result = module, q, k, v, result.detach()
        call.scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
        call.interaction, call.scale = interaction, call.scale * getattr(interaction, "beta", 1.0)


class KernelCalls(TorchFunctionMode):
    """A mode that records the calls of `scaled_dot_product_attention` which a model makes itself."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is functional.scaled_dot_product_attention and not self.recorder.inside:
            q, k, v = (*args, *(kwargs[name] for name in ("query", "key", "value") if name in kwargs))[:3]
            self.recorder.attention(None, q, k, v, kwargs.get("scale"), result.transpose(-3, -2))
        return result


@contextmanager
def interface_calls(recorder: Recorder) -> Iterator[None]:
    """Within, every function that transformers' attention interface returns is recorded as it is called.

    The function, its masks and its kernel stay the model's own: the interface's `get_interface` is wrapped.
    """
    own = AttentionInterface.get_interface

    def get_interface(self: AttentionInterface, attn_implementation: str, default: Callable) -> Callable:
        function = own(self, attn_implementation, default)

        def call(
            module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
        ) -> Any:
            recorder.inside = True
            try:
                output = function(module, query, key, value, *args, **kwargs)
            finally:
                recorder.inside = False
            scale = kwargs.get("scaling", args[1] if len(args) > 1 else None)
            what = function.interaction if isinstance(function, AttentionFunction) else None
            recorder.attention(module, query, key, value, scale, output[0], what)
            return output

        return call

    AttentionInterface.get_interface = get_interface
    try:
        yield
    finally:
        AttentionInterface.get_interface = own


def attention_calls(
    model: nn.Module, inputs: Mapping[str, Any], stack: Stack, *, tracked: bool = False
) -> list[LayerCall]:
    """The first call of attention of each call of a layer, in one pass of the model; layers without one are left out.

    InputError where no layer makes one, with the class that multiplies queries and keys itself.
    """
    recorder, training = Recorder(stack, tracked=tracked), model.training
    with ExitStack() as hooks:
        hooks.callback(model.train, training)
        for layer in dict.fromkeys(stack.modules):
            hooks.callback(layer.register_forward_pre_hook(recorder.enter, with_kwargs=True).remove)
            hooks.callback(layer.register_forward_hook(recorder.leave).remove)
            for module in layer.modules():
                if is_linear(module):
                    hooks.callback(module.register_forward_hook(recorder.linear).remove)
                elif is_norm(module):
                    hooks.callback(module.register_forward_hook(recorder.norm).remove)
        hooks.enter_context(plain_attention())
        hooks.enter_context(interface_calls(recorder))
        hooks.enter_context(KernelCalls(recorder))
        hooks.enter_context(torch.set_grad_enabled(tracked))
        model.eval()(**inputs)
    found = [call for call in recorder.layers if call.q is not None]
    if not found:
        raise InputError(f"{type(model).__name__}: {_own_code(stack, recorder.count)}")
    return found


def _own_code(stack: Stack, count: int) -> str:
    if count:
        return f"the layers of {stack.name} make none of its {count} calls of attention"
    try:
        kind = type(self_attention(stack.modules[0])).__name__
    except InputError:
        return f"the layers of {stack.name} have no attention"
    return (
        f"{kind} computes its attention in its own code, not through the attention interface of transformers"
    )


def linear_part(norm: nn.Module, x: Tensor, y: Tensor) -> Tensor | None:
    """w (x - mean) / r with the length r held fixed, from a norm's input and output; None where it is no such norm.

    A shift that the norm adds is left out.
    """
    if not x.requires_grad or x.shape != y.shape:
        return None
    weight, bias = (getattr(norm, name, None) for name in ("weight", "bias"))
    with torch.no_grad():
        shifted = y.detach() - bias if isinstance(bias, Tensor) else y.detach()
        gains = [1 + weight, weight] if isinstance(weight, Tensor) else [torch.ones_like(y[..., -1:])]
    for centred in (x, x - x.mean(-1, keepdim=True)):
        for gain in gains:
            if gain.ndim and gain.shape[-1] not in (1, x.shape[-1]):
                continue
            with torch.no_grad():
                product = gain * centred
                factor = (shifted * product).sum(-1, keepdim=True) / product.square().sum(-1, keepdim=True)
            found = factor * gain.detach() * centred
            if float((found.detach() - shifted).abs().max()) <= 1e-4 * float(shifted.abs().max()):
                return found
    return None
