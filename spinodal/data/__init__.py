"""Text that trains a model: corpora, tokenizers, and the samples of a task."""

from spinodal.data.causal import CausalWindows, causal_windows
from spinodal.data.corpora import Corpus, Document, fetch, read_corpus
from spinodal.data.masking import MaskedWindows, Masking, masked_windows
from spinodal.data.recall import Recall, RecallWindows, recall_windows
from spinodal.data.samples import Samples
from spinodal.data.tokenizers import byte_pair_tokenizer, character_tokenizer, encoded, token_stream

__all__ = [
    "CausalWindows",
    "Corpus",
    "Document",
    "MaskedWindows",
    "Masking",
    "Recall",
    "RecallWindows",
    "Samples",
    "byte_pair_tokenizer",
    "causal_windows",
    "character_tokenizer",
    "encoded",
    "fetch",
    "masked_windows",
    "read_corpus",
    "recall_windows",
    "token_stream",
]
