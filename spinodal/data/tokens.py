"""The tokens of a corpus, for training and for validation, never in memory as a whole, and cached by content.

    survey      the text is read once: its sha256 and the length of each document, where it is split
    tokenizer   trained on the text, piece by piece: of more than LEARNT characters, on every k-th piece
    tokens      of every document the first 19/20 of the characters and the rest, each closed by <eos>; or of texts of
                their own that judge, all of each

A text of more than LEAST_KEPT characters is kept as tokens in the cache, in a folder named after the sha256 of all that
they depend on, and mapped into memory from there: a run begins as soon as its text is hashed, and memory does not grow
with the text. The folder holds the shards of both parts, the tokenizer, and a manifest of their checksums, which are
compared before they are used. It may be deleted at any time.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import warnings
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from jaxtyping import Int32
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from spinodal.data.archives import cache, checksum
from spinodal.data.corpora import TEXT_FIELD, CorpusStream, stream_corpus
from spinodal.data.samples import Stream
from spinodal.data.shards import Shard, ShardedTokens, ShardWriter
from spinodal.data.tokenizers import (
    WORD_ENDS,
    byte_pair_tokenizer,
    character_tokenizer,
    cut_safely,
    document_tokens,
    warn_few,
    with_special_tokens,
)
from spinodal.errors import InputError

FORMAT = 3  # of the files in the cache, and of the way in which text becomes tokens
LEAST_KEPT = 2**20  # characters of a text whose tokens are kept
LEARNT = 2**25  # characters that byte pairs are learnt from, whose distinct words are counted in memory
PARTS = ("training", "validation")
TOKENIZER, MANIFEST = "tokenizer.json", "manifest.json"


@dataclass(frozen=True)
class Survey:
    """The sha256 and the lengths of the documents of a corpus; two surveys are equal if the contents are."""

    digest: str  # sha256 over that of each document
    lengths: array = field(compare=False)  # characters of each document
    corpus: CorpusStream = field(compare=False)

    @property
    def characters(self) -> int:
        return sum(self.lengths)


@dataclass(frozen=True)
class TokenizedCorpus:
    """The tokens of a corpus, for training and for validation, its tokenizer, and the sha256 of both.

    `test` are those of a text that is scored, where there is one.
    """

    name: str
    streams: tuple[Stream, Stream]
    tokenizer: PreTrainedTokenizerFast
    digests: dict[str, str]  # sha256 of the text and of the tokenizer
    test: Stream | None = None


def tokenize_corpus(
    source: str | Path,
    *,
    tokenizer: str = "bpe",
    vocabulary: int = 2048,
    text_field: str = TEXT_FIELD,
    validation: str | Path = "",
    test: str | Path = "",
) -> TokenizedCorpus:
    """The tokens of the corpus `source`, by a tokenizer trained on it: "bpe" or "characters".

    They are those of whole documents, although the text is read in pieces. With `validation`, another corpus, all of
    `source` is for training. InputError as in `read_corpus`; warns where `validation` or `test` is the same text, or
    has characters that the tokenizer has not.
    """
    survey, *others = (
        read_through(stream_corpus(path, text_field=text_field))
        for path in (source, *filter(None, (validation, test)))
    )
    streams, trained = tokens_of(survey, tokenizer, vocabulary, whole=bool(validation))
    if tokenizer == "bpe":
        warn_few(len(trained), vocabulary)
    own = [tokens_of(other, tokenizer, vocabulary, whole=True, by=trained)[0][0] for other in others]
    for other, tokens in zip(others, own, strict=True):
        if other == survey:
            warnings.warn(f"{other.corpus.name} holds the same text as {survey.corpus.name}", stacklevel=2)
        if tokenizer == "characters":
            warn_unknown(other.corpus.name, tokens, trained)
    text = survey.digest
    if others:
        text = hashlib.sha256("".join(read.digest for read in (survey, *others)).encode()).hexdigest()
    return TokenizedCorpus(
        survey.corpus.name,
        (streams[0], own[0]) if validation else streams,
        trained,
        {"text": text, "tokenizer": tokenizer_digest(trained)},
        own[-1] if test else None,
    )


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """The sha256 of a tokenizer."""
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def warn_unknown(name: str, tokens: Stream, tokenizer: PreTrainedTokenizerFast) -> None:
    """Warns of characters of a text of this name that its tokenizer, trained on another text, has not."""
    unknown = sum(
        int((tokens[start : start + LEAST_KEPT] == tokenizer.unk_token_id).sum())
        for start in range(0, tokens.size, LEAST_KEPT)
    )
    if unknown:
        warnings.warn(
            f"{unknown} of the {tokens.size} tokens of {name} are characters that the training text has not: they "
            f"are read as {tokenizer.unk_token}",
            stacklevel=3,
        )


def read_through(corpus: CorpusStream) -> Survey:
    """The survey of a corpus, which is read once from end to end; InputError if it holds no text."""
    whole, lengths, shown = hashlib.sha256(), array("q"), False
    for _, pieces in corpus.documents():
        digest, length = hashlib.sha256(), 0
        for piece in pieces:
            digest.update(piece.encode())
            length += len(piece)
            shown = shown or not piece.isspace()
        whole.update(digest.digest())
        lengths.append(length)
    if not shown:
        raise InputError(f"{corpus.name} holds no text")
    return Survey(whole.hexdigest(), lengths, corpus)


@lru_cache(maxsize=4)
def tokens_of(
    survey: Survey,
    tokenizer: str,
    vocabulary: int,
    *,
    whole: bool = False,
    by: PreTrainedTokenizerFast | None = None,
) -> tuple[tuple[Stream, Stream], PreTrainedTokenizerFast]:
    """The tokens of both parts and the tokenizer, from the cache where they are there.

    All are in the first part if `whole`. The tokenizer is trained on the text, or is the one that is given.
    """
    if survey.characters < LEAST_KEPT:
        trained = by or train_tokenizer(survey, tokenizer, vocabulary)
        found: dict[int, list[np.ndarray]] = {0: [], 1: []}
        for part, tokens in part_tokens(survey, trained, whole=whole):
            found[part].append(tokens)
        empty = np.zeros(0, dtype=np.int32)
        training, validation = (np.concatenate([empty, *found[part]]) for part in (0, 1))
        return (training, validation), trained
    libraries = version("tokenizers") if tokenizer == "bpe" else ""
    asked = [FORMAT, survey.digest, tokenizer, vocabulary if tokenizer == "bpe" else 0, libraries]
    asked += ["whole"] * whole + ([tokenizer_digest(by)] if by else [])
    folder = cache() / "tokens" / hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    if reason := damage(folder):
        if folder.exists():
            warnings.warn(f"{folder} is damaged: {reason}; the text is tokenised again", stacklevel=3)
        with making(folder) as part:
            write_tokens(part, survey, by or train_tokenizer(survey, tokenizer, vocabulary), whole=whole)
    _, shards = manifest(folder)
    training, validation = (ShardedTokens(folder, shards[part]) for part in PARTS)
    return (training, validation), with_special_tokens(Tokenizer.from_file(str(folder / TOKENIZER)))


def train_tokenizer(survey: Survey, name: str, vocabulary: int) -> PreTrainedTokenizerFast:
    """The tokenizer trained on a text, piece by piece; BPE on evenly spaced pieces of a long text."""
    if name == "characters":
        return character_tokenizer(piece for _, pieces in survey.corpus.documents() for piece in pieces)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too few tokens: whoever asks is warned each time
        pieces = (p for _, text in survey.corpus.documents() for p in cut_safely(text, WORD_ENDS))
        every = math.ceil(survey.characters / LEARNT)
        return byte_pair_tokenizer(islice(pieces, 0, None, every), vocabulary=vocabulary)


def part_tokens(
    survey: Survey, tokenizer: PreTrainedTokenizerFast, *, whole: bool = False
) -> Iterator[tuple[int, Int32[np.ndarray, " _"]]]:
    """(0, tokens) of the training part of each document, all of it if `whole`, then (1, tokens) of the rest."""
    known: dict[str, list[int]] = {}
    for length, (_, pieces) in zip(survey.lengths, survey.corpus.documents(), strict=True):
        cut = length if whole else length * 19 // 20
        split = groupby(split_at(pieces, cut), key=lambda part: part[0])
        for part, texts in split:
            for tokens in document_tokens((text for _, text in texts), tokenizer, known):
                yield part, tokens


def split_at(pieces: Iterable[str], cut: int) -> Iterator[tuple[int, str]]:
    """(0, piece) of a text up to the character `cut`, then (1, piece)."""
    at = 0
    for piece in pieces:
        head = piece[: max(0, cut - at)]
        for part, text in ((0, head), (1, piece[len(head) :])):
            if text:
                yield part, text
        at += len(piece)


def write_tokens(folder: Path, survey: Survey, tokenizer: PreTrainedTokenizerFast, *, whole: bool) -> None:
    """Writes into a folder of the cache the shards of both parts, the tokenizer, and last the manifest."""
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(ShardWriter(folder, part)) for part in PARTS]
        for part, tokens in part_tokens(survey, tokenizer, whole=whole):
            writers[part].write(tokens)
    (folder / TOKENIZER).write_text(tokenizer.backend_tokenizer.to_str())
    shards = {writer.name: [asdict(shard) for shard in writer.shards()] for writer in writers}
    (folder / MANIFEST).write_text(json.dumps({TOKENIZER: checksum(folder / TOKENIZER), **shards}))


def manifest(folder: Path) -> tuple[str, dict[str, list[Shard]]]:
    """The sha256 of the tokenizer and the shards of each part, as `write_tokens` left them."""
    files: Any = json.loads((folder / MANIFEST).read_text())
    return files[TOKENIZER], {part: [Shard(**shard) for shard in files[part]] for part in PARTS}


def damage(folder: Path) -> str | None:
    """A text that says what is wrong with the files of a folder of the cache; None if nothing is."""
    try:
        digest, shards = manifest(folder)
        found = [harm for part in PARTS for shard in shards[part] if (harm := shard.damage(folder))]
        if not (folder / TOKENIZER).is_file() or checksum(folder / TOKENIZER) != digest:
            found.append(f"{TOKENIZER} is missing or not what was written")
    except OSError as error:
        return str(error)
    except (ValueError, KeyError, TypeError) as error:
        return f"{MANIFEST} is not what was written ({error})"
    return ", ".join(found) or None


@contextlib.contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Yields a new folder that replaces `folder` at the end of the block; InputError where the disk fails."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=".part-", dir=folder.parent))
        try:
            yield part
            shutil.rmtree(folder, ignore_errors=True)
            try:
                os.replace(part, folder)
            except OSError:
                if damage(folder):  # else another process has written the same meanwhile
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"cannot keep tokens in {folder.parent}: {error}; let SPINODAL_CACHE name another folder"
        ) from error
