"""Causal language modelling: contexts of a stream of tokens, each predicted from those before it.

Labels follow Hugging Face's convention: they equal the inputs, and the model shifts them, so that
its output at position i predicts token i + 1. A context of n tokens has n - 1 predictions;
neighbouring contexts share one token, so that every token is predicted once.
"""

import numpy as np
from jaxtyping import Int64
from transformers import PreTrainedTokenizerBase

from spinodal.data.corpora import Corpus
from spinodal.data.samples import Contexts, Stream, generator, parts, refuse_length
from spinodal.data.tokenizers import token_stream


class CausalWindows(Contexts):
    """Item i is {"input_ids", "labels"}, both tokens[phase + i (n - 1) + (0 .. n - 1)], n = `length`.

    The stream is read as a ring, its end joined to its beginning, and the phase at which it is cut
    is drawn anew from (seed, epoch): else the same tokens would always be without a past. A frozen
    set is cut at phase 0.
    """

    def __init__(self, tokens: Stream, length: int, *, seed: int = 0, frozen: bool = False):
        super().__init__(tokens, length, stride=length - 1, seed=seed, frozen=frozen)

    def sample(self, index: int) -> dict[str, Int64[np.ndarray, " n"]]:
        random = generator(self.seed, self.epoch, 0)
        phase = 0 if self.frozen else int(random.integers(self.tokens.size))
        context = self.context(index, phase=phase)
        return {"input_ids": context, "labels": context.copy()}


def causal_windows(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, length: int, *, seed: int = 0, batch: int = 1
) -> tuple[CausalWindows, CausalWindows]:
    """(training, validation) of `Corpus.split`; the validation is always cut in the same places.

    InputError, with the largest length that fits, where training gives fewer than `batch` contexts.
    """

    refuse_length(length)
    training, validation = (token_stream(part, tokenizer) for part in corpus.split())
    return causal_samples(corpus.name, (training, validation), length, seed=seed, batch=batch)


def causal_samples(
    name: str, streams: tuple[Stream, Stream], length: int, *, seed: int = 0, batch: int = 1
) -> tuple[CausalWindows, CausalWindows]:
    """`causal_windows` of the tokens of the two parts of a corpus of this name."""

    def windows(tokens: Stream, frozen: bool) -> CausalWindows:
        return CausalWindows(tokens, length, seed=seed, frozen=frozen)

    return parts(name, streams, windows, length=length, batch=batch)
