"""Sentences of package descriptions: cut alike in both languages, and refused in words where no lists are."""

import os
from pathlib import Path

import pytest

from spinodal.data import debian, read_pairs
from spinodal.errors import InputError

ENTRY = """Package: {package}
Description-md5: {package}{package}
Description-{language}: {text}
"""
ENGLISH = {
    "a": "small tool for pictures\n It reads pictures of all kinds. It writes none.\n .\n There are:\n  * a viewer for "
    "you;\n  * too few words.",
    "b": "library to read old files\n One sentence that is here.",
    "c": "a file that nobody translated",
    "d": "Small Tool for Pictures\n The same name with the same words",
}
ITALIAN = {
    "a": "piccolo strumento per immagini\n Legge immagini di ogni tipo. Non ne scrive.\n .\n Ci sono:\n  * un visore "
    "per te.\n  * poche.",
    "b": "libreria per leggere vecchi file\n Una frase che è qui. E una seconda.",
    "d": "Piccolo strumento, altro testo\n The same name with the same words",
}
EXPECTED = [
    ("It reads pictures of all kinds", "Legge immagini di ogni tipo"),
    ("It writes none", "Non ne scrive"),
    ("a viewer for you", "un visore per te"),
    ("library to read old files", "libreria per leggere vecchi file"),
    ("small tool for pictures", "piccolo strumento per immagini"),
]


def written(language: str, texts: dict[str, str]) -> str:
    return "\n".join(ENTRY.format(package=key, language=language, text=text) for key, text in texts.items())


def test_sentences_are_pairs_where_their_numbers_agree():
    """Marks at the end go; titles of two spellings are one; equal texts and too few words are none."""
    both = [
        dict(debian.parse_list(written(language, texts), language))
        for language, texts in (("en", ENGLISH), ("it", ITALIAN))
    ]
    assert set(debian.sentence_pairs(*both)) == set(EXPECTED)


def test_lists_are_read_as_apt_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lists = {language: tmp_path / language for language in ("en", "it")}
    for language, texts in (("en", ENGLISH), ("it", ITALIAN)):
        lists[language].write_text(written(language, texts))
    tool = tmp_path / "apt-get"
    tool.write_text(f'#!/bin/sh\nfor last; do :; done\necho "{tmp_path}/${{last#Language: }}"\n')
    helper = tmp_path / "helper"
    helper.write_text('#!/bin/sh\ncat "$2"\n')
    for path in (tool, helper):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(debian, "HELPER", helper)
    pairs = read_pairs("debian:en-it")
    assert set(zip(pairs.sources, pairs.targets, strict=True)) == set(EXPECTED)
    lists["it"].unlink()
    with pytest.raises(
        InputError,
        match=r"debian:en-it are read .*those in it are not here: let Acquire::Languages name both",
    ):
        read_pairs("debian:en-it")


def test_without_apt_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(debian, "HELPER", tmp_path / "none")
    with pytest.raises(
        InputError, match="debian:en-fr are read from lists of Debian's apt, and there is no apt"
    ):
        read_pairs("debian:en-fr")
