"""A tokenizer for each side: symbols of the targets are tokens of their own, in one vocabulary with the sources'."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from spinodal.data import (
    LengthBuckets,
    Pairs,
    PairWindows,
    byte_pair_tokenizer,
    character_tokenizer,
    tokenizers_by_side,
)
from spinodal.errors import InputError

SOURCES = ("cat", "tomato", "déjà vu", "a cat")
TARGETS = ("K AE1 T", "T AH0 M EY1 T OW2", "D EY2 ZH AA2 V UW1", "AH0 K AE1 T")
READERS = {"characters": character_tokenizer, "bpe": lambda texts: byte_pair_tokenizer(texts, vocabulary=262)}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("symbols", ["words", "characters"])
def test_sources_are_read_as_before_and_targets_come_back(reader: str, symbols: str, tmp_path: Path):
    """Of words each is one token; what is saved encodes and decodes the same."""
    sources = READERS[reader](SOURCES)
    both, written = tokenizers_by_side(sources, TARGETS, symbols=symbols)
    both.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    for text in SOURCES:
        assert both(text)["input_ids"] == saved(text)["input_ids"] == sources(text)["input_ids"]
    for text in TARGETS:
        ids = written(text)["input_ids"]
        assert len(ids) == len(text.split() if symbols == "words" else text)
        assert max(ids) < len(both)
        assert both.decode(ids) == saved.decode([3, *ids, 4, 0], skip_special_tokens=True) == text
    assert written("Q?")["input_ids"].count(written.unk_token_id) >= 1
    for name in ("pad", "unk", "mask", "bos", "eos"):
        assert len({getattr(t, f"{name}_token_id") for t in (sources, both, written)}) == 1


def test_what_no_target_is_made_of_is_refused():
    with pytest.raises(InputError, match="`symbols` bytes: one of characters, words"):
        tokenizers_by_side(character_tokenizer(SOURCES), TARGETS, symbols="bytes")
    with pytest.raises(InputError, match="no text"):
        tokenizers_by_side(character_tokenizer(SOURCES), [" "], symbols="words")


def windows(count: int) -> PairWindows:
    random = np.random.default_rng(0)
    texts = [["x" * random.integers(1, 30) for _ in range(count)] for _ in range(2)]
    pairs = Pairs("made", tuple(texts[0]), tuple(texts[1]))
    return PairWindows(pairs, character_tokenizer(["x"]), source_length=32, target_length=32)


def test_buckets_are_a_permutation_in_steps_of_one_length():
    """Every pair once but those that fill no step, another order each epoch, the same one for the same epoch."""
    found = windows(203)
    buckets = LengthBuckets(found, step=8, steps=6, seed=3)
    order = list(buckets)
    assert len(order) == len(buckets) == 200
    assert len(set(order)) == 200
    assert order == list(LengthBuckets(found, step=8, steps=6, seed=3))
    longest = np.array([len(text) for text in found.pairs.sources])

    def padding(chosen: list[int]) -> float:
        steps = longest[np.array(chosen)].reshape(-1, 8)
        return float((steps.max(1, keepdims=True) - steps).mean())

    assert padding(order) < padding(list(np.random.default_rng(1).permutation(200))) / 2
    found.set_epoch(1)
    assert list(buckets) != order
    found.set_epoch(0)
    assert list(buckets) == order
