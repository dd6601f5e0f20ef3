r"""Record: hooks on the layers keep what each received and returned.

The model's own `hidden_states`, which may be normalised or shifted by one layer, are not used. Views, which
must not be confused:

    view       frame k                                                          frames
    residual   the residual stream before layer k; the last, after all layers   layers + 1
    read       what the attention of layer k reads: after its norm, if any      layers
    attention  what the attention of layer k adds to the stream                 layers
    mlp        what the MLP of layer k adds to the stream                       layers

In a post-norm layer (BERT, ALBERT) the stream is itself normalised, and `read` is the residual view without its last
frame. `read` is the input of the first linear map of the first attention module that a layer calls; in a decoder this
is self-attention. What attention and the MLP add is after any further norm or multiplier (`spinodal.watch.additions`).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.types import Trajectory
from spinodal.watch.additions import ATTENTION, MLP, Additions, is_norm
from spinodal.watch.stacks import (
    Stack,
    continues,
    one_stack,
    plain_attention,
    received,
    sequence_first,
    tokens_of,
)

VIEWS = ("residual", "read", "attention", "mlp")
Keep = Callable[[Tensor | None], None]


def record(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    *,
    layers: Sequence[nn.Module] | str | None = None,
    view: str = "residual",
    valid: Bool[Tensor, "b n"] | None = None,
) -> Trajectory:
    """A view of the tokens through the layers, the model run once in evaluation mode; times are 0, 1, ...

    `layers` are the modules themselves, or (part of) the name of their list; if not given the longest stack. A layer
    called again, as in tied models, gives a frame for each call. Masks among the inputs say which tokens are
    there, unless `valid` does. InputError names the layer whose tokens are not finite.

    >>> import torch
    >>> from spinodal import watch
    >>> layers = [torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3)]
    >>> model = torch.nn.Sequential(*layers)
    >>> trajectory = watch.record(model, {"input": torch.randn(1, 5, 8)}, layers=layers)
    >>> trajectory.times.tolist(), list(trajectory.tokens.shape)
    ([0.0, 1.0, 2.0, 3.0], [4, 1, 5, 8])
    """
    if layers is None or isinstance(layers, str):
        stack = one_stack(model, inputs, layers)
    else:
        stack = Stack("layers", tuple(layers), len(layers))
    return recording(model, inputs, stack, view=view, valid=valid)[0]


@torch.no_grad()
def recording(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    stack: Stack,
    *,
    view: str = "residual",
    valid: Bool[Tensor, "b n"] | None = None,
) -> tuple[Trajectory, Any]:
    """(trajectory, the model's output): `record` for a stack that is known."""
    if view not in VIEWS:
        raise InputError(f"view {view!r}: one of {', '.join(VIEWS)}")
    frames: list[Tensor] = []

    def keep(tokens: Tensor | None):
        name = f"{stack.name}, frame {len(frames)}"
        if tokens is None:
            raise InputError(f"{name}: no tokens [b n d] came by")
        if frames and tokens.shape != frames[0].shape:
            shapes = tuple(frames[0].shape), tuple(tokens.shape)
            raise InputError(f"{name}: tokens of shape {shapes[1]} after {shapes[0]}: not one flow of tokens")
        frames.append(tokens.detach().to("cpu", copy=True))  # layers may add in place

    training = model.training
    with ExitStack() as hooks:
        hooks.callback(model.train, training)
        hooks.enter_context(plain_attention())
        if view in (ATTENTION, MLP):
            watch_additions(hooks, stack, view, keep)
        else:
            for module in dict.fromkeys(stack.modules):
                _watch(hooks, module, stack.name, view, frames, keep)
        output = model.eval()(**inputs)
        if not frames:
            raise InputError(f"{stack.name}: a pass of {type(model).__name__} calls none of these layers")
    turned = sequence_first(model, inputs, stack, tuple(frames[0].shape))
    tokens = torch.stack(frames)
    tokens = tokens.transpose(1, 2) if turned else tokens
    tokens = tokens if tokens.dtype in (torch.float32, torch.float64) else tokens.float()
    mask = validity(model, inputs, stack, tokens) if valid is None else valid.cpu()
    _finite(tokens, mask, stack)
    return Trajectory(torch.arange(len(frames), dtype=tokens.dtype), tokens, mask), output


def _watch(hooks: ExitStack, layer: nn.Module, name: str, view: str, frames: list[Tensor], keep: Keep):
    """Registers the hooks of one layer, to be removed when `hooks` closes."""

    def before(module: nn.Module, args: tuple, kwargs: dict):
        tokens = received(args, kwargs)
        if not frames:
            keep(tokens)
        elif tokens is None or not continues(frames[-1], tokens.detach().cpu()):
            raise InputError(
                f"{name}: layer {len(frames)} does not receive what layer {len(frames) - 1} returned: these modules "
                f"are not layers that follow one another"
            )

    def after(module: nn.Module, args: tuple, output: Any):
        keep(tokens_of(output))

    if view == "residual":
        hooks.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
        hooks.callback(layer.register_forward_hook(after).remove)
    else:
        _watch_reading(hooks, layer, keep)


def _watch_reading(hooks: ExitStack, layer: nn.Module, keep: Keep):
    attention = self_attention(layer)
    passing: list[Tensor] = []

    def linear(module: nn.Module, args: tuple, output: Any):
        if (tokens := tokens_of(args[0])) is not None:  # not heads apart, as WavLM's gate reads them
            passing.append(tokens)

    def leave(module: nn.Module, args: tuple, output: Any):
        keep(passing[0] if passing else None)
        passing.clear()

    for module in attention.modules():
        if is_linear(module):
            hooks.callback(module.register_forward_hook(linear).remove)
    hooks.callback(attention.register_forward_hook(leave).remove)


def watch_additions(hooks: ExitStack, stack: Stack, view: str, keep: Keep):
    """Registers hooks of all layers that call `keep` with what attention or the MLP adds to the stream."""
    additions = Additions()

    def enter(module: nn.Module, args: tuple, kwargs: dict):
        additions.enter(received(args, kwargs))

    def leave(module: nn.Module, args: tuple, output: Any):
        tokens = tokens_of(output)
        try:
            keep(None if tokens is None else additions.terms(tokens)[view])
        except InputError as error:
            raise InputError(f"{stack.name}, view {view}: {type(module).__name__}: {error}") from None
        finally:
            additions.enter(None)

    for layer in dict.fromkeys(stack.modules):
        hooks.callback(layer.register_forward_pre_hook(enter, with_kwargs=True).remove)
        hooks.callback(layer.register_forward_hook(leave).remove)
        attention = self_attention(layer)
        for module in (attention, *filter(is_linear, attention.modules())):
            attended = module.register_forward_hook(lambda m, args, output: additions.attended(output))
            hooks.callback(attended.remove)
        for module in filter(is_norm, layer.modules()):
            noted = module.register_forward_hook(lambda m, args, output: additions.normed(args, output))
            hooks.callback(noted.remove)
    hooks.enter_context(additions)


def self_attention(layer: nn.Module) -> nn.Module:
    """The first module of a layer with "att" in its name and linear maps in it; InputError without one."""
    for name, module in layer.named_modules():
        called = f"{name.rpartition('.')[2]} {type(module).__name__}".lower()
        if name and "att" in called and any(map(is_linear, module.modules())):
            return module
    raise InputError(
        f"{type(layer).__name__} has no attention with linear maps: only the residual view is there to be seen"
    )


def is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def validity(
    model: nn.Module, inputs: Mapping[str, Tensor], stack: Stack, tokens: Tensor
) -> Bool[Tensor, "b n"]:
    """The mask [b n] that is True on real tokens, from the inputs' mask of the stack; all True without one.

    What a model appends to fill its windows is padding. A mask over finer steps (frames of sound before a
    convolution) is read at every k-th of them, or through the model's own rule where it has one. InputError
    for a mask of another length.
    """
    b, n = tokens.shape[1:3]
    own = "decoder_attention_mask" if _decodes(inputs, stack) else "attention_mask"
    mask = inputs.get(own)
    if mask is None and (padding := inputs.get("src_key_padding_mask")) is not None:
        own, mask = "src_key_padding_mask", (padding == 0)  # torch's: True, or -inf, is padding
    if mask is None:
        return torch.ones(b, n, dtype=torch.bool)
    if mask.shape[-1] != n and (rule := getattr(model, "_get_feature_vector_attention_mask", None)):
        mask = rule(n, mask)
    if mask.ndim == 2 and mask.shape[-1] < n and _pads(model):
        mask = torch.nn.functional.pad(mask, (0, n - mask.shape[-1]))
    if mask.ndim != 2 or mask.shape[-1] % n:
        raise InputError(f"{own} is {tuple(mask.shape)}, tokens of {stack.name} are {(b, n)}: give `valid`")
    return mask[:, :: mask.shape[-1] // n].bool().cpu()


def _pads(model: nn.Module) -> bool:
    """Whether a model pads texts on the right to whole windows or blocks, as Longformer and BigBird do."""
    config = getattr(model, "config", None)
    return any(getattr(config, name, None) for name in ("attention_window", "block_size"))


def _decodes(inputs: Mapping[str, Tensor], stack: Stack) -> bool:
    return "decoder" in stack.name and any(name.startswith("decoder_input") for name in inputs)


def _finite(tokens: Tensor, mask: Bool[Tensor, "b n"], stack: Stack):
    wrong = ~tokens.isfinite().all(-1) & mask
    if wrong.any():
        frame, sequence, token = wrong.nonzero()[0].tolist()
        place = "what enters the first layer" if frame == 0 else f"what layer {frame} returns"
        raise InputError(
            f"{stack.name}: {place} is not finite (frame {frame}, token {token} of sequence {sequence})"
        )
