"""Workers of a comparison: they end when the process that started them is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from spinodal.training.workers import end_with_parent

def wait(out):
    Path(out, str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, initializer=end_with_parent) as pool:
        for _ in range(2):
            pool.submit(wait, sys.argv[1])
"""


def lives(pid: int) -> bool:
    """Whether a process runs: one that has ended may wait for somebody to ask how."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def within(seconds: float, holds) -> bool:
    """Whether it holds before so many seconds are over."""
    end = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    out.mkdir()
    parent = subprocess.Popen([sys.executable, script, out])
    try:
        assert within(30, lambda: len(list(out.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name) for path in out.iterdir()]
    try:
        assert within(10, lambda: not any(map(lives, workers)))
    finally:
        for pid in filter(lives, workers):
            os.kill(pid, signal.SIGKILL)
