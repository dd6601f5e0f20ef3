"""Tokenizers trained on a corpus, and the corpus as one stream of tokens.

There are two kinds. Byte-level BPE: any text is exactly `decode(encode(text))`, and a word includes
the space before it (" not"). Characters: one token for each that occurs in training, <unk> for every
other one.

The ids of both begin with SPECIAL, so that these have the same id for every task. `encode` reads "<mask>" in
a text as the special token, as a prompt needs; `token_stream` reads it as plain text, as a corpus needs.
"""

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32, Int64
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from spinodal.data.corpora import Corpus
from spinodal.errors import InputError

SPECIAL = ("<pad>", "<unk>", "<mask>", "<bos>", "<eos>")
NO_TEXT = "no text to train a tokenizer on"
PIECE, TOGETHER = (
    2**16,
    4,
)  # characters of a piece that is tokenised, and pieces at once: a MB takes some 150 MB
NEAR = 4096  # characters before the end of a piece in which a place to cut it is looked for first
WORD_ENDS = re.compile(
    r"(?<=[^\W_])(?=[ \n\t])|(?<=[!-~])(?=[ \n\t])|(?<=[A-Za-z0-9\u3040-\u30ff\u4e00-\u9fff])(?=[.,;:!?\u3001\u3002])"
)
# Within these byte pairs are merged: the words of tokenizers' ByteLevel, of a text whose letters and digits are ASCII
ASCII_WORDS = re.compile(
    r"'(?:[stmd]|re|ve|ll)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII
)
KNOWN = 2**18  # words whose tokens are held
ANYWHERE = re.compile(r"\Z")
BYTES = 256
LEAST, MOST = BYTES + len(SPECIAL), 2**20


def byte_pair_tokenizer(texts: Iterable[str], *, vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Byte pairs merged in order of their frequency until there are `vocabulary` tokens.

    `vocabulary` counts the 256 bytes and SPECIAL; InputError if it is below that, or above MOST.
    A text in which too few pairs occur twice gives fewer tokens, with a warning.

    <mask> includes the white space to its left, newlines too: in "or <mask> to" it stands for " not".
    """
    refuse_vocabulary(vocabulary)
    pieces = _Pieces(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=special_tokens(mask_takes_space=True),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pieces, trainer)
    pieces.refuse_empty()
    warn_few(tokenizer.get_vocab_size(), vocabulary)
    return with_special_tokens(tokenizer)


def warn_few(found: int, vocabulary: int) -> None:
    """Warns of a text that gives fewer tokens than were asked for."""
    if found < vocabulary:
        warnings.warn(f"the text yields only {found} of the {vocabulary} tokens asked for", stacklevel=3)


def refuse_vocabulary(vocabulary: int) -> None:
    """InputError for a size that a vocabulary of byte pairs cannot have."""
    if not LEAST <= vocabulary <= MOST:
        raise InputError(
            f"a vocabulary of {vocabulary} tokens: the {BYTES} bytes and the {len(SPECIAL)} special tokens need at "
            f"least {LEAST}, and {MOST} are allowed"
        )


def character_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each character of the texts, in order of code points."""
    characters = sorted(set().union(*(set(text) for text in texts)))
    if not characters:
        raise InputError(NO_TEXT)
    ids = {token: i for i, token in enumerate([*SPECIAL, *characters])}
    tokenizer = Tokenizer(models.BPE(ids, [], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(special_tokens(mask_takes_space=False))
    return with_special_tokens(tokenizer)


def closing_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of <eos>, or of the tokenizer's own separator; InputError if it has neither."""
    closing = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if not isinstance(closing, int):
        raise InputError("the tokenizer has neither an end-of-sequence nor a separator token")
    return closing


def encodings(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, without special tokens: none is added, and "<mask>" is read as characters."""
    if not texts:
        return []
    encoding = tokenizer(
        list(texts),
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        verbose=False,
    )
    return list(encoding["input_ids"])


def token_stream(corpus: Corpus, tokenizer: PreTrainedTokenizerBase) -> Int32[np.ndarray, " m"]:
    """Every document's tokens, each document closed by <eos> (or the tokenizer's own separator)."""
    known: dict[str, list[int]] = {}
    pieces = (tokens for text in corpus.texts for tokens in document_tokens([text], tokenizer, known))
    return np.concatenate(list(pieces))


def document_tokens(
    pieces: Iterable[str], tokenizer: PreTrainedTokenizerBase, known: dict[str, list[int]] | None = None
) -> Iterator[Int32[np.ndarray, " _"]]:
    """Yields the tokens of a document given in pieces, and <eos>: the same as of the document as a whole.

    `known` is a cache of the tokens of words, also for the next document.
    """
    closing, places = closing_token(tokenizer), cut_places(tokenizer)
    known, cut = {} if known is None else known, cut_safely(pieces, places)
    while held := list(islice(cut, TOGETHER)):
        for by_words, texts in groupby(held, lambda text: places is WORD_ENDS and text.isascii()):
            if by_words:
                yield from (word_tokens(text, tokenizer, known) for text in texts)
            else:
                yield from (np.array(ids, dtype=np.int32) for ids in encodings(tokenizer, list(texts)))
    yield np.array([closing], dtype=np.int32)


def word_tokens(
    text: str, tokenizer: PreTrainedTokenizerBase, known: dict[str, list[int]]
) -> Int32[np.ndarray, " _"]:
    """The tokens of an ASCII text, those of its words one after another, each of which is encoded once."""
    words = ASCII_WORDS.findall(text)
    if len(known) > KNOWN:
        known.clear()
    new = list({*words} - known.keys())
    known.update(zip(new, encodings(tokenizer, new), strict=True))
    return np.fromiter(chain.from_iterable(map(known.__getitem__, words)), dtype=np.int32)


def cut_safely(pieces: Iterable[str], places: re.Pattern[str] | None) -> Iterator[str]:
    """Yields the text of `pieces` in pieces of about PIECE characters, cut only where no token is split.

    `places` matches where the text may be cut; a piece grows until there is a match.
    """
    held = list[str]()
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            chunk = piece[start : start + PIECE]
            before = held[-1][-1:] if held else ""
            cut = last_place(places, before + chunk) - len(before)
            if cut < 0 or (cut == 0 and not before):
                held.append(chunk)
                continue
            if text := "".join([*held, chunk[:cut]]):
                yield text
            held = [chunk[cut:]] if chunk[cut:] else []
    if held:
        yield "".join(held)


def last_place(places: re.Pattern[str] | None, text: str) -> int:
    """The last place in a text where it may be cut, -1 if there is none."""
    if places is None:
        return -1
    for start in (max(0, len(text) - NEAR), 0):
        if found := [match.start() for match in places.finditer(text, start)]:
            return found[-1]
    return -1


def cut_places(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """A pattern that matches where a text may be cut without a change of its tokens; None if none is known.

    Byte-level BPE: before white space, and before a mark at the end of a clause. Characters: anywhere.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer) or not isinstance(tokenizer, PreTrainedTokenizerFast):
        return None
    if set(tokenizer.get_added_vocab()) != set(SPECIAL):
        return None
    words = backend.pre_tokenizer
    if (
        backend.normalizer is None
        and isinstance(words, pre_tokenizers.ByteLevel)
        and not words.add_prefix_space
    ):
        return WORD_ENDS
    alone = backend.pre_tokenizer is None and not json.loads(backend.to_str())["model"].get("merges", True)
    return ANYWHERE if alone else None


def encode_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> Int64[Tensor, " n"]:
    """The ids [n] of a prompt, without special tokens.

    InputError for a text without a token, for one that is not Unicode, and for one with characters that the
    tokenizer reads as <unk>. A byte-level tokenizer has none of these.
    """
    refuse_encoding(text)
    encoding = tokenizer(
        text,
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=bool(tokenizer.is_fast),
        verbose=False,
    )
    ids = list(encoding["input_ids"])
    if not ids:
        raise InputError("the text is empty: give one character at least")
    refuse_unknown(tokenizer, text, ids, encoding["offset_mapping"] if tokenizer.is_fast else None)
    return torch.tensor(ids)


def refuse_encoding(text: str) -> None:
    """InputError for a text that is not Unicode: lone surrogates, of an argument in another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text is not UTF-8: character {error.start + 1} is {text[error.start]!r}"
        ) from None


def refuse_unknown(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    ids: Sequence[int],
    offsets: Sequence[Sequence[int]] | None,
) -> None:
    """InputError that names all parts of a text that become <unk>, other than "<unk>" itself."""
    found: dict[str, int] = {}
    for place, token in enumerate(ids):
        if token == tokenizer.unk_token_id:
            start, end = offsets[place] if offsets else (0, 0)
            if text[start:end] != tokenizer.unk_token:
                found.setdefault(repr(text[start:end]) if offsets else "something", start + 1)
    if found:
        first, *others = found
        at = f" at character {found[first]}" if offsets else ""
        more = f", and {', '.join(others)}" if others else ""
        raise InputError(
            f"the text holds {first}{at}{more}, which this model has never seen: leave it out, or train with "
            f"tokenizer=bpe, which knows every byte"
        )


class _Pieces:
    """An iterable of texts, cut where no token is split, that records whether any was not empty."""

    def __init__(self, texts: Iterable[str]):
        self.texts, self.any = texts, False

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.any = self.any or bool(text)
            yield from cut_safely([text], WORD_ENDS)

    def refuse_empty(self) -> None:
        if not self.any:
            raise InputError(NO_TEXT)


def special_tokens(*, mask_takes_space: bool) -> list[AddedToken]:
    """SPECIAL as `AddedToken`s; `mask_takes_space` lets <mask> include the white space to its left."""
    return [
        AddedToken(token, special=True, normalized=False, lstrip=mask_takes_space and token == "<mask>")
        for token in SPECIAL
    ]


def with_special_tokens(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as a `PreTrainedTokenizerFast` with its special tokens: pad, unk, mask, bos and eos."""
    names = dict(
        zip(("pad_token", "unk_token", "mask_token", "bos_token", "eos_token"), SPECIAL, strict=True)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **names)
