r"""The cache of a decoder: one state a block, behind the interface of the library's `generate`.

Linear mixers have states of constant size, so token 32,000 costs what token 10 does; attention's
grows by its keys and values. Beams reorder, reset and measure it through the library's interface.
"""

import weakref
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, CacheLayerMixin

from spinodal.errors import InputError
from spinodal.mixers.base import State, reorder_state, sequence_count, state_size


class BlockState(CacheLayerMixin):
    """The state of one block, and how many tokens it has seen."""

    def __init__(self):
        super().__init__()
        self.state: State | None = None
        self.seen = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        raise InputError("a block's cache is a state, not keys and values: it cannot serve another model")

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs) -> Any:
        self.lazy_initialization(key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.seen + query_length, 0

    def get_seq_length(self) -> int:
        return self.seen

    def get_max_length(self) -> int:
        return -1

    def offload(self) -> None:
        raise InputError("this cache stays where the model is; its size does not grow with the text")

    def reset(self) -> None:
        self.state, self.seen = None, 0

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        if self.state is not None:
            self.state = reorder_state(self.state, beam_idx)


class StateCache(Cache):
    """The states of all blocks of one decoder, which alone can go on from them."""

    layers: list[BlockState]
    _is_user_defined: bool = False  # whether `generate` was given it, and leaves it whole at the end

    def __init__(self, decoder: nn.Module, depth: int):
        super().__init__(layers=[BlockState() for _ in range(depth)])
        self.owner = weakref.ref(decoder)

    def require(self, decoder: nn.Module, sequences: int) -> None:
        """InputError where this is the cache of another model or of other sequences: its states mean nothing here."""
        if self.owner() is not decoder:
            raise InputError("cache belongs to another model; start with cache=None")
        held = next((sequence_count(layer.state) for layer in self.layers if layer.state is not None), None)
        if held not in (None, sequences):
            raise InputError(f"cache holds {held} sequences, and {sequences} are given")

    def state_size(self) -> int:
        """How many numbers the states hold for each sequence."""
        return sum(state_size(layer.state) for layer in self.layers if layer.state is not None)
