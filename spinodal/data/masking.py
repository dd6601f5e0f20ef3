"""Masked language modelling: contexts of a stream of tokens, some positions hidden [devlin2019]."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from transformers import PreTrainedTokenizerBase

from spinodal.data.corpora import Corpus
from spinodal.data.samples import UNSELECTED, Contexts, Stream, generator, parts, refuse_length, refuse_seed
from spinodal.data.tokenizers import token_stream
from spinodal.errors import InputError


@dataclass(frozen=True)
class Masking:
    """Contexts of `length` tokens, of which each is selected with probability `fraction`."""

    length: int = 128
    fraction: float = 0.15
    seed: int = 0  # of what is drawn for each context

    def __post_init__(self):
        refuse_length(self.length)
        if not 0 < self.fraction <= 1:
            raise InputError(
                f"a masked fraction of {self.fraction}: it lies above 0 and is at most 1 (BERT: 0.15)"
            )
        refuse_seed(self.seed)


def mask_tokens(
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


class MaskedWindows(Contexts):
    """Contexts side by side; item i is {"input_ids", "labels"}, masked by (seed, epoch, i)."""

    def __init__(
        self,
        tokens: Stream,
        tokenizer: PreTrainedTokenizerBase,
        masking: Masking,
        *,
        frozen: bool = False,
    ):
        super().__init__(tokens, masking.length, stride=masking.length, seed=masking.seed, frozen=frozen)
        mask = tokenizer.mask_token_id
        if not isinstance(mask, int):
            raise InputError("the tokenizer has no mask token")
        self.masking, self.mask = masking, mask
        self.ordinary = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)

    def sample(self, index: int) -> dict[str, Int64[np.ndarray, " n"]]:
        random = generator(self.seed, self.epoch, index)
        inputs, labels = mask_tokens(
            self.context(index),
            random,
            mask=self.mask,
            ordinary=self.ordinary,
            fraction=self.masking.fraction,
        )
        return {"input_ids": inputs, "labels": labels}


def masked_windows(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, masking: Masking, *, batch: int = 1
) -> tuple[MaskedWindows, MaskedWindows]:
    """(training, validation) of `Corpus.split`; the validation's masks never change.

    InputError, with the largest length that fits, where training gives fewer than `batch` contexts.
    """

    training, validation = (token_stream(part, tokenizer) for part in corpus.split())
    return masked_samples(corpus.name, (training, validation), tokenizer, masking, batch=batch)


def masked_samples(
    name: str,
    streams: tuple[Stream, Stream],
    tokenizer: PreTrainedTokenizerBase,
    masking: Masking,
    *,
    batch: int = 1,
) -> tuple[MaskedWindows, MaskedWindows]:
    """`masked_windows` of the tokens of the two parts of a corpus of this name."""

    def windows(tokens: Stream, frozen: bool) -> MaskedWindows:
        return MaskedWindows(tokens, tokenizer, masking, frozen=frozen)

    return parts(name, streams, windows, length=masking.length, batch=batch)
