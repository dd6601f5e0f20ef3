"""Masked language modelling: contexts of a stream of tokens, some positions hidden [devlin2019].

The masks are a function of (seed, epoch, index) alone: the counter-based generator Philox, with
key (seed, epoch) and the index in its counter. So neither the number of workers, nor the order
of the batches, nor a resumption can change them, and the masks of one step can be drawn again.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from spinodal.data.corpora import Corpus
from spinodal.data.tokenizers import token_stream
from spinodal.errors import InputError

UNSELECTED = -100  # the label that torch's cross-entropy leaves out


@dataclass(frozen=True)
class Masking:
    """Contexts of `length` tokens, of which each is selected with probability `fraction`."""

    length: int = 128
    fraction: float = 0.15
    seed: int = 0

    def __post_init__(self):
        if not 2 <= self.length <= 2**24:
            raise InputError(f"a context of {self.length} tokens: it takes from 2 to {2**24}")
        if not 0 < self.fraction <= 1:
            raise InputError(
                f"a masked fraction of {self.fraction}: it lies above 0 and is at most 1 (BERT: 0.15)"
            )
        if not 0 <= self.seed < 2**63:
            raise InputError(f"the seed {self.seed}: it takes from 0 to {2**63 - 1}")


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Random numbers that belong to one sample of one epoch: Philox_(seed, epoch)(index)."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, index]))


def masked(
    tokens: Int64[np.ndarray, " n"],
    random: np.random.Generator,
    *,
    mask: int,
    ordinary: Int64[np.ndarray, " _"],
    fraction: float = 0.15,
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """(input, labels): each position selected with P = fraction; it turns into `mask` with P = 0.8,
    into any of the `ordinary` tokens with 0.1, and stays with 0.1 [devlin2019, section 3.1].

    Labels are the tokens where selected, else UNSELECTED. Where none is selected, the one that came
    nearest is: every sample has a loss. Any position can be selected, the end of a document too.
    """
    u = random.random(tokens.size)
    selected = np.flatnonzero(u <= max(fraction, u.min()))
    fate = random.random(selected.size)
    swapped = selected[fate >= 0.9]
    inputs, labels = tokens.copy(), np.full_like(tokens, UNSELECTED)
    labels[selected] = tokens[selected]
    inputs[selected[fate < 0.8]] = mask
    inputs[swapped] = ordinary[random.integers(ordinary.size, size=swapped.size)]
    return inputs, labels


class MaskedWindows(Dataset):
    """The stream cut into contexts side by side; what is left at its end, short of one, is dropped.

    Item i is {"input_ids", "labels"}, masked by (seed, epoch, i). `frozen` keeps the masks of epoch
    0 whatever `set_epoch` is told, for a validation that is the same each time: accelerate's
    loaders tell any set a new epoch at each pass.
    """

    def __init__(
        self,
        tokens: Int32[np.ndarray, " m"],
        tokenizer: PreTrainedTokenizerBase,
        masking: Masking,
        *,
        frozen: bool = False,
    ):
        if tokens.size < masking.length:
            raise InputError(
                f"{tokens.size} tokens do not fill one context of {masking.length}: take a length of at most "
                f"{tokens.size}, or more text"
            )
        mask = tokenizer.mask_token_id
        if not isinstance(mask, int):
            raise InputError("the tokenizer has no mask token")
        self.tokens, self.masking, self.frozen = tokens, masking, frozen
        self.mask = mask
        self.ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        # shared, so that workers that outlive an epoch hear of the next one
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draws the masks of that epoch from now on.

        accelerate calls this by itself only in a run of one process that was not resumed (its
        `DataLoaderShard.set_epoch` stops at a sampler that knows epochs): a trainer must call it.
        """
        if not self.frozen:
            self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self.tokens.size // self.masking.length

    def __getitem__(self, index: int) -> dict[str, Int64[Tensor, " n"]]:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        n, seed = self.masking.length, self.masking.seed
        window = self.tokens[index * n : (index + 1) * n].astype(np.int64)
        random = generator(seed, int(self._epoch), index)
        inputs, labels = masked(
            window, random, mask=self.mask, ordinary=self.ordinary, fraction=self.masking.fraction
        )
        return {"input_ids": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}


def masked_windows(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, masking: Masking
) -> tuple[MaskedWindows, MaskedWindows]:
    """(training, validation) of `Corpus.split`; the validation's masks never change."""
    windows = []
    for part, frozen in zip(corpus.split(), (False, True), strict=True):
        try:
            windows.append(MaskedWindows(token_stream(part, tokenizer), tokenizer, masking, frozen=frozen))
        except InputError as error:
            raise InputError(f"{part.name}: {error}") from None
    return windows[0], windows[1]
