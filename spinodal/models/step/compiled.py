r"""The compiled step of a decoder: the logits after a token, from the states that its cache holds.

    logits, states = step(token, states)        one call of machine code, where `forward` makes about a thousand

It computes what `SpinodalForCausalLM.forward` does, to rounding. Weights are read where they lie, and the program is
put together at every call of `generate`, so that a model that was trained on, or loaded anew, gives its own tokens.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spinodal.mixers.base import State
from spinodal.mixers.ops.tracing import traced
from spinodal.models.language import SpinodalForCausalLM
from spinodal.models.state_cache import StateCache
from spinodal.models.step.kernels import run
from spinodal.models.step.mixers import decode, require_class
from spinodal.models.step.program import NoProgramError, Program

HOOKS = "_forward_hooks", "_forward_pre_hooks", "_compiled_call_impl"  # that a call of a module would run
MOST = 3_000_000  # weights a block: read by one thread while `forward` does all but its products
OVERRIDES = {"forward", "__call__", "prepare_inputs_for_generation"}  # that a wrapper may put on an instance


def leaves(state: State) -> list[Tensor]:
    """The tensors of a state in their order."""
    return [leaf for part in state for leaf in (leaves(part) if isinstance(part, tuple) else [part])]


def refilled(state: State, values: Any) -> State:
    """A state of the same nested form, with tensors taken in order from the iterator `values`."""
    return tuple(refilled(part, values) if isinstance(part, tuple) else next(values) for part in state)


class Step:
    """The compiled decoder of one sequence: a call takes one token and returns the logits after it.

    NoProgramError where a part of the model has no compiled form.
    """

    cache: StateCache

    def __init__(self, model: SpinodalForCausalLM):
        require_class(model, SpinodalForCausalLM)
        program = Program()
        at, parts = decode(program, model.model, model.output)
        self.weights = program.weights
        self.vocabulary = min(model.output.out_features, model.model.embedding.num_embeddings)
        self.rows, self.memory = program.rows(), program.memory()
        self.logits = self.memory[at : at + model.output.out_features]
        places = iter(program.state)
        self.places = [[next(places) for _ in range(count)] for count in parts]

    def takes(self, cache: StateCache) -> bool:
        """Whether the states are those of one sequence, in float32, or none yet."""
        return all(
            layer.state is None
            or [None if place is None else place[1] for place in places]
            == [tensor.numel() if tensor.dtype == torch.float32 else None for tensor in leaves(layer.state)]
            for layer, places in zip(cache.layers, self.places, strict=True)
        )

    def begin(self, cache: StateCache) -> None:
        """Copies the states of a cache into the program's memory."""
        self.cache, self.taken, self.first = cache, 0, 0
        for layer, places in zip(cache.layers, self.places, strict=True):
            for tensor, place in zip(leaves(layer.state or ()), places, strict=True):
                if place is None:
                    self.first = int(tensor)
                else:
                    self.memory[place[0] : sum(place)] = tensor.flatten().numpy()

    def __call__(self, token: int) -> Float[np.ndarray, " v"]:
        """The logits after one token more, in an array that the next call overwrites."""
        if not 0 <= token < self.vocabulary:
            raise IndexError(f"token {token} is not one of the {self.vocabulary} that the model knows")
        run(self.rows, self.memory, token, self.first + self.taken)
        self.taken += 1
        return self.logits

    def store(self) -> None:
        """Writes the states after the tokens taken so far back into the cache."""
        for layer, places in zip(self.cache.layers, self.places, strict=True):
            after = [
                tensor + self.taken
                if place is None
                else torch.from_numpy(self.memory[place[0] : sum(place)].copy()).view(tensor.shape)
                for tensor, place in zip(leaves(layer.state or ()), places, strict=True)
            ]
            layer.state = refilled(layer.state or (), iter(after))
        self.cache.advance(self.taken)
        self.begin(self.cache)


def is_undisturbed(model: nn.Module) -> bool:
    """Whether a call of the model runs its own code alone: without hooks, wrappers, training or tracing."""
    watched = (
        torch.is_grad_enabled()
        or torch.is_autocast_enabled("cpu")
        or traced()
        or torch._C._len_torch_dispatch_stack()
        or nn.modules.module._has_any_global_hook()
    )
    return not watched and not any(
        module.training
        or any(getattr(module, name) for name in HOOKS)
        or not OVERRIDES.isdisjoint(vars(module))
        for module in model.modules()
    )


def compiled_step(model: SpinodalForCausalLM, cache: object) -> Step | None:
    """The compiled step of a model for a cache, None where it does not apply or is slower than `forward`."""
    if not isinstance(cache, StateCache) or not is_undisturbed(model):
        return None
    try:
        step = Step(model)
    except NoProgramError:
        return None
    wide = sum(weight.numel() for weight in step.weights) > MOST * (len(step.places) + 1)
    if wide and torch.get_num_threads() > 1:  # torch shares the products among threads
        return None
    return step if step.takes(cache) else None
