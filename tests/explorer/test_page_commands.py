"""The commands that the page shows, run: they yield its flows. The page's own modules answer in Node."""

import base64
import json
import math
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import spinodal
from flow_cases import ADDRESSES
from in_node import answer
from marks import slow_but
from saved_arrays import saved_arrays
from stored import LAYER, OBSERVATION, SIMULATION, TRAJECTORY

from spinodal.explorer import Recording, read_recording

Run = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command of the page in an empty folder, and returns the record that it wrote."""
    monkeypatch.chdir(tmp_path)

    def written(command: str) -> dict[str, Any]:
        program, *arguments = shlex.split(command)
        assert program == "spinodal"
        assert spinodal(monkeypatch, *arguments) == 0
        return json.loads(Path("runs/explored/run.json").read_text())

    return written


@pytest.mark.parametrize("address", slow_but(ADDRESSES, ADDRESSES[1]))
def test_the_command_yields_the_same_run(run: Run, address: str):
    """Every merge within 1e-6, beyond t = 1e20 too.

    Orthonormal tokens meet all at once, and rounding decides in which pairs.
    """
    found = answer("addressed", address=address)
    expected = run(found["command"])
    end = math.inf if expected["config"]["until"] == "inf" else float(expected["config"]["until"])
    merges = [merge for merge in found["merges"] if merge["time"] <= end]
    if "orthonormal" not in address:
        assert [merge["tokens"] for merge in merges] == [merge["tokens"] for merge in expected["merges"]]
    times = [merge["time"] for merge in expected["merges"]]
    assert [merge["time"] for merge in merges] == pytest.approx(times, rel=1e-6)
    if "beta=25" in address:
        assert times[-1] > 1e20


@pytest.mark.slow
def test_a_flow_from_a_layer_is_that_of_its_command(run: Run):
    found = answer("started", file=str(TRAJECTORY), layer=LAYER, beta=1)
    Path(f"layer-{LAYER}.npy").write_bytes(base64.b64decode(found["npy"]))
    expected = run(found["command"])["merges"]
    assert [merge["tokens"] for merge in found["merges"]] == [merge["tokens"] for merge in expected]
    times = [merge["time"] for merge in expected]
    assert [merge["time"] for merge in found["merges"]] == pytest.approx(times, rel=1e-6)


@pytest.mark.slow
def test_stored_recordings_are_what_their_commands_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(TRAJECTORY, "tokens.safetensors")
    for place in (OBSERVATION, SIMULATION):
        stored = read_recording(place)
        assert isinstance(stored, Recording)
        assert stored.command
        assert spinodal(monkeypatch, *shlex.split(stored.command)[1:]) == 0
        again = read_recording(Path(place.name))
        assert isinstance(again, Recording)
        for name in ("title", "layers", "words", "sentences", "settings", "command"):
            assert getattr(again, name) == getattr(stored, name), name
        assert again.tokens == pytest.approx(stored.tokens, abs=1e-9)
        assert np.array(again.merges) == pytest.approx(np.array(stored.merges), rel=1e-6)
    assert Path(OBSERVATION.name, TRAJECTORY.name).read_bytes() == TRAJECTORY.read_bytes()
    files = [
        sorted(saved_arrays(folder / "trajectory.npz")) for folder in (SIMULATION, Path(SIMULATION.name))
    ]
    assert files[0] == files[1]
