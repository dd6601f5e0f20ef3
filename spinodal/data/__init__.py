"""Text that trains a model: corpora, tokenizers, and the samples of a task."""

from spinodal.data.corpora import Corpus, Document, fetch, read_corpus
from spinodal.data.masking import MaskedWindows, Masking, masked_windows
from spinodal.data.tokenizers import byte_pair_tokenizer, character_tokenizer, token_stream

__all__ = [
    "Corpus",
    "Document",
    "MaskedWindows",
    "Masking",
    "byte_pair_tokenizer",
    "character_tokenizer",
    "fetch",
    "masked_windows",
    "read_corpus",
    "token_stream",
]
