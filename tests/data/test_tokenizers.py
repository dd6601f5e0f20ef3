"""Tokenizers: exact round trips, one mask token, and the same tokens every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from spinodal.data import (
    Corpus,
    Document,
    byte_pair_tokenizer,
    character_tokenizer,
    encode_prompt,
    read_corpus,
    token_stream,
)
from spinodal.data.tokenizers import MOST, SPECIAL
from spinodal.errors import InputError

TEXTS = ["to be or not to be, that is the question:\n" * 3, "whether 'tis nobler in the mind to suffer\n" * 3]
BYTES = byte_pair_tokenizer(TEXTS, vocabulary=300)
CHARACTERS = character_tokenizer(TEXTS)
MASK = SPECIAL.index("<mask>")
BOTH = pytest.mark.parametrize("tokenizer", [BYTES, CHARACTERS], ids=["bytes", "characters"])


@given(st.text())
@pytest.mark.slow
def test_bytes_return_any_text(text):
    assert BYTES.decode(BYTES(text, split_special_tokens=True)["input_ids"]) == text


@pytest.mark.parametrize(
    "text", ["", " ", "a , b .", "it 's\n\n\t x ", "日本 e\u0301 \U0001f600", "<mask> <eos>"]
)
def test_bytes_return_what_clean_up_would_spoil(text):
    assert BYTES.decode(BYTES(text, split_special_tokens=True)["input_ids"]) == text


@given(st.text(alphabet=sorted(set("".join(TEXTS)))))
def test_characters_are_tokens_one_by_one(text):
    ids = CHARACTERS.encode(text)
    assert CHARACTERS.convert_ids_to_tokens(ids) == list(text)
    assert CHARACTERS.decode(ids) == text


def test_an_unseen_character_is_unknown():
    assert CHARACTERS.convert_ids_to_tokens(CHARACTERS.encode("b日\U0001f600e")) == [
        "b",
        "<unk>",
        "<unk>",
        "e",
    ]


@BOTH
def test_special_tokens_come_first_and_once(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3, 4]
    assert sorted(tokenizer.all_special_ids) == [0, 1, 2, 3, 4]
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


def test_the_mask_stands_for_a_word_with_its_space():
    ids = BYTES.encode("to be or <mask> to be")
    assert ids.count(MASK) == 1
    at = ids.index(MASK)
    assert BYTES.decode(ids[:at]) == "to be or"
    assert BYTES.decode(ids[at + 1 :]) == " to be"


def test_the_mask_stands_for_one_character():
    assert CHARACTERS.convert_ids_to_tokens(CHARACTERS.encode("or <mask>ot")) == [*"or ", "<mask>", *"ot"]


@BOTH
def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "to be  or\n <mask> to ☃ be , .\n"
    assert again.encode(text) == tokenizer.encode(text)
    assert again.decode(again.encode("a  , b.\n")) == tokenizer.decode(tokenizer.encode("a  , b.\n"))
    assert (again.get_vocab(), again.mask_token_id) == (tokenizer.get_vocab(), 2)


def test_training_repeats():
    texts = read_corpus("shakespeare").split()[0].texts[:10]
    made = [byte_pair_tokenizer(texts) for _ in range(2)]
    assert made[0].backend_tokenizer.to_str() == made[1].backend_tokenizer.to_str()
    assert len(made[0]) == 2048
    assert made[0].convert_ids_to_tokens(made[0].encode("the king")) == ["the", "Ġking"]


def test_a_stream_is_documents_to_the_letter_each_closed():
    corpus = Corpus("made", (Document("a", "to <mask> be"), Document("b", "or <eos>")))
    stream = token_stream(corpus, BYTES)
    assert stream.dtype == np.int32
    ends = np.flatnonzero(stream == BYTES.eos_token_id)
    assert len(ends) == 2
    assert ends[-1] == len(stream) - 1
    assert BYTES.mask_token_id not in stream
    assert BYTES.decode(stream[: ends[0]]) == "to <mask> be"
    assert BYTES.decode(stream[ends[0] + 1 : -1]) == "or <eos>"


def test_a_poor_text_gives_fewer_tokens_and_says_so():
    with pytest.warns(UserWarning, match="only 2[0-9][0-9] of the 2048 tokens"):
        assert len(byte_pair_tokenizer(["aaab"], vocabulary=2048)) < 2048


@pytest.mark.parametrize("vocabulary", [-1, 0, 260, MOST + 1])
def test_an_absurd_vocabulary_is_refused(vocabulary):
    with pytest.raises(InputError, match=f"a vocabulary of {vocabulary} tokens: .* at least 261"):
        byte_pair_tokenizer(TEXTS, vocabulary=vocabulary)


def test_the_bytes_alone_are_a_vocabulary():
    tokenizer = byte_pair_tokenizer(TEXTS, vocabulary=261)
    assert len(tokenizer.encode("be é")) == len("be é".encode())


@pytest.mark.parametrize("train", [byte_pair_tokenizer, character_tokenizer])
@pytest.mark.parametrize("texts", [[], [""]])
def test_no_text_trains_no_tokenizer(train, texts):
    with pytest.raises(InputError, match="no text"):
        train(texts)


def test_a_prompt_is_read_to_the_letter():
    assert BYTES.decode(encode_prompt(BYTES, "to <mask> 日本\n")) == "to <mask> 日本\n"
    assert BYTES.mask_token_id not in encode_prompt(BYTES, "to <mask>")
    assert CHARACTERS.decode(encode_prompt(CHARACTERS, "to be")) == "to be"


@pytest.mark.parametrize("text", ["to be 日本", "to be \U0001f600", "to be <eos>"])
def test_a_prompt_of_unknown_characters_is_refused(text):
    with pytest.raises(InputError, match=f"holds '{text[6]}' at character 7, .* tokenizer=bpe"):
        encode_prompt(CHARACTERS, text)


@BOTH
def test_an_empty_prompt_is_refused(tokenizer):
    with pytest.raises(InputError, match="the text is empty"):
        encode_prompt(tokenizer, "")
