"""Pairs of a source text and a target text, and their split into training, validation and test."""

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from spinodal.errors import InputError


@dataclass(frozen=True)
class Pairs:
    """Pairs (sources[i], targets[i]); InputError if there is none, or if the numbers of texts differ."""

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]

    def __post_init__(self):
        if len(self.sources) != len(self.targets):
            raise InputError(f"{self.name} has {len(self.sources)} sources but {len(self.targets)} targets")
        if not self.sources:
            raise InputError(f"{self.name} holds no pairs")

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def texts(self) -> tuple[str, ...]:
        """All sources, then all targets, for a tokenizer of both."""
        return self.sources + self.targets

    def swap(self) -> "Pairs":
        """The same pairs with sources and targets exchanged."""
        return Pairs(f"{self.name}, turned", self.targets, self.sources)

    def subset(self, name: str, chosen: Int64[np.ndarray, " k"]) -> "Pairs":
        """The chosen pairs, in their order."""
        return Pairs(name, tuple(self.sources[i] for i in chosen), tuple(self.targets[i] for i in chosen))

    def split(self) -> "tuple[Pairs, Pairs, Pairs]":
        """(training, validation, test): one pair in 20 for each of the latter, chosen by their content.

        Pairs that have a text in common, on whichever side, are in one part, so that no text of the
        latter is trained on. Texts are the same if they differ in nothing but case, width, white
        space and punctuation; texts that differ in a word, as of parallel Gospels, are not. The split
        does not depend on the order of the pairs, nor on which side is the source.

        InputError where a part would be empty: there are too few pairs, or shared texts link them all.
        """
        groups = _groups(self)
        order = np.argsort(groups, kind="stable")
        rooms = {
            "validation": max(1, len(self) // 20),
            "test": max(1, len(self) // 20),
            "training": len(self),
        }
        parts: dict[str, list[int]] = {name: [] for name in rooms}
        for group in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            name = next(name for name, room in rooms.items() if len(group) <= room)
            rooms[name] -= len(group)
            parts[name].extend(group)
        for name, part in parts.items():
            if not part:
                raise InputError(
                    f"{self.name}: its {len(self)} pairs leave none for the {name} part, as pairs with a text "
                    f"in common stay together; add other pairs"
                )
        training, validation, test = (
            self.subset(f"{self.name} ({name} part)", np.sort(parts[name]))
            for name in ("training", "validation", "test")
        )
        return training, validation, test


def pairs_from_rows(name: str, rows: Iterable[tuple[str, str]]) -> Pairs:
    """Pairs of (source, target) rows."""
    rows = list(rows)
    return Pairs(name, tuple(source for source, _ in rows), tuple(target for _, target in rows))


def _plain(text: str) -> str:
    """The normal form by which duplicates are found: NFKC, case folded, letters, numbers and symbols alone.

    Combining marks stay: vowel signs of Indic scripts and points of Hebrew tell words apart. So do symbols and emoji.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(_tells_apart, folded)) or text


def _tells_apart(letter: str) -> bool:
    kind = unicodedata.category(letter)
    variation = "\ufe00" <= letter <= "\ufe0f"  # chooses a glyph for the character before it
    return (kind[0] in "LMN" and not variation) or kind in ("Sm", "Sc", "So")


def _groups(pairs: Pairs) -> Int64[np.ndarray, " k"]:
    """For each pair the rank of its group, the groups in order of a hash of their first text."""
    texts = [_plain(text) for text in pairs.texts]
    names = sorted(set(texts))
    ids = {text: i for i, text in enumerate(names)}
    read, written = np.array([ids[text] for text in texts]).reshape(2, -1)
    links = coo_matrix((np.ones(len(pairs)), (read, written)), shape=(len(names), len(names)))
    _, labels = connected_components(links, directed=False)
    _, first = np.unique(labels, return_index=True)
    digests = [hashlib.sha256(names[i].encode()).hexdigest() for i in first]
    return np.argsort(np.argsort(digests))[labels[read]]
