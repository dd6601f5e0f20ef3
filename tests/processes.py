"""Processes that tests start, watch and kill."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether it holds before so many seconds are over."""
    end = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def of_group(group: int) -> list[int]:
    """The processes of a group that have not ended: one that has may wait for somebody to ask how."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, process_group, *_ = path.read_text().rpartition(")")[2].split()
            found += [int(path.parent.name)] if int(process_group) == group and state != "Z" else []
    return found


@contextlib.contextmanager
def group_of(*command: object, **options) -> Iterator[subprocess.Popen]:
    """A Python process that leads a group of its own, all of which is killed at the end of the block."""
    process = subprocess.Popen([sys.executable, *map(str, command)], start_new_session=True, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
