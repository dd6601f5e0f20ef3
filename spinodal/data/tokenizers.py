"""Tokenizers trained on the corpus at hand, and the corpus as one stream of tokens.

Two alphabets. Bytes, of which frequent pairs are merged again and again: any text is exactly
`decode(encode(text))`, and a word carries the space before it (" not"). Characters: one token
for each seen in training, <unk> for every other one.

Both begin with SPECIAL, so that a token has the same id for every task. Text that merely spells
one of these ("<mask>" in a program) is taken for it by `encode`, as a prompt needs, but not by
`token_stream`, which reads a corpus to the letter.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int32, Int64
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from spinodal.data.corpora import Corpus
from spinodal.errors import InputError

SPECIAL = ("<pad>", "<unk>", "<mask>", "<bos>", "<eos>")
BYTES = 256
LEAST, MOST = BYTES + len(SPECIAL), 2**20


def byte_pair_tokenizer(texts: Sequence[str], *, vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Byte pairs merged in order of their frequency until there are `vocabulary` tokens.

    `vocabulary` counts the 256 bytes and SPECIAL; InputError if it is below that, or above MOST.
    A text in which too few pairs occur twice gives fewer tokens, with a warning.

    <mask> swallows the white space to its left, newlines too: in "or <mask> to" it stands for " not".
    """
    refuse_vocabulary(vocabulary)
    _refuse_empty(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=_special_tokens(mask_takes_space=True),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if (found := tokenizer.get_vocab_size()) < vocabulary:
        warnings.warn(f"the text yields only {found} of the {vocabulary} tokens asked for", stacklevel=2)
    return _with_special_tokens(tokenizer)


def refuse_vocabulary(vocabulary: int) -> None:
    """InputError for a size that a vocabulary of byte pairs cannot have."""
    if not LEAST <= vocabulary <= MOST:
        raise InputError(
            f"a vocabulary of {vocabulary} tokens: the {BYTES} bytes and the {len(SPECIAL)} special tokens need at "
            f"least {LEAST}, and {MOST} are allowed"
        )


def character_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """One token for each character of the texts, in order of code points."""
    _refuse_empty(texts)
    characters = sorted(set().union(*texts))
    ids = {token: i for i, token in enumerate([*SPECIAL, *characters])}
    tokenizer = Tokenizer(models.BPE(ids, [], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(_special_tokens(mask_takes_space=False))
    return _with_special_tokens(tokenizer)


def closing_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of <eos>, or of the tokenizer's own separator; InputError if it has neither."""
    closing = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if not isinstance(closing, int):
        raise InputError("the tokenizer has neither an end-of-sequence nor a separator token")
    return closing


def encodings(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, to the letter and with nothing added."""
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
    closing = closing_token(tokenizer)
    pieces = [
        np.array([*ids, closing], dtype=np.int32)
        for text in corpus.texts  # one at a time: a document's tokens as Python integers take much memory
        for ids in encodings(tokenizer, [text])
    ]
    return np.concatenate(pieces)


def encode_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> Int64[Tensor, " n"]:
    """A prompt's tokens, to the letter and with nothing added.

    InputError for a text without a token, for one that is not Unicode, and for one that holds what the tokenizer
    does not know: what a model makes of <unk> is not what was asked. Bytes know everything.
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
    """InputError that names all of a text that the tokenizer does not know; <unk> itself may be written out."""
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


def _refuse_empty(texts: Sequence[str]) -> None:
    if not any(texts):
        raise InputError("no text to train a tokenizer on")


def _special_tokens(*, mask_takes_space: bool) -> list[AddedToken]:
    return [
        AddedToken(token, special=True, normalized=False, lstrip=mask_takes_space and token == "<mask>")
        for token in SPECIAL
    ]


def _with_special_tokens(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    names = dict(
        zip(("pad_token", "unk_token", "mask_token", "bos_token", "eos_token"), SPECIAL, strict=True)
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **names)
