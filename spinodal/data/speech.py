"""Human speech with its words, from two packages of Debian that are pinned by version and sha256.

Allison Smith's prompts for telephone exchanges, in English, 8 kHz, sampled up to 16 kHz. apt-get fetches the
packages, where there is one with a registry in reach; they are read where they lie, and nothing of them is
installed or run.
"""

import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float

from spinodal.data.archives import Archive
from spinodal.errors import InputError

RATE = 16_000
VOICE = "usr/share/asterisk/sounds/en_US_f_Allison"
WORDS = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"


@dataclass(frozen=True)
class DebianPackage(Archive):
    """A package of Debian, which is the same on every architecture."""

    @property
    def file(self) -> str:
        return f"{self.project}_{self.version}_all.deb"

    def _download(self, folder: Path) -> Path:
        wanted = f"{self.project}={self.version}"
        if shutil.which("apt-get") is None:
            raise InputError(
                f"cannot fetch {wanted}: it is a package of Debian, and there is no apt-get here"
            )
        done = subprocess.run(["apt-get", "download", wanted], cwd=folder, capture_output=True, text=True)
        path = folder / self.file
        if done.returncode or not path.exists():
            raise InputError(
                f"cannot fetch {wanted}: {' '.join(done.stderr.split())[:400]}. Is a registry of Debian within "
                "reach, and was apt-get update run?"
            )
        return self._checked(path)

    def members(self) -> dict[str, bytes]:
        """The files of the package by their paths; links and paths that leave it are left out."""
        packed = _ar_member(self.fetch(), "data.tar.xz")
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(packed))) as tar:
            entries = {str(PurePosixPath(entry.name)): entry for entry in tar if entry.isfile()}
            opened = {name: tar.extractfile(entry) for name, entry in entries.items()}
            return {name: file.read() for name, file in opened.items() if file and ".." not in name}


SOUNDS = DebianPackage(
    "asterisk-core-sounds-en-wav",
    "1.6.1-1",
    "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
)
TEXTS = DebianPackage(
    "asterisk-core-sounds-en", "1.6.1-1", "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50"
)


def _ar_member(path: Path, wanted: str) -> bytes:
    """One member of an ar archive, as a Debian package is: 60 bytes of header before each, even lengths."""
    raw, at = path.read_bytes(), 8
    while at < len(raw):
        name, size = raw[at : at + 16].decode().rstrip(" /"), int(raw[at + 48 : at + 58])
        if name == wanted:
            return raw[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    raise InputError(f"{path} holds no {wanted}")


@dataclass(frozen=True, eq=False)
class Prompt:
    """A recording, 16,000 numbers a second in [-1, 1], and the words that are spoken in it."""

    name: str
    words: str
    samples: Float[np.ndarray, " t"]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


@cache
def read_prompts(*, least: float = 1.0, most: float = 29.0) -> tuple[Prompt, ...]:
    """Prompts of three words or more and `least` to `most` seconds, by name; none with text in brackets.

    InputError where the packages are not in the cache and cannot be fetched.
    """
    sounds = SOUNDS.members()
    lines = gzip.decompress(TEXTS.members()[WORDS]).decode(errors="replace").splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith(";"))
    found = []
    for name, words in sorted(told.items()):
        file = f"{VOICE}/{name.removesuffix('.wav')}.wav"
        if file not in sounds or len(words.split()) < 3 or set("[(") & set(words):
            continue
        samples = _samples(sounds[file])
        if least <= len(samples) / RATE <= most:
            found.append(Prompt(name.removesuffix(".wav"), words.strip(), samples))
    return tuple(found)


def _samples(file: bytes) -> Float[np.ndarray, " t"]:
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    rate, samples = wavfile.read(io.BytesIO(file))
    return resample_poly(samples / 2**15, RATE, rate)
