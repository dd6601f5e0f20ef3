"""The data of a run, ready to train on and to judge by."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from spinodal.data import Samples

Collator = Callable[[list], dict[str, Tensor]]


class PreparedData(NamedTuple):
    """Training and held-out samples, test samples where there are some, and the tokenizer if there is text."""

    training: Samples
    held_out: Samples
    test: Samples | None  # for scores: of translation, and of text where a file is given
    tokenizer: PreTrainedTokenizerBase | None  # None where samples are no text
    vocabulary: int  # number of tokens
    tokens: int  # of one sample, as throughput counts them; of pairs their mean, without padding
    digests: dict[str, str] = {}  # sha256 of what was read, by its name: text, tokenizer  # noqa: RUF012
    scored: int = 0  # test samples that are scored; 0 for all
    error_rates: bool = False  # whether wrong symbols, between white space, are counted in place of BLEU
    baselines: bool = False  # whether a copy of the source and the nearest training pair are scored too
    beams: int = 1  # texts kept at once while test pairs are translated for scores
