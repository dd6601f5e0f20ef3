r"""A layer of a model as a map f of its tokens; masks, positions and whatever else it is given stay as they are.

    x_{k+1} = x_k + h (f(x_k) - x_k)        h = 1: the model's own iteration, x_{k+1} = f(x_k)

so that h is a step of the field x' = f(x) - x. In a pre-norm layer f(x) - x is the sum a + m of what attention and the
MLP add; a post-norm layer has no such sum, and f(x) - x is its field by definition [derived].

    symbol  meaning                                                      shape
    x       the stream of tokens that the layer receives                 b n d
    f       what the layer returns for it                                b n d
    v       a tangent at x; (I + h (Df - I)) v is where a step takes it   b n d
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from spinodal.errors import InputError
from spinodal.watch.record import validity
from spinodal.watch.stacks import Stack, plain_attention, received, sequence_first, tokens_of


@dataclass(frozen=True, eq=False)
class LayerMap:
    """f(x): a layer called on tokens [b n d], its other arguments as in one pass of its model.

    `place` says which argument the tokens are: a number, or a name. `turned` says that the layer takes [n b d].
    """

    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    place: int | str
    turned: bool = False

    def __call__(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        args, kwargs = list(self.args), dict(self.kwargs)
        given = x.transpose(0, 1) if self.turned else x
        if isinstance(self.place, int):
            args[self.place] = given
        else:
            kwargs[self.place] = given
        y = tokens_of(self.layer(*args, **kwargs))
        if y is None or y.shape != given.shape:
            raise InputError(f"{type(self.layer).__name__} returns no tokens of the shape that it received")
        return y.transpose(0, 1) if self.turned else y

    def step(self, x: Float[Tensor, "b n d"], h: float) -> Float[Tensor, "b n d"]:
        """x + h (f(x) - x)."""
        y = self(x)
        return y if h == 1 else x + h * (y - x)

    def tangent_step(
        self, x: Float[Tensor, "b n d"], v: Float[Tensor, "b n d"], h: float
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n d"]]:
        """(x + h (f(x) - x), v + h (Df v - v)), by forward differentiation."""
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no forward derivative
            y, dy = torch.func.jvp(self, (x,), (v,))[:2]
        return (y, dy) if h == 1 else (x + h * (y - x), v + h * (dy - v))

    def double(self) -> "LayerMap":
        """The same map in double precision; its layer is a copy."""
        args, kwargs = (_double(part) for part in (self.args, dict(self.kwargs)))
        return replace(self, layer=copy.deepcopy(self.layer).double(), args=args, kwargs=kwargs)


def _double(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(map(_double, value))
    return {name: _double(part) for name, part in value.items()} if isinstance(value, dict) else value


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """The layers of one pass: the map of every call, what each received [b n d], and which tokens are there [b n]."""

    maps: tuple[LayerMap, ...]
    received: tuple[Float[Tensor, "b n d"], ...]
    valid: Bool[Tensor, "b n"]


@torch.no_grad()
def layer_maps(model: nn.Module, inputs: Mapping[str, Any], stack: Stack) -> LayerMaps:
    """The layers of a stack as maps, from one pass of the model on these inputs, without a cache.

    InputError where a layer is called with no tokens.
    """
    calls: list[tuple[nn.Module, tuple, dict]] = []

    def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
        calls.append((module, args, kwargs))

    training = model.training
    hooks = [
        module.register_forward_pre_hook(note, with_kwargs=True) for module in dict.fromkeys(stack.modules)
    ]
    try:
        with plain_attention(), _without_cache(model):
            model.eval()(**inputs)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    tokens = [received(args, kwargs) for _, args, kwargs in calls]
    if not tokens or any(x is None for x in tokens):
        raise InputError(f"{stack.name}: a layer was called with no tokens [b n d]")
    shown = [x for x in tokens if x is not None]
    turned = sequence_first(model, inputs, stack, tuple(shown[0].shape))
    own = [x.transpose(0, 1) if turned else x for x in shown]
    maps = tuple(
        LayerMap(module, args, _plain(kwargs), _place(args, kwargs, x), turned)
        for (module, args, kwargs), x in zip(calls, shown, strict=True)
    )
    return LayerMaps(maps, tuple(x.clone() for x in own), validity(model, inputs, stack, own[0][None]))


def _place(args: Sequence[Any], kwargs: Mapping[str, Any], tokens: Tensor) -> int | str:
    """Which argument is `tokens`."""
    found = next((i for i, value in enumerate(args) if value is tokens), None)
    return found if found is not None else next(name for name, value in kwargs.items() if value is tokens)


def _plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without a cache, which would grow with every call."""
    return {name: None if hasattr(value, "get_seq_length") else value for name, value in kwargs.items()}


@contextmanager
def _without_cache(model: nn.Module) -> Iterator[None]:
    config: Any = getattr(model, "config", None)
    was = getattr(config, "use_cache", None)
    if was is not None:
        config.use_cache = False
    try:
        yield
    finally:
        if was is not None:
            config.use_cache = was
