"""Tokens made in pieces and kept in the cache are those of the text as a whole, bit for bit."""

import gzip
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import slow_but
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from spinodal.data import (
    CausalWindows,
    Corpus,
    Document,
    MaskedWindows,
    Masking,
    byte_pair_tokenizer,
    character_tokenizer,
    file_text,
    files,
    read_corpus,
    shards,
    tokenizers,
    tokens,
)
from spinodal.data.shards import ShardedTokens
from spinodal.data.tokenizers import (
    closing_token,
    cut_places,
    cut_safely,
    document_tokens,
    encodings,
    token_stream,
    word_tokens,
)
from spinodal.data.tokens import tokenize_corpus
from spinodal.errors import InputError

WORDS = (
    "don't", "we'll", "phase,", "liquid.", " ", "\n\n", "\t", "1234", "x_y", "日本語、", "é", "a\u0301", "<mask>",
    "  \n", "!?", "\u3000",
)  # fmt: skip
TEXT = "".join(WORDS[(i * i + i // 5) % len(WORDS)] + ("" if i % 3 else " ") for i in range(3000))
BYTES, CHARACTERS = byte_pair_tokenizer([TEXT], vocabulary=320), character_tokenizer([TEXT])


@pytest.mark.parametrize("tokenizer", [BYTES, CHARACTERS], ids=["bytes", "characters"])
@given(texts=st.lists(st.sampled_from(WORDS), max_size=60), size=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_text_in_pieces_has_the_tokens_of_the_whole(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], size: int
):
    text = "".join(texts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tokenizers, "PIECE", size)
        pieces = list(cut_safely([text[:5], text[5:]], cut_places(tokenizer)))
    assert "".join(pieces) == text
    [whole] = encodings(tokenizer, [text])
    assert [token for ids in encodings(tokenizer, pieces) for token in ids] == whole


@given(text=st.text(st.characters(max_codepoint=127), max_size=80))
@settings(max_examples=300, deadline=None)
def test_the_words_of_a_text_have_its_tokens(text: str):
    [whole] = encodings(BYTES, [text])
    assert word_tokens(text, BYTES, {}).tolist() == whole


def test_words_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokenizers, "KNOWN", 10)
    monkeypatch.setattr(tokenizers, "PIECE", 50)
    known: dict[str, list[int]] = {}
    text = " ".join(f"{i} and {i * i}" for i in range(500))
    found = np.concatenate(list(document_tokens([text], BYTES, known)))
    assert found[:-1].tolist() == encodings(BYTES, [text])[0]
    assert len(known) < 60


def test_long_texts_are_cut_often(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokenizers, "PIECE", 100)
    assert max(map(len, cut_safely([TEXT], cut_places(BYTES)))) < 300


def test_tokenizers_of_others_are_given_the_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokenizers, "PIECE", 100)
    other = byte_pair_tokenizer([TEXT], vocabulary=320)
    other.add_tokens(["liquid phase"])
    assert cut_places(other) is None
    assert list(cut_safely([TEXT], cut_places(other))) == [TEXT]


def test_a_tokenizer_of_pieces_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokenizers, "PIECE", 50)
    assert (
        byte_pair_tokenizer([TEXT], vocabulary=320).backend_tokenizer.to_str()
        == BYTES.backend_tokenizer.to_str()
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gzip"])
@pytest.mark.parametrize("piece", [4, 7, 1000])
def test_a_file_in_pieces_is_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, piece: int
):
    monkeypatch.setattr(files, "PIECE", piece)
    path = tmp_path / "text.txt"
    text = TEXT[:500].replace("\n", "\r\n") + "\r"
    path.write_bytes(gzip.compress(text.encode()) if encoding == "gzip" else text.encode(encoding))
    assert "".join(files.file_pieces(path)) == file_text(path)
    assert list(files.file_lines(path)) == file_text(path).split("\n")


BAD = {
    "byte": b"text \xff",
    "end": b"text \xe2\x82",
    "null": b"text \0 more",
    "gzip": gzip.compress(b"text")[:-4],
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_text_is_told_as_of_the_whole(tmp_path: Path, bad: str):
    path = tmp_path / "text.txt"
    path.write_bytes(BAD[bad])
    with pytest.raises(InputError) as whole:
        file_text(path)
    with pytest.raises(InputError) as pieces:
        read_corpus(path)
    assert str(pieces.value) == str(whole.value)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text whose tokens are kept, in a cache of its own, as if each start were a process of its own."""
    monkeypatch.setattr(tokens, "LEAST_KEPT", 100)
    monkeypatch.setattr(tokens, "tokens_of", tokens.tokens_of.__wrapped__)
    monkeypatch.setenv("SPINODAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("name", ["bpe", "characters"])
def test_kept_tokens_are_those_of_the_corpus(kept: Path, name: str):
    made = [tokenize_corpus(kept, tokenizer=name, vocabulary=320) for _ in range(2)]
    corpus = read_corpus(kept)
    tokenizer = BYTES if name == "bpe" else CHARACTERS
    for found in made:
        assert found.tokenizer.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
        for stream, part in zip(found.streams, corpus.split(), strict=True):
            assert isinstance(stream, ShardedTokens)
            assert all(isinstance(file, np.memmap) for file in stream.files)
            assert np.array_equal(stream[:], token_stream(part, tokenizer))
    assert made[0].digests == made[1].digests


def test_tokens_in_memory_are_those_that_are_kept(kept: Path, monkeypatch: pytest.MonkeyPatch):
    cached = tokenize_corpus(kept, vocabulary=320)
    monkeypatch.setattr(tokens, "LEAST_KEPT", 2**30)
    for ours, theirs in zip(tokenize_corpus(kept, vocabulary=320).streams, cached.streams, strict=True):
        assert type(ours) is np.ndarray
        assert np.array_equal(ours, theirs[:])


def test_a_text_is_tokenised_once(kept: Path, monkeypatch: pytest.MonkeyPatch):
    tokenize_corpus(kept, vocabulary=320)
    with monkeypatch.context() as refused:
        refused.setattr(tokens, "train_tokenizer", lambda *_: pytest.fail("tokenised again"))
        tokenize_corpus(kept, vocabulary=320)
        kept.rename(kept.with_name("moved.txt"))
        tokenize_corpus(kept.with_name("moved.txt"), vocabulary=320)
    kept.write_text(TEXT + "x")
    assert (
        tokenize_corpus(kept, vocabulary=320).digests
        != tokenize_corpus(kept.with_name("moved.txt"), vocabulary=320).digests
    )


def test_a_process_that_is_handed_tokens_maps_them(kept: Path):
    stream, _ = tokenize_corpus(kept, vocabulary=320).streams
    handed = pickle.dumps(stream)
    assert len(handed) < 1000
    again = pickle.loads(handed)
    assert isinstance(again, ShardedTokens)
    assert all(isinstance(file, np.memmap) for file in again.files)
    assert np.array_equal(again[:], stream[:])
    assert np.array_equal(pickle.loads(pickle.dumps(stream[3:9])), stream[3:9])


@pytest.fixture
def sharded(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Such a text, its tokens in shards of 1000."""
    monkeypatch.setattr(shards, "SHARD", 1000)
    return kept


@pytest.mark.parametrize("workers", slow_but([0, 2], 0))
@pytest.mark.parametrize("task", slow_but(["causal", "masked"], "masked"))
def test_samples_of_shards_are_those_of_the_tokens_in_memory(
    sharded: Path, monkeypatch: pytest.MonkeyPatch, workers: int, task: str
):
    def samples() -> list[list[dict[str, torch.Tensor]]]:
        corpus, found = tokenize_corpus(sharded, vocabulary=320), []
        for stream, frozen in zip(corpus.streams, (False, True), strict=True):
            if task == "causal":
                windows = CausalWindows(stream, 48, seed=3, frozen=frozen)
            else:
                windows = MaskedWindows(stream, corpus.tokenizer, Masking(48, seed=3), frozen=frozen)
            windows.set_epoch(2)
            random = torch.Generator().manual_seed(5)
            found.append([*DataLoader(windows, 8, shuffle=True, generator=random, num_workers=workers)])
        return found

    ours = samples()
    assert len([*sharded.parent.glob("cache/tokens/*/training-*.tokens")]) == 5
    monkeypatch.setattr(tokens, "LEAST_KEPT", 2**30)
    for batches, others in zip(ours, samples(), strict=True):
        assert len(batches) == len(others) > 0
        for batch, other in zip(batches, others, strict=True):
            assert all(torch.equal(batch[name], other[name]) for name in other)


def test_the_manifest_holds_checksum_and_number_of_each_shard(sharded: Path, tmp_path: Path):
    streams = tokenize_corpus(sharded, vocabulary=320).streams
    [path] = (tmp_path / "cache" / "tokens").glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    for part, stream in zip(("training", "validation"), streams, strict=True):
        told = manifest[part]
        assert [shard["file"] for shard in told] == [f"{part}-{k:05}.tokens" for k in range(len(told))]
        assert [shard["tokens"] for shard in told[:-1]] == [1000] * (len(told) - 1)
        assert sum(shard["tokens"] for shard in told) == stream.size
        for shard in told:
            content = (path.parent / shard["file"]).read_bytes()
            assert len(content) == 4 * shard["tokens"]
            assert hashlib.sha256(content).hexdigest() == shard["sha256"]


def test_every_damaged_shard_is_named_and_all_are_made_again(sharded: Path, tmp_path: Path):
    first = [stream[:] for stream in tokenize_corpus(sharded, vocabulary=320).streams]
    [folder] = (tmp_path / "cache" / "tokens").iterdir()
    content = bytearray((folder / "training-00001.tokens").read_bytes())
    content[1234] ^= 1
    (folder / "training-00001.tokens").write_bytes(content)
    (folder / "training-00003.tokens").unlink()
    with pytest.warns(
        UserWarning, match="training-00001.tokens is not what was written, training-00003.tokens is missing;"
    ):
        again = tokenize_corpus(sharded, vocabulary=320)
    assert all(np.array_equal(ours[:], theirs) for ours, theirs in zip(again.streams, first, strict=True))
    assert tokens.damage(folder) is None


def test_files_that_were_not_written_are_not_read(sharded: Path, tmp_path: Path):
    first = [stream[:] for stream in tokenize_corpus(sharded, vocabulary=320).streams]
    [folder] = (tmp_path / "cache" / "tokens").iterdir()
    (folder / "training-00099.tokens").write_bytes(bytes(4000))
    (folder / "training.tokens").write_bytes(bytes(4000))
    again = tokenize_corpus(sharded, vocabulary=320)
    assert all(np.array_equal(ours[:], theirs) for ours, theirs in zip(again.streams, first, strict=True))


def test_every_flipped_byte_of_a_manifest_is_found(sharded: Path, tmp_path: Path):
    tokenize_corpus(sharded, vocabulary=320)
    [path] = (tmp_path / "cache" / "tokens").glob("*/manifest.json")
    content = path.read_bytes()
    for k in range(0, len(content), 3):
        path.write_bytes(content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :])
        assert tokens.damage(path.parent)


@pytest.mark.parametrize("workers", [1, 2])
def test_samples_come_in_the_same_order_from_any_number_of_workers(kept: Path, workers: int):
    samples = CausalWindows(tokenize_corpus(kept, vocabulary=320).streams[0], 16, seed=3)

    def order(number: int) -> list[torch.Tensor]:
        random = torch.Generator().manual_seed(5)
        loader = DataLoader(samples, batch_size=8, shuffle=True, generator=random, num_workers=number)
        return [batch["input_ids"] for batch in loader]

    alone, shared = order(0), order(workers)
    assert len(alone) > 10
    assert all(map(torch.equal, alone, shared))


def test_byte_pairs_of_a_long_text_are_learnt_from_pieces_all_along_it(
    kept: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tokens, "LEARNT", len(TEXT) // 3)
    monkeypatch.setattr(tokenizers, "PIECE", 200)
    taught, learn = [], tokens.byte_pair_tokenizer
    monkeypatch.setattr(
        tokens, "byte_pair_tokenizer", lambda texts, **asked: learn(taught.extend(texts) or taught, **asked)
    )
    tokenize_corpus(kept, vocabulary=320)
    assert sum(map(len, taught)) == pytest.approx(len(TEXT) / 4, rel=0.2)
    assert TEXT.startswith(taught[0])
    assert taught[-1] in TEXT[-2000:]


@pytest.mark.parametrize("harm", ["flip", "cut", "delete", "null"])
@pytest.mark.parametrize("name", ["training-00000.tokens", "tokenizer.json", "manifest.json"])
def test_damaged_tokens_are_made_again(kept: Path, tmp_path: Path, harm: str, name: str):
    first = [stream[:] for stream in tokenize_corpus(kept, vocabulary=320).streams]
    [path] = (tmp_path / "cache" / "tokens").glob(f"*/{name}")
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"flip": content, "cut": content[:-3], "null": b"null"}.get(harm, b""))
    if harm == "delete":
        path.unlink()
    with pytest.warns(UserWarning, match="is damaged: .*; the text is tokenised again"):
        again = tokenize_corpus(kept, vocabulary=320)
    assert all(np.array_equal(ours[:], theirs) for ours, theirs in zip(again.streams, first, strict=True))


def test_a_place_that_cannot_be_written_is_named(kept: Path, tmp_path: Path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"cannot keep tokens in .*; let SPINODAL_CACHE name another folder"):
        tokenize_corpus(kept, vocabulary=320)


def test_few_tokens_are_told_each_time(kept: Path):
    for _ in range(2):
        with pytest.warns(UserWarning, match="the text yields only"):
            tokenize_corpus(kept, vocabulary=100_000)


def test_documents_of_a_file_in_json_lines_are_closed_each(kept: Path):
    path = kept.with_name("text.jsonl")
    texts = [TEXT[:300], "", TEXT[300:420], "x"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    found = tokenize_corpus(path, tokenizer="characters")
    corpus = Corpus("made", tuple(Document(str(i), text) for i, text in enumerate(texts)))
    for stream, part in zip(found.streams, corpus.split(), strict=True):
        assert np.array_equal(stream[:], token_stream(part, found.tokenizer))
    assert (found.streams[1][:] == closing_token(found.tokenizer)).sum() == 3


MEASURE = """
import resource, sys
from spinodal.data.tokens import tokenize_corpus
tokenize_corpus(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = tokenize_corpus(sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, found.streams[0].size)
"""


@pytest.mark.slow
@pytest.mark.parametrize("lines", [True, False], ids=["lines", "one-line"])
def test_memory_does_not_grow_with_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: bool):
    """24 MB of text, in lines or in one, take less than 100 MB above what 1 MB takes; the second start less than 30."""
    monkeypatch.setenv("SPINODAL_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    words = np.array(
        ["".join(chr(97 + c) for c in random.integers(26, size=n)) for n in random.integers(2, 9, 5000)]
    )
    text = ("\n" if lines else " ").join(" ".join(words[random.zipf(1.3, 12) % 5000]) for _ in range(20_000))
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text(text[: 2**20 + 1])
    large.write_text(text * (24 * 2**20 // len(text)))
    for bound in (100, 30):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, small, large], capture_output=True, text=True, check=True
        )
        grown, count = map(float, done.stdout.split())
        assert count > 10**6
        assert grown < bound
