r"""Two tokenizers with one vocabulary for pairs: sources as text, targets as sequences of symbols.

    vocabulary = that of the sources' tokenizer, then the symbols of the targets that it lacks

Spelling to phonemes reads characters and writes whole phonemes ("AH0"), one token each. A model has one table of
embeddings for both; the tokenizer that is saved with it encodes sources and decodes targets.
"""

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from spinodal.data.tokenizers import NO_TEXT, SPECIAL, special_tokens, with_special_tokens
from spinodal.errors import InputError

SYMBOLS = ("characters", "words")  # what a target may be made of; words end at white space


def tokenizers_by_side(
    sources: PreTrainedTokenizerFast, targets: Iterable[str], *, symbols: str
) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """(what encodes sources and decodes targets, what encodes targets): two tokenizers of one vocabulary.

    The targets' symbols are their "characters" or "words", in order; one that no target has is <unk>. InputError for
    other `symbols`, and for targets without any.

    >>> from spinodal.data import character_tokenizer, tokenizers_by_side
    >>> both, written = tokenizers_by_side(character_tokenizer(["cat"]), ["K AE1 T"], symbols="words")
    >>> both("cat")["input_ids"], written("K AE1 T")["input_ids"]
    ([6, 5, 7], [9, 8, 10])
    >>> both.decode([9, 8, 10])
    'K AE1 T'
    """
    if symbols not in SYMBOLS:
        raise InputError(f"`symbols` {symbols}: one of {', '.join(SYMBOLS)}", field="symbols")
    words = symbols == "words"
    found = sorted(set().union(*(text.split() if words else text for text in targets)))
    if not found:
        raise InputError(NO_TEXT)
    state = json.loads(sources.backend_tokenizer.to_str())
    by_bytes = state["decoder"]["type"] == "ByteLevel"
    vocabulary: dict[str, int] = state["model"]["vocab"]
    ids = {token: vocabulary[token] for token in SPECIAL}
    for symbol in found:
        token = f" {symbol}" if words else symbol
        ids[symbol] = vocabulary.setdefault(spelled_in_bytes(token) if by_bytes else token, len(vocabulary))
    if words:
        strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        state["decoder"] = {"type": "Sequence", "decoders": [state["decoder"], strip]}
    return with_special_tokens(Tokenizer.from_str(json.dumps(state))), target_tokenizer(ids, words=words)


def target_tokenizer(ids: dict[str, int], *, words: bool) -> PreTrainedTokenizerFast:
    """A tokenizer that encodes symbols, words or characters, by the table `ids`."""
    model: Any = models.WordLevel(ids, unk_token="<unk>") if words else models.BPE(ids, [], unk_token="<unk>")
    tokenizer = Tokenizer(model)
    if words:
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(special_tokens(mask_takes_space=False))
    return with_special_tokens(tokenizer)


def spelled_in_bytes(text: str) -> str:
    """The UTF-8 bytes of a text, each as the character by which byte-level BPE writes it."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)[0][0]
