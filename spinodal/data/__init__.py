"""Text that trains a model: corpora, tokenizers, and the samples of a task."""

from spinodal.data.archives import fetch
from spinodal.data.causal import CausalWindows, causal_windows
from spinodal.data.corpora import Corpus, Document, read_corpus
from spinodal.data.files import file_text
from spinodal.data.masking import MaskedWindows, Masking, masked_windows
from spinodal.data.pairs import Pairs
from spinodal.data.puzzles import reversals, sortings
from spinodal.data.reading import read_pairs
from spinodal.data.recall import Recall, RecallWindows, recall_windows
from spinodal.data.samples import Samples
from spinodal.data.tokenizers import byte_pair_tokenizer, character_tokenizer, encoded, token_stream
from spinodal.data.translation import PairWindows, pair_windows, trimmed

__all__ = [
    "CausalWindows",
    "Corpus",
    "Document",
    "MaskedWindows",
    "Masking",
    "PairWindows",
    "Pairs",
    "Recall",
    "RecallWindows",
    "Samples",
    "byte_pair_tokenizer",
    "causal_windows",
    "character_tokenizer",
    "encoded",
    "fetch",
    "file_text",
    "masked_windows",
    "pair_windows",
    "read_corpus",
    "read_pairs",
    "recall_windows",
    "reversals",
    "sortings",
    "token_stream",
    "trimmed",
]
