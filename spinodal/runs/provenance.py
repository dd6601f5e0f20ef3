"""Where a result comes from: the code, the packages and the machine, as far as they can change a number."""

import functools
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("spinodal", "numpy", "scipy", "numba", "torch", "transformers", "accelerate", "tokenizers")


@dataclass(frozen=True)
class Provenance:
    """What every record of a run says of where it was made."""

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
    """The commit of the code that runs, "+" where files differ from it, or "unknown" outside a clone."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


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


def threads() -> int:
    """Threads that a computation takes: torch's or numba's where they are loaded, else OMP_NUM_THREADS or all cores."""
    if torch := sys.modules.get("torch"):
        return torch.get_num_threads()
    if numba := sys.modules.get("numba"):
        return numba.get_num_threads()
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() else os.cpu_count() or 1
