from .archives import fetch
from .causal import CausalWindows, causal_windows
from .corpora import Corpus, Document, read_corpus
from .files import decode_text, file_text
from .masking import MaskedWindows, Masking, masked_windows
from .pairs import Pairs
from .pinned_models import PINNED_MODELS, PinnedModel, fetch_model
from .puzzles import reversals, sortings
from .reading import read_pairs
from .recall import Recall, RecallWindows, recall_windows
from .samples import Samples
from .sides import tokenizers_by_side
from .speech import Prompt, read_prompts
from .tokenizers import byte_pair_tokenizer, character_tokenizer, encode_prompt, token_stream
from .translation import LengthBuckets, PairWindows, pair_windows, trim_padding

__all__ = [
    "PINNED_MODELS",
    "CausalWindows",
    "Corpus",
    "Document",
    "LengthBuckets",
    "MaskedWindows",
    "Masking",
    "PairWindows",
    "Pairs",
    "PinnedModel",
    "Prompt",
    "Recall",
    "RecallWindows",
    "Samples",
    "byte_pair_tokenizer",
    "causal_windows",
    "character_tokenizer",
    "decode_text",
    "encode_prompt",
    "fetch",
    "fetch_model",
    "file_text",
    "masked_windows",
    "pair_windows",
    "read_corpus",
    "read_pairs",
    "read_prompts",
    "recall_windows",
    "reversals",
    "sortings",
    "token_stream",
    "tokenizers_by_side",
    "trim_padding",
]
