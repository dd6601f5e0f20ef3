"""Pairs as tokens: what an encoder-decoder reads, and what it is to write.

    input_ids       [m]  the source's tokens, <eos>, then <pad>
    attention_mask  [m]  1 on the source and its <eos>
    labels          [n]  the target's tokens, <eos>, then -100

m and n are the same for every pair, as a mixer of fixed length needs; `trim_padding` makes batches as
short as their longest pair, for one that does not. By Hugging Face's convention the model makes
its decoder's input of the labels, shifted right behind <bos>.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from spinodal.data.pairs import Pairs
from spinodal.data.samples import UNSELECTED, Samples, refuse_length
from spinodal.data.tokenizers import closing_token, encodings
from spinodal.errors import InputError

AT_ONCE = 512  # texts that are tokenised together


class PairWindows(Samples):
    """Item i is the pair `pairs`[i]; pairs too long for the two lengths are left out, with a warning.

    InputError if all are. Nothing is random: `set_epoch` changes nothing.
    """

    def __init__(
        self,
        pairs: Pairs,
        tokenizer: PreTrainedTokenizerBase,
        *,
        source_length: int = 64,
        target_length: int = 64,
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
                for ids in encodings(tokenizer, texts[start : start + AT_ONCE])
            ]
            for texts in (pairs.sources, pairs.targets)
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
    pairs: Pairs, tokenizer: PreTrainedTokenizerBase, *, source_length: int = 64, target_length: int = 64
) -> tuple[PairWindows, PairWindows, PairWindows]:
    """(training, validation, test) of `Pairs.split`."""
    training, validation, test = (
        PairWindows(part, tokenizer, source_length=source_length, target_length=target_length)
        for part in pairs.split()
    )
    return training, validation, test


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
