"""A layer of every class of `spinodal.layers` with its inputs, and three steps of training it in plain PyTorch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from spinodal import layers

WIDTH, TOKENS, SOURCE = 16, 8, 6
OPTIONS = {"heads": 2, "length": TOKENS, "source_length": SOURCE, "hidden": 32, "phases": 3}
CLASSES = [name for name in layers.__all__ if name not in ("Layer", "CrossLayer", "mixer_layer")]


def build_layer(name: str, *, causal: bool = False) -> nn.Module:
    """The layer of this class at a small size, with the same weights at every call."""
    kind = getattr(layers, name)
    takes = kind.__init__.__annotations__
    options = {key: value for key, value in OPTIONS.items() if key in takes}
    torch.manual_seed(0)
    return kind(WIDTH, **options, **({"causal": True} if causal and "causal" in takes else {}))


def inputs_of(layer: nn.Module, *, samples: int = 4) -> tuple[Tensor, ...]:
    """Tokens, and a source where the layer reads one."""
    torch.manual_seed(1)
    x, source = torch.randn(samples, TOKENS, WIDTH), torch.randn(samples, SOURCE, WIDTH)
    return (x, source) if isinstance(layer, layers.CrossLayer) else (x,)


def train_layer(layer: nn.Module, inputs: tuple[Tensor, ...], call: Callable[..., Tensor]) -> list[Tensor]:
    """The losses of three steps, and last the gradient of the third; `call` is the layer, or what wraps it."""
    optimizer, losses = torch.optim.SGD(layer.parameters(), lr=0.1), []
    for _ in range(3):
        optimizer.zero_grad()
        loss = (call(*inputs).float() - inputs[0].roll(1, 1)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return [*losses, torch.cat([p.grad.flatten() for p in layer.parameters() if p.grad is not None])]
