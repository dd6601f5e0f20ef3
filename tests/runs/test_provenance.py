"""Where a result comes from is known without loading what it does not use."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spinodal import runs
from spinodal.errors import InputError
from spinodal.runs import provenance, read_checkpoint, write_checkpoint


def test_provenance_has_no_gaps():
    found = provenance()
    assert found.threads >= 1
    assert found.versions["numpy"] == np.__version__
    assert found.date.endswith("+00:00")


@pytest.mark.slow
def test_threads_are_those_that_loops_run_on():
    program = """
import threading, time
from spinodal import loops
from spinodal.runs import provenance
used = set(loops.in_parts(lambda a, b: (time.sleep(0.05), threading.get_ident())[1], 1000, 1))
print(len(used), provenance().threads)
"""
    for wanted in ("1", "3,2"):
        done = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"OMP_NUM_THREADS": wanted},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == [wanted[0], wanted[0]]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_not_that_of_a_repository_around_an_installation(tmp_path: Path):
    package = Path(runs.__file__).parent.parent
    shutil.copytree(package, tmp_path / "venv" / "spinodal", ignore=shutil.ignore_patterns("__pycache__"))
    me = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), (*me, "commit", "-q", "--allow-empty", "-m", "theirs")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    program = "import spinodal; from spinodal.runs import commit; print(spinodal.__file__, commit())"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(tmp_path / "venv")},
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "venv" / "spinodal" / "__init__.py"), "unknown"]


def test_the_room_imports_neither_torch_nor_transformers():
    for path in Path(runs.__file__).parent.glob("*.py"):
        assert not re.search(r"^ *(import|from) (torch|transformers)", path.read_text(), flags=re.MULTILINE)


def test_a_checkpoint_of_arrays_is_of_its_run(tmp_path: Path):
    path = tmp_path / "checkpoint"
    assert read_checkpoint(path, '{"n": 1}') is None
    write_checkpoint(path, '{"n": 1}', {"x": np.arange(3)})
    found = read_checkpoint(path, '{"n": 1}')
    assert found is not None
    np.testing.assert_array_equal(found["x"], np.arange(3))
    with pytest.raises(InputError, match="another run: n=1 there, 2 asked"):
        read_checkpoint(path, '{"n": 2}')
    assert read_checkpoint(str(path), '{"n": 1.0}') is not None
    with pytest.raises(InputError, match=r"another run: \{'n': 1\} there, mine asked"):
        read_checkpoint(path, "mine")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="not what was written"):
        read_checkpoint(path, '{"n": 1}')
