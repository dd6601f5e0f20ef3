"""What docs/reliability.md claims, in a bounded form: a few kills, a sample of damages, a few full disks."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "reliability.py"


@pytest.mark.slow
def test_runs_survive_kills_damages_full_disks_two_writers_and_a_clock_that_is_set_back():
    command = [sys.executable, str(TOOL), "--kills", "4", "--damages", "14", "--disks", "3", "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 4 of 4" in done.stdout
    assert "damages: 14 of 14" in done.stdout
