"""A stream of tokens in files of equal length, written one after another and read as one.

    shard k     tokens[k SHARD .. (k + 1) SHARD - 1] as int32, little-endian; the last shard holds what is left

A shard is identified by its name, the number of its tokens and their sha256.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer

from spinodal.data.archives import checksum

SHARD = 2**27  # tokens, 512 MB: 10^11 tokens are 746 open files, and most systems allow a process 1024


@dataclass(frozen=True)
class Shard:
    """A file of tokens in a folder: its name, and the number and the sha256 of the tokens written to it."""

    file: str
    tokens: int
    sha256: str

    def damage(self, folder: Path) -> str | None:
        """A text that says what is wrong with the file in `folder`; None if it is as it was written."""
        path = folder / self.file
        if not path.is_file():
            return f"{self.file} is missing"
        whole = path.stat().st_size == 4 * self.tokens and checksum(path) == self.sha256
        return None if whole else f"{self.file} is not what was written"


class ShardWriter(contextlib.ExitStack):
    """Writes a stream, piece by piece, to the files {name}-00000.tokens, {name}-00001.tokens, ..."""

    def __init__(self, folder: Path, name: str):
        super().__init__()
        self.folder, self.name = folder, name
        self.digests, self.sizes = [], []  # of each shard

    def write(self, tokens: Int32[np.ndarray, " _"]) -> None:
        """Appends tokens to the stream."""
        while tokens.size:
            if not self.sizes or self.sizes[-1] == SHARD:
                self.close()
                path = self.folder / self.file(len(self.sizes))
                self.current = self.enter_context(path.open("wb"))
                self.digests.append(hashlib.sha256())
                self.sizes.append(0)
            head = tokens[: SHARD - self.sizes[-1]]
            content = head.astype("<i4").tobytes()
            self.current.write(content)
            self.digests[-1].update(content)
            self.sizes[-1] += head.size
            tokens = tokens[head.size :]

    def file(self, number: int) -> str:
        """The name of the file of shard `number`."""
        return f"{self.name}-{number:05}.tokens"

    def shards(self) -> list[Shard]:
        """The shards that have been written so far."""
        written = enumerate(zip(self.sizes, self.digests, strict=True))
        return [Shard(self.file(k), size, digest.hexdigest()) for k, (size, digest) in written]


class ShardedTokens:
    """The tokens of shards one after another, mapped into memory: read where they are used, never all at once.

    An index is an integer, a slice, or an array of integers, as in one dimension of numpy, and its tokens are a copy.
    `size` is of a stream that ends earlier. Another process that is handed the stream maps the files itself.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard], size: int | None = None):
        self.folder, self.shards = folder, tuple(shards)
        self.ends = np.cumsum([shard.tokens for shard in shards], dtype=np.int64)
        self.size = sum(shard.tokens for shard in shards) if size is None else size
        self.files = [
            np.memmap(folder / shard.file, dtype="<i4", mode="r", shape=(shard.tokens,)) for shard in shards
        ]

    def __reduce__(self) -> tuple[type["ShardedTokens"], tuple[Path, tuple[Shard, ...], int]]:
        return ShardedTokens, (self.folder, self.shards, self.size)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int | slice | Integer[np.ndarray, "..."]) -> Int32[np.ndarray, "..."]:
        places = np.arange(*index.indices(self.size)) if isinstance(index, slice) else np.asarray(index)
        if ((places < -self.size) | (places >= self.size)).any():
            raise IndexError(f"token {index} of {self.size}")
        places = np.where(places < 0, places + self.size, places)
        holders = np.searchsorted(self.ends, places, side="right")
        found = np.empty(places.shape, dtype=np.int32)
        for k in np.flatnonzero(np.bincount(holders.ravel())):
            held = holders == k
            found[held] = self.files[k][places[held] - self.ends[k] + self.shards[k].tokens]
        return found
