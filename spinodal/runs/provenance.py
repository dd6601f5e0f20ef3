"""The provenance of a result: the code, the packages and the machine, as far as they can change a number."""

import functools
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from spinodal.threads import threads

PACKAGES = ("spinodal", "numpy", "scipy", "numba", "torch", "transformers", "accelerate", "tokenizers")


@dataclass(frozen=True)
class Provenance:
    """Code, date, packages, machine and threads of a result."""

    commit: str
    date: str
    versions: dict[str, str]
    machine: str
    threads: int


def provenance() -> Provenance:
    """The provenance of what is computed now, by this process."""
    return Provenance(commit(), now(), versions(), machine(), threads())


def now() -> str:
    """The date and the time in UTC, to the second, as ISO 8601 writes them."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@functools.cache
def commit() -> str:
    """The git commit of the code that runs, with "+" where files differ from it; "unknown" outside a clone.

    A package that is installed inside another project's repository is not part of it.
    """
    here = Path(__file__)

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "--", here.name)
        return git("describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """The processor, or the GPU where torch has been loaded and has one, and the number of cores."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        device = platform.processor() or platform.machine()
    return f"{device}, {os.cpu_count()} cores, {threads()} thread(s) a run"
