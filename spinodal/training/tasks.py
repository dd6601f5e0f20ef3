r"""Tasks: the class of a model, the samples it is trained on, and the scores measured beside its loss.

task         a sample                                  held-out loss, nats a      measured at the end
masked       a context with some tokens hidden         hidden token               -
causal       a context                                 next token                 -
translation  a source and its target                   target token               bleu, chrf, exact
recall       keys with values, then keys to answer     answer                     accuracy
"""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from spinodal.data import (
    Masking,
    Pairs,
    PairWindows,
    Recall,
    Samples,
    byte_pair_tokenizer,
    character_tokenizer,
    pair_windows,
    read_pairs,
    recall_windows,
    trim_padding,
)
from spinodal.data.causal import causal_samples
from spinodal.data.corpora import TEXT_FIELD
from spinodal.data.masking import masked_samples
from spinodal.data.samples import JUDGED, refuse_length
from spinodal.data.shards import ShardedTokens
from spinodal.data.tokenizers import LEAST, SPECIAL, refuse_vocabulary
from spinodal.data.tokens import TokenizedCorpus, tokenize_corpus
from spinodal.errors import InputError, require_types
from spinodal.models import SpinodalForCausalLM, SpinodalForMaskedLM, SpinodalForSeq2SeqLM
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.scores import bleu, chrf, exact_match, written_language

SCORED = 256  # test sentences translated for BLEU and chrF
Collator = Callable[[list], dict[str, Tensor]]


@dataclass(frozen=True)
class DataConfig:
    """What a model is trained on: a text or pairs, a tokenizer, and the task that makes samples of them."""

    corpus: str = "shakespeare"  # named, or a file or folder; for translation named pairs, or a file
    task: str = "masked"  # masked, causal, translation or recall
    tokenizer: str = "bpe"  # bpe (byte pairs) or characters
    vocabulary: int = 2048  # tokens of the byte pairs
    length: int = 128  # tokens of a context; the most of a target
    source_length: int = 64  # the most tokens of a source (translation)
    masked: float = 0.15  # probability that a token is selected for prediction (masked)
    pairs: int = 16  # keys with a value in a sample (recall)
    text_field: str = TEXT_FIELD  # the field that holds the text, of a corpus in JSON lines
    held_out: str = (
        "validation"  # what judges: the validation part, or for tuning a part of training (development)
    )

    def __post_init__(self):
        require_types(self, corpus=str, task=str, tokenizer=str, vocabulary=Integral, length=Integral)
        require_types(self, source_length=Integral, masked=Real, pairs=Integral, text_field=str)
        require_types(self, held_out=str)
        if self.held_out not in HELD_OUT:
            raise InputError(f"held_out={self.held_out}: one of {', '.join(HELD_OUT)}")
        task_named(self.task).check(self)


class PreparedData(NamedTuple):
    """Training and held-out samples, the test samples of a task that has them, and the tokenizer if there is text."""

    training: Samples
    held_out: Samples
    test: PairWindows | None  # for scores, of translation alone
    tokenizer: PreTrainedTokenizerBase | None  # None where samples are no text
    vocabulary: int  # number of tokens
    tokens: int  # of one sample, as throughput counts them
    digests: dict[str, str] = {}  # sha256 of what was read, by its name: text, tokenizer  # noqa: RUF012


@dataclass(frozen=True)
class Task:
    """A model class and its samples; `scores` measures a trained model beyond its loss."""

    model: type[SpinodalPreTrainedModel]
    check: Callable[[DataConfig], object]  # InputError for what is wrong whatever the text is
    prepare: Callable[[DataConfig, int, int], PreparedData]  # of a seed and a batch
    scores: Callable[[Any, PreparedData], dict[str, float]] = lambda model, data: {}
    collate: Collator = default_collate


TOKENIZERS = ("bpe", "characters")
HELD_OUT = ("validation", "development")
DEVELOPMENT = 20  # the last of so many parts of the training tokens are those of development


def check_text(config: DataConfig) -> None:
    """InputError for an unknown tokenizer, or a vocabulary or a length that no text makes possible."""
    if config.tokenizer not in TOKENIZERS:
        raise InputError(f"tokenizer={config.tokenizer}: one of {', '.join(TOKENIZERS)}")
    if config.tokenizer == "bpe":
        refuse_vocabulary(config.vocabulary)
    refuse_length(config.length)


def check_masked(config: DataConfig) -> None:
    check_text(config)
    Masking(config.length, config.masked)


def check_translation(config: DataConfig) -> None:
    check_text(config)
    refuse_length(config.source_length)


def least_vocabulary(config: DataConfig) -> int:
    """The fewest tokens that the vocabulary of a model can have, before the text is read."""
    if config.task == "recall":
        return Recall(config.length, config.pairs).vocabulary
    return LEAST if config.tokenizer == "bpe" else len(SPECIAL) + 1


@lru_cache(maxsize=4)
def tokenizer_of(pairs: Pairs, name: str, vocabulary: int) -> PreTrainedTokenizerFast:
    """The tokenizer of this name for both sides of pairs, once a process."""
    if name == "characters":
        return character_tokenizer(pairs.texts)
    return byte_pair_tokenizer(pairs.texts, vocabulary=vocabulary)


def digests(pairs: Pairs, tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """sha256 of pairs, one side after another, and of their tokenizer."""
    texts = hashlib.sha256()
    for text in pairs.texts:
        texts.update(hashlib.sha256(text.encode()).digest())
    backend = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    return {"text": texts.hexdigest(), "tokenizer": backend.hexdigest()}


def read_text(config: DataConfig) -> TokenizedCorpus:
    """A text as the tokens of its two parts, the second of which judges."""
    text = tokenize_corpus(
        config.corpus, tokenizer=config.tokenizer, vocabulary=config.vocabulary, text_field=config.text_field
    )
    if config.held_out == "validation":
        return text
    training = text.streams[0]
    rest = training.size - min(training.size // DEVELOPMENT, JUDGED)
    shorter = (
        ShardedTokens(training.folder, training.shards, rest)
        if isinstance(training, ShardedTokens)
        else training[:rest]
    )
    return replace(text, streams=(shorter, training[rest : training.size]))


def prepare_masked(config: DataConfig, seed: int, batch: int) -> PreparedData:
    text = read_text(config)
    masking = Masking(config.length, config.masked, seed)
    windows = masked_samples(text.name, text.streams, text.tokenizer, masking, batch=batch)
    return PreparedData(*windows, None, text.tokenizer, len(text.tokenizer), config.length, text.digests)


def prepare_causal(config: DataConfig, seed: int, batch: int) -> PreparedData:
    text = read_text(config)
    windows = causal_samples(text.name, text.streams, config.length, seed=seed, batch=batch)
    tokenizer = pad_left(text.tokenizer)
    return PreparedData(*windows, None, tokenizer, len(tokenizer), config.length, text.digests)


def prepare_translation(config: DataConfig, seed: int, batch: int) -> PreparedData:
    pairs = read_pairs(config.corpus)
    tokenizer = tokenizer_of(pairs, config.tokenizer, config.vocabulary)
    if config.held_out == "development":
        pairs = pairs.split()[0]
    windows = pair_windows(pairs, tokenizer, source_length=config.source_length, target_length=config.length)
    read = digests(pairs, tokenizer)
    return PreparedData(*windows, tokenizer, len(tokenizer), config.source_length + config.length, read)


def prepare_recall(config: DataConfig, seed: int, batch: int) -> PreparedData:
    puzzle = Recall(config.length, config.pairs, seed=seed)
    windows = recall_windows(puzzle)
    if config.held_out == "development":
        windows = windows[0], recall_windows(replace(puzzle, seed=seed + 2**32))[1]
    return PreparedData(*windows, None, None, puzzle.vocabulary, config.length)


def pad_left(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer like this that pads on the left, saved too: a prompt must end where its continuation begins."""
    own = copy.deepcopy(tokenizer)
    own.padding_side = own.init_kwargs["padding_side"] = "left"  # the latter alone goes into files
    return own


@torch.no_grad()
def translation_scores(model: Any, data: PreparedData) -> dict[str, float]:
    """BLEU, chrF and the share of exact targets over the first SCORED test pairs, translated greedily."""
    windows, tokenizer = cast(PairWindows, data.test), cast(PreTrainedTokenizerBase, data.tokenizer)
    count = min(SCORED, len(windows))
    hypotheses = []
    for start in range(0, count, 32):
        batch = trim_padding([windows[i] for i in range(start, min(start + 32, count))])
        ids = model.generate(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False,
            max_new_tokens=windows.target_length,
        )  # fmt: skip
        hypotheses += tokenizer.batch_decode(ids, skip_special_tokens=True)
    references = list(windows.pairs.targets[:count])
    return {
        "bleu": bleu(hypotheses, references, language=written_language(references[:8])).value,
        "chrf": chrf(hypotheses, references).value,
        "exact": exact_match(hypotheses, references),
    }


@torch.no_grad()
def recall_accuracy(model: Any, data: PreparedData) -> dict[str, float]:
    """The share of held-out answers to which the model gives the largest probability."""
    right = total = 0
    for batch in DataLoader(data.held_out, batch_size=32):
        guess = model(batch["input_ids"]).logits[:, :-1].argmax(-1)
        labels = batch["labels"][:, 1:]
        asked = labels >= 0
        right += int((guess == labels)[asked].sum())
        total += int(asked.sum())
    return {"accuracy": right / total}


TASKS: dict[str, Task] = {
    "masked": Task(SpinodalForMaskedLM, check_masked, prepare_masked),
    "causal": Task(SpinodalForCausalLM, check_text, prepare_causal),
    "translation": Task(
        SpinodalForSeq2SeqLM, check_translation, prepare_translation, translation_scores, trim_padding
    ),
    "recall": Task(SpinodalForCausalLM, least_vocabulary, prepare_recall, recall_accuracy),
}


def task_named(name: str) -> Task:
    """The task of this name; InputError lists them all."""
    if name not in TASKS:
        raise InputError(f"task={name}: one of {', '.join(TASKS)}")
    return TASKS[name]
