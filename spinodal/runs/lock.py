"""A lock by which one process at a time writes to a folder, and which the system frees when it ends."""

import contextlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from spinodal.errors import InputError
from spinodal.runs.provenance import now

LOCK = ".lock"

if sys.platform == "win32":
    import msvcrt

    def hold(file: int) -> bool:
        """Locks a byte beyond the text, which stays readable; False where another process holds it."""
        os.lseek(file, 4096, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def hold(file: int) -> bool:
        """Locks the file; False where another process holds the lock."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder until the block ends; InputError, which names the other process, if it is taken.

    The operating system releases the lock when the process ends. The file says who holds it.
    """
    path = folder / LOCK
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not hold(file):
                os.lseek(file, 0, os.SEEK_SET)
                raise InputError(
                    f"{folder} is being written by {holder(os.read(file, 4096))}: wait for it, or choose another `out`",
                    field="out",
                )
            if in_place(file, path):
                who = {"pid": os.getpid(), "host": platform.node(), "since": now()}
                os.truncate(path, 0)
                os.lseek(file, 0, os.SEEK_SET)
                os.write(file, json.dumps(who).encode())
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):  # Windows keeps a file that is open
                        path.unlink()
                return
        finally:
            os.close(file)


def writer_of(folder: Path) -> str | None:
    """The process that writes to a folder, as text ("process 12 on HOST since ..."); None where none does."""
    try:
        file = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if hold(file) else holder(os.read(file, 4096))
    finally:
        os.close(file)


def in_place(file: int, path: Path) -> bool:
    """Whether the open file is still the one at its path, which the last holder of the lock removes."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def holder(text: bytes) -> str:
    """The process that holds a lock, as text, from the content of the lock's file."""
    try:
        told = json.loads(text)
        return f"process {told['pid']} on {told['host']} since {told['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
