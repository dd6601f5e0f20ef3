"""Samples that are functions of (seed, epoch, index) alone, and contexts cut from a stream of tokens.

What is random in a sample is drawn by the counter-based generator Philox, with key (seed, epoch)
and the index in its counter. So neither the number of workers, nor the order of the batches, nor a
resumption can change it, and the samples of one step can be drawn again.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from torch.utils.data import Dataset

from spinodal.data.shards import ShardedTokens
from spinodal.errors import InputError

Stream = Int32[np.ndarray, " _"] | ShardedTokens
JUDGED = 2**20  # tokens of a frozen set, about: contexts all along a stream of more
UNSELECTED = -100  # the label that torch's cross-entropy leaves out


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Random numbers that belong to one sample of one epoch: Philox_(seed, epoch)(index)."""
    key = np.array([seed, epoch], dtype=np.uint64)  # a list with 2^63 in it would be rounded to floats
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, index]))


def refuse_seed(seed: int) -> None:
    """InputError for a seed that is no key of the generator."""
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed {seed}: it takes from 0 to {2**63 - 1}")


def refuse_length(length: int) -> None:
    """InputError for a length of contexts that is too small to train on or too large for any memory."""
    if not 2 <= length <= 2**24:
        raise InputError(f"a context of {length} tokens: it takes from 2 to {2**24}")


class Samples(Dataset):
    """`count` samples, each a dictionary of tensors.

    `frozen` keeps epoch 0 whatever `set_epoch` is given, for a validation that is the same each
    time: accelerate's loaders set a new epoch at each pass.
    """

    def __init__(self, count: int, *, seed: int = 0, frozen: bool = False):
        refuse_seed(seed)
        self.count, self.seed, self.frozen = count, seed, frozen
        # shared, so that workers that outlive an epoch hear of the next one
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draws the samples of that epoch from now on.

        accelerate calls this by itself only in a run of one process that was not resumed (its
        `DataLoaderShard.set_epoch` stops at a sampler that knows epochs): a trainer must call it.
        """
        if not self.frozen:
            self._epoch.fill_(epoch)

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Int64[Tensor, " _"]]:
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}")
        return {name: torch.from_numpy(values) for name, values in self.sample(index).items()}

    def sample(self, index: int) -> dict[str, Int64[np.ndarray, " _"]]:
        """Sample `index` of this epoch."""
        raise NotImplementedError


class Contexts(Samples):
    """A stream of tokens cut into contexts of `length`, each `stride` after the one before it.

    What is left at the stream's end, short of a context, is dropped. A frozen set of more than JUDGED tokens
    has wider strides, so that the time of an evaluation does not grow with the stream.
    """

    def __init__(
        self,
        tokens: Stream,
        length: int,
        *,
        stride: int,
        seed: int = 0,
        frozen: bool = False,
    ):
        refuse_length(length)
        if tokens.size < length:
            raise InputError(
                f"{tokens.size} tokens do not fill one context of {length}: take a length of at most "
                f"{tokens.size}, or more text"
            )
        if frozen:
            stride = max(stride, (tokens.size - length) // max(1, JUDGED // length))
        super().__init__((tokens.size - length) // stride + 1, seed=seed, frozen=frozen)
        self.tokens, self.length, self.stride = tokens, length, stride

    def context(self, index: int, *, phase: int = 0) -> Int64[np.ndarray, " n"]:
        """tokens[phase + index stride + (0 .. length - 1)], the stream's end joined to its beginning."""
        places = phase + index * self.stride + np.arange(self.length)
        return self.tokens[places % self.tokens.size].astype(np.int64)


S = TypeVar("S", bound=Contexts)


def parts(
    name: str,
    streams: tuple[Stream, Stream],
    samples: Callable[[Stream, bool], S],
    *,
    length: int,
    batch: int = 1,
) -> tuple[S, S]:
    """(training, validation) of the tokens of both, the latter frozen, the former of at least `batch` contexts.

    InputError names the part that does not fill one context, or one batch, and the largest length that does.
    """
    sizes = [stream.size for stream in streams]
    most = min(sizes[0] // batch, *sizes)
    advice = f"take a length of at most {most}" if most >= 2 else "take another text"
    for part, stream in zip(("training", "validation"), streams, strict=True):
        if stream.size < length:
            alone = f" (for this part alone, of at most {stream.size})" if most < stream.size else ""
            raise InputError(
                f"{name} ({part} part): {stream.size} tokens do not fill one context of {length}: {advice}{alone}, "
                f"or more text"
            )
    training, validation = (
        samples(stream, frozen) for stream, frozen in zip(streams, (False, True), strict=True)
    )
    if len(training) < batch:
        raise InputError(
            f"{name} gives {len(training)} samples of {length} tokens, less than one batch of {batch}: "
            f"take a batch of at most {len(training)}, {advice.removeprefix('take ')}, or more text"
        )
    return training, validation
