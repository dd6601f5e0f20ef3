"""Pairs as tokens: the inputs of an encoder-decoder, and its labels.

    input_ids       [m]  the source's tokens, <eos>, then <pad>
    attention_mask  [m]  1 on the source and its <eos>
    labels          [n]  the target's tokens, <eos>, then -100

m and n are the same for every pair, as a mixer of fixed length needs; `trim_padding` makes batches as
short as their longest pair, for one that does not. By Hugging Face's convention the model makes
its decoder's input of the labels, shifted right behind <bos>.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase

from spinodal.data.pairs import Pairs
from spinodal.data.samples import UNSELECTED, Samples, generator, refuse_length
from spinodal.data.tokenizers import closing_token, encodings
from spinodal.errors import InputError

AT_ONCE = 512  # texts that are tokenised together
ORDER = 2**62  # the index of the random numbers that order an epoch: no sample has it


class PairWindows(Samples):
    """Item i is the pair `pairs`[i]; pairs too long for the two lengths are left out, with a warning.

    Targets are tokens of `target_tokenizer`, of the same vocabulary, where there is one. InputError if all are too
    long. Nothing is random: `set_epoch` changes nothing.
    """

    def __init__(
        self,
        pairs: Pairs,
        tokenizer: PreTrainedTokenizerBase,
        *,
        source_length: int = 64,
        target_length: int = 64,
        target_tokenizer: PreTrainedTokenizerBase | None = None,
    ):
        refuse_length(source_length)
        refuse_length(target_length)
        closing = closing_token(tokenizer)
        if not isinstance(tokenizer.pad_token_id, int):
            raise InputError("the tokenizer has no padding token")
        self.pad = tokenizer.pad_token_id
        sources, targets = (
            [
                np.array([*ids, closing], dtype=np.int32)
                for start in range(0, len(texts), AT_ONCE)  # tokens as Python integers take much memory
                for ids in encodings(encoder, texts[start : start + AT_ONCE])
            ]
            for texts, encoder in ((pairs.sources, tokenizer), (pairs.targets, target_tokenizer or tokenizer))
        )
        m = np.array([len(ids) for ids in sources])
        n = np.array([len(ids) for ids in targets])
        kept = np.flatnonzero((m <= source_length) & (n <= target_length))
        if kept.size < len(pairs):
            told = (
                f"{len(pairs) - kept.size} of the {len(pairs)} pairs of {pairs.name} do not fit into "
                f"{source_length} tokens read and {target_length} written"
            )
            if not kept.size:
                raise InputError(f"{told}: the shortest take {m.min()} and {n.min()}")
            warnings.warn(f"{told}: left out; all would take {m.max()} and {n.max()}", stacklevel=2)
        super().__init__(kept.size)
        self.pairs = pairs.subset(pairs.name, kept)
        self.source_length, self.target_length = source_length, target_length
        self.sources = _table([sources[i] for i in kept], source_length)
        self.targets = _table([targets[i] for i in kept], target_length)

    @property
    def mean_tokens(self) -> float:
        """The mean number of tokens of a source and its target, padding left out."""
        return float(sum((table != UNSELECTED).sum() for table in (self.sources, self.targets)) / len(self))

    def sample(self, index: int) -> dict[str, Int64[np.ndarray, " _"]]:
        source, target = self.sources[index].astype(np.int64), self.targets[index].astype(np.int64)
        valid = source != UNSELECTED
        return {
            "input_ids": np.where(valid, source, self.pad),
            "attention_mask": valid.astype(np.int64),
            "labels": target,
        }


def _table(rows: list[Int32[np.ndarray, " _"]], width: int) -> Int32[np.ndarray, "k {width}"]:
    table = np.full((len(rows), width), UNSELECTED, dtype=np.int32)
    for row, ids in zip(table, rows, strict=True):
        row[: len(ids)] = ids
    return table


def pair_windows(
    parts: tuple[Pairs, Pairs, Pairs],
    tokenizer: PreTrainedTokenizerBase,
    *,
    source_length: int = 64,
    target_length: int = 64,
    target_tokenizer: PreTrainedTokenizerBase | None = None,
) -> tuple[PairWindows, PairWindows, PairWindows]:
    """Windows of training, validation and test pairs, such as those of `Pairs.split`."""
    training, validation, test = (
        PairWindows(
            part, tokenizer, source_length=source_length, target_length=target_length,
            target_tokenizer=target_tokenizer,
        )
        for part in parts
    )  # fmt: skip
    return training, validation, test


class LengthBuckets(Sampler[int]):
    """The pairs of an epoch in steps of `step` pairs of about one length, the steps in random order.

    A permutation by (seed, epoch) is cut into buckets of `steps` x `step` pairs, each of which is sorted by
    length and cut into steps, so that batches hold little padding; pairs that fill no step are left out. The
    order is a function of the seed and of the pairs' epoch, and so the same in a resumed run.
    """

    def __init__(self, windows: PairWindows, *, step: int, steps: int, seed: int = 0):
        self.windows, self.step, self.steps, self.seed = windows, step, steps, seed
        self.lengths = [(table != UNSELECTED).sum(1) for table in (windows.targets, windows.sources)]

    def __len__(self) -> int:
        return len(self.windows) // self.step * self.step

    def __iter__(self) -> Iterator[int]:
        random = generator(self.seed, self.windows.epoch, ORDER)
        order = random.permutation(len(self.windows))[: len(self)]
        parts = []
        for start in range(0, len(order), self.step * self.steps):
            bucket = order[start : start + self.step * self.steps]
            bucket = bucket[np.lexsort([lengths[bucket] for lengths in self.lengths])]
            parts += np.split(bucket, len(bucket) // self.step)
        for k in random.permutation(len(parts)):
            yield from parts[k].tolist()


def trim_padding(
    items: Sequence[dict[str, Int64[Tensor, " _"]]], *, multiple: int = 16
) -> dict[str, Int64[Tensor, "b _"]]:
    """A batch of pairs without the columns that are padding in all of them, up to a multiple of `multiple`.

    For `DataLoader(collate_fn=trim_padding)`. The lengths depend on the batch alone.
    """
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    longest = {
        "input_ids": int(batch["attention_mask"].sum(1).max()),
        "labels": int((batch["labels"] != UNSELECTED).sum(1).max()),
    }
    longest["attention_mask"] = longest["input_ids"]
    cuts = {name: -(-count // multiple) * multiple for name, count in longest.items()}
    return {name: values[:, : cuts[name]].contiguous() for name, values in batch.items()}
