r"""Tasks: the class of a model, the samples it is trained on, and the scores measured beside its loss.

task         a sample                                  held-out loss, nats a      measured at the end
masked       a context with some tokens hidden         hidden token               test_loss where `test` is given
causal       a context                                 next token                 the same
translation  a source and its target                   target token               bleu, chrf, exact; of symbols
                                                                                  symbol_error, text_error,
                                                                                  of phonemes unstressed_error
recall       keys with values, then keys to answer     answer                     accuracy
"""

import copy
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from numbers import Integral, Real
from typing import Any

from torch.utils.data import default_collate
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from spinodal.data import (
    CausalWindows,
    MaskedWindows,
    Masking,
    Pairs,
    Recall,
    byte_pair_tokenizer,
    character_tokenizer,
    pair_windows,
    read_pairs,
    recall_windows,
    tokenizers_by_side,
    trim_padding,
)
from spinodal.data.causal import causal_samples
from spinodal.data.corpora import TEXT_FIELD
from spinodal.data.masking import masked_samples
from spinodal.data.samples import JUDGED, refuse_length
from spinodal.data.shards import ShardedTokens
from spinodal.data.sides import SYMBOLS
from spinodal.data.tokenizers import LEAST, SPECIAL, refuse_vocabulary
from spinodal.data.tokens import TokenizedCorpus, tokenize_corpus
from spinodal.errors import InputError, require_types
from spinodal.models import SpinodalForCausalLM, SpinodalForMaskedLM, SpinodalForSeq2SeqLM
from spinodal.models.encoder import SpinodalPreTrainedModel
from spinodal.training.prepared import Collator, PreparedData
from spinodal.training.scoring import (
    perplexity,
    recall_accuracy,
    recall_progress,
    text_scores,
    translation_progress,
    translation_scores,
)
from spinodal.types import Progress


@dataclass(frozen=True)
class DataConfig:
    """The data of training: a text or pairs, a tokenizer, and the task that makes samples of them."""

    corpus: str = "shakespeare"  # named, or a file or folder; for translation named pairs, or a file
    task: str = "masked"  # masked, causal, translation or recall
    tokenizer: str = "bpe"  # bpe (byte pairs) or characters
    target_tokenizer: str = ""  # of targets alone: characters or words, such as phonemes (translation)
    vocabulary: int = 2048  # tokens of the byte pairs
    length: int = 128  # tokens of a context; the most of a target
    source_length: int = 64  # the most tokens of a source (translation)
    masked: float = 0.15  # probability that a token is selected for prediction (masked)
    pairs: int = 16  # keys with a value in a sample (recall)
    bucket: int = 0  # steps whose pairs are sorted by length together; 0 for any order (translation)
    validation: str = ""  # text or pairs that judge; `corpus` is then all for training
    test: str = ""  # text or pairs that are scored at the end; of pairs "" is those of `validation`
    scored: int = 256  # test pairs that are translated for scores; 0 for all (translation)
    beams: int = 1  # texts kept at once while test pairs are translated for scores (translation)
    baselines: bool = False  # score a copy of each source, and the nearest training pair, too (translation)
    text_field: str = TEXT_FIELD  # the field that holds the text, of a corpus in JSON lines
    held_out: str = "validation"  # the part that judges: validation, or development, a part of training

    def __post_init__(self):
        require_types(self, corpus=str, task=str, tokenizer=str, vocabulary=Integral, length=Integral)
        require_types(self, source_length=Integral, masked=Real, pairs=Integral, text_field=str)
        require_types(
            self,
            held_out=str,
            target_tokenizer=str,
            validation=str,
            test=str,
            bucket=Integral,
            scored=Integral,
            beams=Integral,
            baselines=bool,
        )
        if self.held_out not in HELD_OUT:
            raise InputError(f"held_out={self.held_out}: one of {', '.join(HELD_OUT)}")
        task_named(self.task).check(self)


@dataclass(frozen=True)
class Task:
    """A model class and its samples; `scores` measures a trained model beyond its loss, `progress` one in training."""

    model: type[SpinodalPreTrainedModel]
    check: Callable[[DataConfig], object]  # InputError for what is wrong whatever the text is
    prepare: Callable[[DataConfig, int, int], PreparedData]  # of a seed and a batch
    scores: Callable[[Any, PreparedData, Progress | None], dict[str, float]] = text_scores
    progress: Callable[[Any, PreparedData, float], dict[str, float]] = perplexity  # of a held-out loss too
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
    if config.test and not config.validation:
        raise InputError(f"test={config.test}: give `validation` too, and `corpus` is all for training")


def check_masked(config: DataConfig) -> None:
    check_text(config)
    Masking(config.length, config.masked)


def check_translation(config: DataConfig) -> None:
    check_text(config)
    refuse_length(config.source_length)
    if config.target_tokenizer not in ("", *SYMBOLS):
        raise InputError(f"target_tokenizer={config.target_tokenizer}: one of {', '.join(SYMBOLS)}")
    for name in ("bucket", "scored"):
        if getattr(config, name) < 0:
            raise InputError(f"{name}={getattr(config, name)}: it must not be negative")
    if config.beams < 1:
        raise InputError(f"beams={config.beams}: it must be at least 1")
    if config.baselines and config.target_tokenizer == "words":
        raise InputError("baselines=true: they are of texts; target_tokenizer=words has error rates")


def least_vocabulary(config: DataConfig) -> int:
    """The fewest tokens that the vocabulary of a model can have, before the text is read."""
    if config.task == "recall":
        return Recall(config.length, config.pairs).vocabulary
    return LEAST if config.tokenizer == "bpe" else len(SPECIAL) + 1


@lru_cache(maxsize=4)
def tokenizers_of(
    pairs: Pairs, name: str, vocabulary: int, symbols: str
) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """The tokenizers of sources and of targets, made once a process; one and the same without `symbols`."""
    texts = pairs.sources if symbols else pairs.texts
    tokenizer = (
        character_tokenizer(texts)
        if name == "characters"
        else byte_pair_tokenizer(texts, vocabulary=vocabulary)
    )
    return (
        tokenizers_by_side(tokenizer, pairs.targets, symbols=symbols) if symbols else (tokenizer, tokenizer)
    )


def digests(several: Sequence[Pairs], tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """sha256 of pairs, one side after another, and of their tokenizer."""
    texts = hashlib.sha256()
    for text in (text for pairs in several for text in pairs.texts):
        texts.update(hashlib.sha256(text.encode()).digest())
    backend = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    return {"text": texts.hexdigest(), "tokenizer": backend.hexdigest()}


def read_text(config: DataConfig) -> TokenizedCorpus:
    """The tokens of a text, those to train on and those of the held-out loss, and its tokenizer."""
    text = tokenize_corpus(
        config.corpus, tokenizer=config.tokenizer, vocabulary=config.vocabulary, text_field=config.text_field,
        validation=config.validation, test=config.test,
    )  # fmt: skip
    own = {"validation": text.streams[1]} if config.validation else {}
    for name, stream in (own | ({"test": text.test} if text.test is not None else {})).items():
        if stream.size < config.length:
            raise InputError(
                f"{name}={getattr(config, name)}: its {stream.size} tokens do not fill one context of "
                f"{config.length}: take a length of at most {stream.size}, or more text"
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
    test = None if text.test is None else MaskedWindows(text.test, text.tokenizer, masking, frozen=True)
    return PreparedData(*windows, test, text.tokenizer, len(text.tokenizer), config.length, text.digests)


def prepare_causal(config: DataConfig, seed: int, batch: int) -> PreparedData:
    text = read_text(config)
    windows = causal_samples(text.name, text.streams, config.length, seed=seed, batch=batch)
    test = None if text.test is None else CausalWindows(text.test, config.length, frozen=True)
    tokenizer = pad_left(text.tokenizer)
    return PreparedData(*windows, test, tokenizer, len(tokenizer), config.length, text.digests)


def split_pairs(config: DataConfig, pairs: Pairs) -> tuple[Pairs, Pairs, Pairs]:
    """(training, validation, test) of the pairs of `corpus`: by `Pairs.split`, or with files of the user's own.

    Warns of sources in the latter that are trained on too.
    """
    if config.validation:
        validation, test = (
            read_pairs(path) for path in (config.validation, config.test or config.validation)
        )
        known = set(pairs.sources)
        for part in {part.name: part for part in (validation, test)}.values():
            if shared := sum(source in known for source in part.sources):
                told = f"{shared} of the {len(part)} sources of {part.name} are in {config.corpus} too"
                warnings.warn(told, stacklevel=2)
        parts = pairs, validation, test
    else:
        parts = pairs.split()
    if config.held_out == "development":
        training, judged, _ = parts[0].split()
        return training, judged, parts[2]
    return parts


def prepare_translation(config: DataConfig, seed: int, batch: int) -> PreparedData:
    pairs = read_pairs(config.corpus)
    parts = split_pairs(config, pairs)
    tokenizer, written = tokenizers_of(pairs, config.tokenizer, config.vocabulary, config.target_tokenizer)
    training, judged, scored = pair_windows(
        parts, tokenizer, source_length=config.source_length, target_length=config.length,
        target_tokenizer=written,
    )  # fmt: skip
    read = digests([pairs, *(parts[1:] if config.validation else ())], tokenizer)
    tokens = round(training.mean_tokens)
    by_symbol = config.target_tokenizer == "words"
    return PreparedData(
        training, judged, scored, tokenizer, len(tokenizer), tokens, read, config.scored, by_symbol,
        config.baselines, config.beams,
    )  # fmt: skip


def prepare_recall(config: DataConfig, seed: int, batch: int) -> PreparedData:
    puzzle = Recall(config.length, config.pairs, seed=seed)
    windows = recall_windows(puzzle)
    if config.held_out == "development":
        windows = windows[0], recall_windows(replace(puzzle, seed=seed + 2**32))[1]
    return PreparedData(*windows, None, None, puzzle.vocabulary, config.length)


def pad_left(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A copy that pads on the left, also once saved: a prompt must end where its continuation begins."""
    own = copy.deepcopy(tokenizer)
    own.padding_side = own.init_kwargs["padding_side"] = "left"  # the latter alone goes into files
    return own


TASKS: dict[str, Task] = {
    "masked": Task(SpinodalForMaskedLM, check_masked, prepare_masked),
    "causal": Task(SpinodalForCausalLM, check_text, prepare_causal),
    "translation": Task(
        SpinodalForSeq2SeqLM,
        check_translation,
        prepare_translation,
        translation_scores,
        translation_progress,
        trim_padding,
    ),
    "recall": Task(SpinodalForCausalLM, least_vocabulary, prepare_recall, recall_accuracy, recall_progress),
}


def collator(data: DataConfig) -> Collator:
    """What makes a batch of samples; those of `bucket` are padded to multiples of 4 tokens, not of 16."""
    return partial(trim_padding, multiple=4) if data.bucket else task_named(data.task).collate


def task_named(name: str) -> Task:
    """The task of this name; InputError lists them all."""
    if name not in TASKS:
        raise InputError(f"task={name}: one of {', '.join(TASKS)}")
    return TASKS[name]
