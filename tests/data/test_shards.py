"""A stream in shards is indexed as the array that was written."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinodal.data import shards
from spinodal.data.shards import ShardedTokens, ShardWriter

TOKENS = np.random.default_rng(0).integers(50_000, size=37, dtype=np.int32)
PLACES = st.integers(-len(TOKENS), len(TOKENS) - 1)
ENDS = st.none() | st.integers(-50, 50)


def written(folder: Path, pieces: list[np.ndarray]) -> ShardedTokens:
    with pytest.MonkeyPatch.context() as patched, ShardWriter(folder, "made") as writer:
        patched.setattr(shards, "SHARD", 10)
        for piece in pieces:
            writer.write(piece)
    return ShardedTokens(folder, writer.shards())


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> ShardedTokens:
    return written(tmp_path_factory.mktemp("shards"), [TOKENS])


@given(cuts=st.lists(st.integers(0, len(TOKENS)), max_size=8))
@settings(max_examples=30, deadline=None)
def test_shards_depend_on_the_stream_and_not_on_its_pieces(
    tmp_path_factory: pytest.TempPathFactory, stream: ShardedTokens, cuts: list[int]
):
    found = written(tmp_path_factory.mktemp("shards"), np.split(TOKENS, sorted(cuts)))
    assert found.shards == stream.shards
    assert [shard.tokens for shard in found.shards] == [10, 10, 10, 7]
    assert np.array_equal(found[:], TOKENS)


@given(places=st.lists(PLACES), start=ENDS, stop=ENDS, step=ENDS.filter(lambda step: step != 0))
@settings(deadline=None)
def test_an_index_is_that_of_an_array(
    stream: ShardedTokens, places: list[int], start: int | None, stop: int | None, step: int | None
):
    index = np.array(places, dtype=np.int64)
    for asked in (index, index[:, None], slice(start, stop, step), *places[:1]):
        found, expected = stream[asked], TOKENS[asked]
        assert found.dtype == np.int32
        assert found.shape == expected.shape
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("index", [37, -38, np.array([0, 37])], ids=["after", "before", "array"])
def test_a_place_outside_is_refused(stream: ShardedTokens, index: int | np.ndarray):
    with pytest.raises(IndexError, match="of 37"):
        stream[index]


def test_a_stream_of_no_tokens_has_no_shards(tmp_path: Path):
    found = written(tmp_path, [TOKENS[:0]])
    assert len(found) == len(found.files) == 0
    assert found[:].shape == (0,)


def test_a_file_cut_after_it_was_read_once_is_not_mapped(tmp_path: Path):
    """Whole files are mapped by workers as they were told of them, or not at all."""
    found = written(tmp_path, [TOKENS])
    handed = pickle.dumps(found)
    assert np.array_equal(pickle.loads(handed)[8:33], TOKENS[8:33])
    (tmp_path / "made-00001.tokens").write_bytes(bytes(36))
    with pytest.raises(ValueError, match="mmap length is greater than file"):
        pickle.loads(handed)
