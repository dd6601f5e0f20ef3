"""Pairs as tokens: the source and the target are there to the letter, and padding is nowhere felt."""

import copy

import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import T5Config, T5ForConditionalGeneration

from spinodal.data import (
    PairWindows,
    byte_pair_tokenizer,
    character_tokenizer,
    pair_windows,
    reversals,
    trim_padding,
)
from spinodal.data.pairs import pairs_from_rows
from spinodal.data.samples import UNSELECTED
from spinodal.errors import InputError

PAIRS = pairs_from_rows(
    "made", [("the cat", "il gatto"), ("a <mask>", "una maschera"), ("日本", "Giappone"), ("oh", "o")]
)
CHARACTERS = character_tokenizer(PAIRS.texts)
BYTES = byte_pair_tokenizer([text * 3 for text in PAIRS.texts], vocabulary=270)


@pytest.mark.parametrize("tokenizer", [CHARACTERS, BYTES], ids=["characters", "bytes"])
def test_a_pair_is_there_to_the_letter(tokenizer):
    windows = PairWindows(PAIRS, tokenizer, source_length=20, target_length=21)
    assert len(windows) == 4
    for i in range(4):
        source, mask, target = (windows[i][name] for name in ("input_ids", "attention_mask", "labels"))
        assert (source.shape, mask.shape, target.shape) == ((20,), (20,), (21,))
        read, written = int(mask.sum()), int((target != UNSELECTED).sum())
        assert mask.tolist() == [1] * read + [0] * (20 - read)
        assert source[read:].eq(tokenizer.pad_token_id).all()
        assert target[written:].eq(UNSELECTED).all()
        assert source[read - 1] == target[written - 1] == tokenizer.eos_token_id
        assert tokenizer.decode(source[: read - 1]) == PAIRS.sources[i]
        assert tokenizer.decode(target[: written - 1]) == PAIRS.targets[i]
        assert tokenizer.mask_token_id not in source


def test_pairs_too_long_are_left_out_and_counted():
    with pytest.warns(
        UserWarning, match="1 of the 4 pairs of made .* 8 tokens read and 9 .* would take 9 and 13"
    ):
        windows = PairWindows(PAIRS, CHARACTERS, source_length=8, target_length=9)
    assert windows.pairs.sources == ("the cat", "日本", "oh")
    assert [CHARACTERS.decode(windows[i]["input_ids"], skip_special_tokens=True) for i in range(3)] == [
        "the cat",
        "日本",
        "oh",
    ]
    with pytest.raises(InputError, match=r"4 of the 4 pairs of made .*: the shortest take 3 and 2"):
        PairWindows(PAIRS, CHARACTERS, source_length=2, target_length=20)


def test_a_model_is_judged_on_the_target_and_trimming_changes_nothing():
    torch.manual_seed(0)
    config = T5Config.from_dict({
        "vocab_size": len(CHARACTERS), "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2,
        "pad_token_id": 0, "eos_token_id": 4, "decoder_start_token_id": 3,
    })  # fmt: skip
    model = T5ForConditionalGeneration(config).eval()
    windows = PairWindows(PAIRS, CHARACTERS, source_length=64, target_length=48)
    whole, short = (trim_padding([windows[i] for i in (0, 1, 3)], multiple=multiple) for multiple in (48, 4))
    assert {name: values.shape[1] for name, values in whole.items()} == {
        "input_ids": 48, "attention_mask": 48, "labels": 48,
    }  # fmt: skip
    assert {name: values.shape[1] for name, values in short.items()} == {
        "input_ids": 12, "attention_mask": 12, "labels": 16,
    }  # fmt: skip
    nats = []
    with torch.no_grad():
        for i in (0, 1, 3):
            source = [*CHARACTERS(PAIRS.sources[i], split_special_tokens=True)["input_ids"], 4]
            target = [*CHARACTERS(PAIRS.targets[i])["input_ids"], 4]
            logits = model(
                input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[3, *target[:-1]]])
            ).logits[0]
            nats += [-float(log_softmax(logits, -1)[k, token]) for k, token in enumerate(target)]
        for batch in (whole, short):
            assert float(model(**batch).loss) == pytest.approx(sum(nats) / len(nats), rel=1e-5)


def test_a_batch_is_never_longer_than_the_pairs_are():
    windows = PairWindows(PAIRS, CHARACTERS, source_length=10, target_length=14)
    batch = trim_padding([windows[i] for i in range(4)])
    assert batch["input_ids"].shape == (4, 10)
    assert batch["labels"].shape == (4, 14)


def test_parts_are_those_of_the_pairs():
    pairs = reversals(100)
    parts = pair_windows(pairs.split(), character_tokenizer(pairs.texts), source_length=17, target_length=17)
    assert [part.pairs for part in parts] == list(pairs.split())


def test_what_cannot_be_padded_or_ended_is_refused():
    bare = copy.deepcopy(CHARACTERS)
    bare.pad_token = None
    with pytest.raises(InputError, match="no padding token"):
        PairWindows(PAIRS, bare)
    bare.eos_token = None
    with pytest.raises(InputError, match="neither an end-of-sequence nor a separator"):
        PairWindows(PAIRS, bare)
    with pytest.raises(InputError, match="a context of 1 tokens"):
        PairWindows(PAIRS, CHARACTERS, target_length=1)
