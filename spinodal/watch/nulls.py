"""Null models: the model without its training, and the model on tokens without their order.

random-weights   the same architecture as its own initialisation leaves it, on the same inputs
shuffled-tokens  the same model, on inputs whose tokens (frames of sound, patches of an image) are permuted
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spinodal.errors import InputError

SPREAD = 0.02  # of what an initialisation draws, where the configuration does not say


def random_weights(model: nn.Module, seed: int) -> nn.Module:
    """A model of the same class and configuration with random weights; torch's random state does not change.

    Its learned tokens (class tokens) that the initialisation leaves at zero are drawn like its other weights.

    A module without a configuration is copied, and its parts reset their parameters; InputError for a part
    that has parameters and no method to reset them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if (config := getattr(model, "config", None)) is not None:
            made = type(model)(copy.deepcopy(config))
            _draw_zero_tokens(made, getattr(config, "initializer_range", SPREAD) or SPREAD)
            return made.to(next(model.parameters()).dtype).eval()
        made = copy.deepcopy(model)
        for name, module in made.named_modules():
            own = list(module.parameters(recurse=False))
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if own and reset is None:
                raise InputError(
                    f"{name}, a {type(module).__name__}, cannot be reset: there is no random null of it"
                )
            if reset:
                reset()
        return made.eval()


@torch.no_grad()
def _draw_zero_tokens(model: nn.Module, spread: float) -> None:
    """Draws learned tokens that are zero (DeiT, BEiT, ViT-MAE), since zero has no direction."""
    for name, p in model.named_parameters():
        if "token" in name.rpartition(".")[2] and not p.any():
            p.normal_(0.0, spread)


def shuffle_tokens(
    inputs: Mapping[str, Any], seed: int, *, patch: int | None = None
) -> dict[str, Any] | None:
    """The inputs in another order; None where nothing is known to be in an order.

    Of ids all valid ones but the first and the last, which are marks of begin and end, are permuted; of features of
    sound the frames; of an image its patches, of side `patch`. The text of a decoder is permuted too.
    """
    generator = torch.Generator().manual_seed(seed)
    found = dict(inputs)
    for name, mask in (("input_ids", "attention_mask"), ("decoder_input_ids", "decoder_attention_mask")):
        if name in inputs:
            ids = inputs[name]
            found[name] = _ids(ids, inputs.get(mask, torch.ones_like(ids)).bool(), generator)
    if "input_features" in inputs:
        found["input_features"] = _frames(inputs["input_features"], inputs.get("attention_mask"), generator)
    if "pixel_values" in inputs and patch:
        found["pixel_values"] = _patches(inputs["pixel_values"], patch, generator)
    return found if any(found[name] is not inputs[name] for name in inputs) else None


def _ids(
    ids: Int[Tensor, "b n"], valid: Bool[Tensor, "b n"], generator: torch.Generator
) -> Int[Tensor, "b n"]:
    found = ids.clone()
    for row, there in zip(found, valid, strict=True):
        places = there.nonzero()[1:-1, 0]
        row[places] = row[places[torch.randperm(len(places), generator=generator)]]
    return found


def _frames(
    sound: Float[Tensor, "b k t"], mask: Tensor | None, generator: torch.Generator
) -> Float[Tensor, "b k t"]:
    found = sound.clone()
    for i, frames in enumerate(found):
        m = frames.shape[-1] if mask is None else int(mask[i].sum())
        frames[:, :m] = frames[:, torch.randperm(m, generator=generator)]
    return found


def _patches(
    images: Float[Tensor, "b k y x"], side: int, generator: torch.Generator
) -> Float[Tensor, "b k y x"]:
    b, k, y, x = images.shape
    cut = images.unflatten(3, (-1, side)).unflatten(2, (-1, side)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    for tiles in cut:
        tiles[:] = tiles[torch.randperm(len(tiles), generator=generator)]
    return cut.unflatten(1, (y // side, x // side)).permute(0, 3, 1, 4, 2, 5).reshape(b, k, y, x)
