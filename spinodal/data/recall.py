"""Associative recall: sequences of keys and values, in which the value of a repeated key is to be predicted.

    key value  key value  ...  filler filler  key value  filler filler  key value

First come all pairs of key and value; then, at random places of the rest, every key once more, in
another order, and the value after it is to be predicted. So `pairs` sets how much must be remembered,
and `length` for how long. Keys are drawn without repetition and values with it.

    token  0       1 .. keys    keys + 1 .. keys + values
           filler  keys         values
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from spinodal.data.samples import UNSELECTED, Samples, generator, refuse_length, refuse_seed
from spinodal.errors import InputError

HELD_OUT = 2**63  # the epoch of the validation, which no training reaches


@dataclass(frozen=True)
class Recall:
    """Contexts of `length` tokens with `pairs` pairs, length >= 4 pairs."""

    length: int = 128
    pairs: int = 16
    keys: int = 64  # different ones
    values: int = 64  # different ones
    seed: int = 0  # of what is drawn for each context

    def __post_init__(self):
        refuse_length(self.length)
        if not 1 <= self.pairs <= self.length // 4:
            raise InputError(
                f"pairs={self.pairs}: a context of {self.length} tokens shows and asks from 1 to "
                f"{self.length // 4} pairs"
            )
        if self.keys < self.pairs:
            raise InputError(f"keys={self.keys}: {self.pairs} pairs take as many different keys")
        if self.values < 2:
            raise InputError(f"values={self.values}: with less than 2 there is nothing to recall")
        refuse_seed(self.seed)

    @property
    def vocabulary(self) -> int:
        return 1 + self.keys + self.values


def recall_sample(
    recall: Recall, random: np.random.Generator
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """(input [n], labels [n]): labels are at the positions of the answers, for a model that shifts them.

    The loss of a uniform guess is log(values), that of a perfect model 0.
    """
    p = recall.pairs
    keys = 1 + random.permutation(recall.keys)[:p]
    values = 1 + recall.keys + random.integers(recall.values, size=p)
    tokens = np.zeros(recall.length, dtype=np.int64)
    tokens[: 2 * p] = np.stack([keys, values], axis=1).ravel()
    slots = 2 * p + 2 * np.sort(random.permutation(recall.length // 2 - p)[:p])
    asked = random.permutation(p)
    tokens[slots], tokens[slots + 1] = keys[asked], values[asked]
    labels = np.full_like(tokens, UNSELECTED)
    labels[slots + 1] = values[asked]
    return tokens, labels


class RecallWindows(Samples):
    """Item i is {"input_ids", "labels"}, drawn by (seed, epoch, i); a frozen set by (seed, HELD_OUT, i)."""

    def __init__(self, recall: Recall, count: int, *, frozen: bool = False):
        if count < 1:
            raise InputError(f"{count} samples: it takes at least 1")
        super().__init__(count, seed=recall.seed, frozen=frozen)
        self.recall, self.length = recall, recall.length

    def sample(self, index: int) -> dict[str, Int64[np.ndarray, " n"]]:
        epoch = HELD_OUT if self.frozen else self.epoch
        tokens, labels = recall_sample(self.recall, generator(self.seed, epoch, index))
        return {"input_ids": tokens, "labels": labels}


def recall_windows(
    recall: Recall, *, training: int = 16_384, validation: int = 512
) -> tuple[RecallWindows, RecallWindows]:
    """(training, validation): training samples are new in every epoch, validation samples always the same."""
    return RecallWindows(recall, training), RecallWindows(recall, validation, frozen=True)
