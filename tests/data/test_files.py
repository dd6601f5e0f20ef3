"""Text files in the encodings, line ends, compression and lines of JSON that users have; what is no text says so."""

import codecs
import gzip
import json
from pathlib import Path

import pytest

from spinodal.data import Pairs, file_text, read_corpus, read_pairs
from spinodal.errors import InputError

TEXT = "naïve 日本 🙂\nsecond line\n"
WINDOWS = TEXT.replace("\n", "\r\n")


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        WINDOWS.encode("utf-8-sig"),
        WINDOWS.encode("utf-16"),
        codecs.BOM_UTF16_BE + WINDOWS.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        gzip.compress(WINDOWS.encode(), mtime=0),
        gzip.compress(WINDOWS.encode("utf-16"), mtime=0),
    ],
    ids=["utf-8", "utf-8 mark", "utf-16 le", "utf-16 be", "utf-32", "gzip", "gzip of utf-16"],
)
def test_every_encoding_with_a_mark_gives_the_same_text(tmp_path: Path, raw: bytes):
    path = tmp_path / "text.txt"
    path.write_bytes(raw)
    assert file_text(path) == TEXT


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("word".encode("utf-16-le"), r"a\.txt is not text: byte 1 is 0x00"),
        (codecs.BOM_UTF16_LE + b"a\0\0\xd8", r"a\.txt is not UTF-16 text: byte 4 is 0x00"),
        (gzip.compress(b"a" * 1000, mtime=0)[:-4], r"a\.txt cannot be decompressed: "),
        ("é".encode("latin-1"), r"a\.txt is not UTF-8 text: byte 0 is 0xe9"),
    ],
)
def test_what_is_no_text_is_refused_in_a_sentence(tmp_path: Path, raw: bytes, message: str):
    (tmp_path / "a.txt").write_bytes(raw)
    with pytest.raises(InputError, match=message):
        file_text(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.jsonl.gz", "a.ndjson"])
def test_lines_of_json_are_documents(tmp_path: Path, name: str):
    lines = "".join(json.dumps({"text": text, "id": 1}) + "\r\n" for text in ("one\nline", "日本", ""))
    raw = lines.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert read_corpus(tmp_path / name).texts == ("one\nline", "日本")
    assert read_corpus(tmp_path).texts == ("one\nline", "日本")  # in a folder too


def test_the_field_of_the_text_is_named(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "words", "text": 3}\n')
    assert read_corpus(path, text_field="content").texts == ("words",)
    with pytest.raises(
        InputError, match=r"line 1: the field 'text' holds no text; its fields are content, text"
    ):
        read_corpus(path)
    (tmp_path / "b.txt").write_text("words")
    with pytest.raises(InputError, match=r"text_field=content: .*b\.txt is not in JSON lines"):
        read_corpus(tmp_path / "b.txt", text_field="content")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("to be", "line 2: Expecting value"),
        ('["to be"]', "line 2: the field 'text' holds no text; it is no object"),
        ('{"text": "half \\ud83d"}', "line 2: character 6 of the text is .*half of a surrogate pair"),
    ],
)
def test_a_line_that_holds_no_text_is_named(tmp_path: Path, line: str, message: str):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n' + line + "\n")
    with pytest.raises(InputError, match=message):
        read_corpus(path)


def test_pairs_come_compressed_and_in_any_case_of_the_ending(tmp_path: Path):
    (tmp_path / "a.JSONL").write_text('["one", "uno"]\n')
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress("one\tuno\r\n".encode("utf-16")))
    for name in ("a.JSONL", "a.tsv.gz"):
        assert read_pairs(tmp_path / name).texts == ("one", "uno")


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("a.jsonl", '["two \\ud83d", "zwei"]', "line 2: the source: character 5 .* surrogate pair"),
        ("a.jsonl", '["two", "\\udc00"]', "line 2: the target: character 1 .* surrogate pair"),
        ("a.tsv", "\u200b\tzwei", "line 2: the source is empty"),
        ("a.tsv", "two\t\ufeff\u200d", "line 2: the target is empty"),
        ("a.jsonl", '"two\\tzwei"', "line 2: a line is"),
    ],
)
def test_a_side_that_is_no_text_is_named(tmp_path: Path, name: str, line: str, message: str):
    first = '["one", "eins"]' if name == "a.jsonl" else "one\teins"
    (tmp_path / name).write_text(f"{first}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / name)


@pytest.mark.parametrize(
    "texts",
    [
        [f"क{sign}ल" for sign in ("", "ा", "ि", "ी", "ु", "ू", "े", "ै", "ो", "ौ")],
        [f"ก{mark}า" for mark in ("", "่", "้", "๊", "๋")],  # Thai tones
        ["שָׁלוֹם", "שִׁלּוּם", "שלום"],  # Hebrew points
        ["كَتَبَ", "كُتِبَ", "كتب"],  # Arabic vowels
        ["각", "간", "갈"],  # Hangul
        ["yes 🙂", "yes 🙃", "yes"],
        ["2+2", "2=2", "22"],
    ],
    ids=["hindi", "thai", "hebrew", "arabic", "hangul", "emoji", "symbols"],
)
def test_texts_that_differ_in_a_mark_are_no_duplicates(texts: list[str]):
    """With each its own target they are as many groups: three pairs can be split, where one group could not."""
    pairs = Pairs("made", tuple(texts), tuple(f"w{i}" for i in range(len(texts))))
    assert sum(len(part) for part in pairs.split()) == len(texts)


def test_case_width_punctuation_and_composition_still_make_no_difference():
    same = ("Cafe\u0301, au lait!", "ｃａｆé au\u200b lait")
    pairs = Pairs("made", (*same, "two", "three", "four"), ("a", "b", "c", "d", "e"))
    parts = [part for part in pairs.split() if set(same) & set(part.sources)]
    assert len(parts) == 1
