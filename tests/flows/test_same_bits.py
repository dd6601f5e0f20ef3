"""The same command twice: the same bits, on one thread and on two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import same_bits

from spinodal.flows import ENGINES


def checksums(threads: int, *arguments: str) -> subprocess.Popen:
    """A process of its own on this many threads, of numba's, torch's and the BLAS's."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    command = [sys.executable, str(Path(same_bits.__file__)), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def compare(*arguments: str) -> None:
    one, two = [checksums(threads, *arguments) for threads in (1, 2)]
    first, second = one.communicate()[0], two.communicate()[0]
    assert one.returncode == two.returncode == 0
    assert first.splitlines() == second.splitlines()
    assert first


def test_every_engine_is_asked():
    assert set(same_bits.ENGINES) == set(ENGINES)


@pytest.mark.slow
def test_every_engine_gives_the_same_bits_on_one_and_on_two_threads():
    compare()


@pytest.mark.slow
def test_large_systems_give_the_same_bits_on_one_and_on_two_threads():
    compare("large")
