"""Text files: encodings, compression by gzip, and JSON lines."""

import codecs
import contextlib
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spinodal.errors import InputError

# UTF-32 first: its mark of little-endian order begins with that of UTF-16
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
JSON_LINES = (".jsonl", ".ndjson")
PIECE = 2**20  # bytes that are read at once


def file_text(path: Path) -> str:
    """The text of a file, as `decode_text` reads its bytes; InputError where it cannot be read or is no text."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return decode_text(raw, str(path))


def decode_text(raw: bytes, name: str) -> str:
    r"""The text of bytes in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, compressed by gzip or not.

    Lines end with \n, whether they did so or with \r\n; no byte order mark is left. InputError, with `name`, for
    bytes that are no such text.
    """
    if raw.startswith(b"\x1f\x8b"):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name} cannot be decompressed: {error}") from error
    encoding = next((encoding for mark, encoding in MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        shown = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
        raise InputError(
            f"{name} is not {shown} text: byte {error.start} is {raw[error.start]:#04x}"
        ) from error
    if "\0" in text:
        at = raw.index(0) if encoding.startswith("utf-8") else text.index("\0")
        raise InputError(
            f"{name} is not text: {'byte' if encoding.startswith('utf-8') else 'character'} {at} is 0x00"
        )
    return text.replace("\r\n", "\n")


def file_pieces(path: Path) -> Iterator[str]:
    """`file_text` in pieces, none of them empty, so that a file is never in memory as a whole.

    InputError as in `file_text`, raised at the latest at the first piece that is no text.
    """
    try:
        with contextlib.ExitStack() as stack:
            file: Any = stack.enter_context(path.open("rb"))
            if file.peek(2).startswith(b"\x1f\x8b"):
                file = stack.enter_context(gzip.open(file))
            yield from _decoded(file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, _NotTextError):
        file_text(path)  # says what is wrong, and where
        raise InputError(f"{path} changed while it was read") from None


class _NotTextError(ValueError):
    pass


def _decoded(file: Any) -> Iterator[str]:
    head = file.read(PIECE)
    encoding = next((encoding for mark, encoding in MARKS.items() if head.startswith(mark)), "utf-8")
    decoder, held = codecs.getincrementaldecoder(encoding)(), ""
    while head or held or decoder.getstate()[0]:
        text = held + decoder.decode(head, final=not head)
        held = "\r" if head and text.endswith("\r") else ""  # its \n may come with the next piece
        text = text.removesuffix("\r") if held else text
        if "\0" in text:
            raise _NotTextError
        if text:
            yield text.replace("\r\n", "\n")
        if not head:
            return
        head = file.read(PIECE)


def file_lines(path: Path) -> Iterator[str]:
    """The lines of a file, without their ends, read piece by piece."""
    held: list[str] = []
    for piece in file_pieces(path):
        first, *rest = piece.split("\n")
        held.append(first)
        if rest:
            yield "".join(held)
            yield from rest[:-1]
            held = [rest[-1]]
    yield "".join(held)


def text_suffix(path: Path) -> str:
    """The suffix of a file in lower case, such as ".txt"; for a compressed file the one before .gz."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """(number, value) of the lines of a file in JSON lines that are not blank; InputError names a line."""
    for number, line in enumerate(file_lines(path), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}: {error}") from None


def refuse_half_pair(text: str, name: str) -> None:
    r"""InputError for a text that UTF-8 cannot encode: JSON may hold a lone surrogate, such as \ud83d."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise InputError(
            f"{name}: character {error.start + 1} of the text is {half!r}, "
            f"half of a surrogate pair, which is no character"
        ) from None
