r"""The cache of a decoder: one state a block, with the interface that transformers' `generate` calls.

Linear mixers have states of constant size, so token 32,000 costs what token 10 does; attention's
grows by its keys and values. Beam search reorders, resets and measures it through transformers' interface.
A mask of valid tokens is kept beside the states: padding takes no position.
"""

import copy
import hashlib
import weakref
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin

from spinodal.errors import InputError
from spinodal.mixers.base import State, reorder_state, sequence_count, state_size
from spinodal.mixers.ops.tracing import traced


class BlockState(CacheLayerMixin):
    """The state of one block, and how many tokens it has seen."""

    def __init__(self, *, croppable: bool = False):
        super().__init__()
        self.is_croppable = croppable  # whether it can forget its last tokens
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


def fingerprint(decoder: nn.Module) -> str:
    """A hash of the names, shapes and first numbers of all parameters, to identify a saved cache's model."""
    found = hashlib.sha256()
    for name, parameter in decoder.named_parameters():
        few = parameter.detach().flatten()[:4].double().cpu().tolist()
        found.update(f"{name}{tuple(parameter.shape)}{few}".encode())
    return found.hexdigest()


class StateCache(Cache):
    """The states of all blocks of one decoder; only that decoder can continue from them."""

    layers: list[BlockState]
    _is_user_defined: bool = False  # whether `generate` was given it, and leaves it whole at the end

    def __init__(self, decoder: nn.Module, depth: int, *, croppable: bool = False):
        super().__init__(layers=[BlockState(croppable=croppable) for _ in range(depth)])
        self.owner: Any = weakref.ref(decoder)
        self.weights = ""  # the owner's fingerprint, where this cache was read from a file
        self.there: Bool[Tensor, "b m"] | None = None  # which tokens are no padding, None: all
        self.offset: Int[Tensor, " b"] | None = None  # of the positions that the caller gave, if any

    def __getstate__(self) -> dict[str, Any]:
        owner = self.owner()
        return vars(self) | {"owner": None, "weights": fingerprint(owner) if owner else self.weights}

    def __setstate__(self, state: dict[str, Any]):
        vars(self).update(state)
        self.owner = lambda: None

    def __deepcopy__(self, memo: dict) -> "StateCache":
        other = object.__new__(type(self))
        vars(other).update(copy.deepcopy(vars(self) | {"owner": None}, memo) | {"owner": self.owner})
        return other

    def require(self, decoder: nn.Module, sequences: int) -> None:
        """InputError where this is the cache of another model, or holds another number of sequences."""
        if self.weights and self.weights == fingerprint(decoder):
            self.owner, self.weights = weakref.ref(decoder), ""
        if self.owner() is not decoder:
            raise InputError("cache belongs to another model; start with cache=None")
        held = next((sequence_count(layer.state) for layer in self.layers if layer.state is not None), None)
        if held not in (None, sequences):
            raise InputError(f"cache holds {held} sequences, and {sequences} are given")

    def place(
        self, offset: Int[Tensor, " b"] | None, x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None
    ) -> None:
        """Records which of the tokens x are valid; InputError where positions do not continue the cache's."""
        seen = self.layers[0].seen
        before = x.new_zeros(x.shape[0], dtype=torch.long) + seen if self.there is None else self.there.sum(1)
        if offset is not None:
            now = offset - before
            some = x.new_ones(x.shape[0], dtype=torch.bool) if valid is None else valid.any(1)
            if seen and not traced():
                usual = (now == 0) | (now == seen - before)
                if bool(((now != self.offset if self.offset is not None else ~usual) & some).any()):
                    raise InputError("position_ids do not go on from those of the cache")
            self.offset = now
        if valid is not None and self.there is None:
            self.there = valid.new_ones(x.shape[0], seen)
        if self.there is not None:
            new = self.there.new_ones(x.shape[:2]) if valid is None else valid
            self.there = torch.cat([self.there, new], 1)

    def advance(self, tokens: int) -> None:
        """Adds to the count of tokens, all valid, where the states were advanced by other code."""
        for layer in self.layers:
            layer.seen += tokens
        if self.there is not None:
            self.there = torch.cat([self.there, self.there.new_ones(self.there.shape[0], tokens)], 1)

    def state_size(self) -> int:
        """How many numbers the states hold for each sequence."""
        return sum(state_size(layer.state) for layer in self.layers if layer.state is not None)

    def reset(self) -> None:
        super().reset()
        self.there = self.offset = None

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Makes sequence i the former sequence beam_idx[i]; the number of sequences may change."""
        for layer in self.layers:
            layer.reorder_cache(beam_idx)
        for name in ("there", "offset"):
            held = getattr(self, name)
            if held is not None:
                setattr(self, name, held.index_select(0, beam_idx.to(held.device)))

    def sequences(self) -> int:
        """How many sequences are held, 0 before the first."""
        held = (sequence_count(layer.state) for layer in self.layers if layer.state is not None)
        return next((count for count in held if count is not None), 0)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeats every sequence `repeats` times, copies side by side."""
        self.reorder_cache(torch.arange(self.sequences()).repeat_interleave(repeats))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps the sequences of these indices, or of a boolean mask, alone."""
        chosen = indices.nonzero()[:, 0] if indices.dtype == torch.bool else indices
        self.reorder_cache(chosen)

    def crop(self, tokens: int) -> None:
        """Forgets the last -tokens tokens, or keeps the first `tokens`; InputError where a state cannot forget."""
        seen = self.layers[0].seen
        keep = min(tokens, seen) if tokens > 0 else max(seen + tokens, 0)
        decoder = self.owner()
        if decoder is None:
            raise InputError(
                "this cache was read from a file: give it to its model once before it is cropped"
            )
        if keep == seen:
            return
        for block, layer in zip(decoder.blocks, self.layers, strict=True):
            layer.state = block.crop(layer.state, keep)
            layer.seen = keep
        if self.there is not None:
            self.there = self.there[:, :keep]
