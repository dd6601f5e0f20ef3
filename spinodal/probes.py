"""Probes: the tokens of a model, layer by layer, as a `Trajectory`.

A hook on each layer keeps what that layer returned, so that neither the model nor its own idea
of 'hidden states' (which may be normalised, or shifted by one) stands between.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from spinodal.types import Trajectory


@torch.no_grad()
def record(model: nn.Module, inputs: Mapping[str, Tensor], *, layers: Sequence[nn.Module]) -> Trajectory:
    """The residual stream before the first layer and after each one: times 0, 1, ..., len(layers).

    Runs the model once, in evaluation mode; `attention_mask` [b n] among the inputs says which
    tokens are there. Layers take tokens first and return them, or a tuple that starts with them.
    """
    stream: list[Tensor] = []

    def before(module: nn.Module, args: tuple):
        stream.append(args[0])

    def after(module: nn.Module, args: tuple, output: Tensor | tuple):
        stream.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layers[0].register_forward_pre_hook(before)]
    hooks += [layer.register_forward_hook(after) for layer in layers]
    training = model.training
    try:
        model.eval()(**inputs)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    tokens = torch.stack(stream)
    mask = inputs.get("attention_mask")
    valid = torch.ones(tokens.shape[1:3], dtype=torch.bool) if mask is None else mask.bool().cpu()
    return Trajectory(torch.arange(len(stream), dtype=tokens.dtype), tokens.cpu(), valid)
