"""Simulations that an earlier version left unfinished go on: data/earlier, as its command left it when it was killed.

`whole.json` holds the options, and what that version said of the run that was not stopped.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from marks import slow_but
from saved_arrays import saved_arrays

from spinodal.cli import main
from spinodal.errors import InputError
from spinodal.flows import AttentionField, Simulation, UniformStart, evolve
from spinodal.runs import encode, read_checkpoint, write_checkpoint

DATA = Path(__file__).parent / "data" / "earlier"
CASES = json.loads((DATA / "whole.json").read_text())


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs the command among the files that the earlier one read; (exit status, what it said)."""
    monkeypatch.chdir(tmp_path)
    for file in DATA.glob("*.npy"):
        shutil.copy(file, tmp_path)

    def run(*options: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["spinodal", "simulate", *options])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, " ".join(capsys.readouterr().err.split())

    return run


@pytest.mark.parametrize("name", slow_but(CASES, "layers"))
def test_an_unfinished_simulation_of_an_earlier_version_goes_on(name: str, simulate, tmp_path: Path):
    """As the one that was not stopped, and to the digits that the earlier version printed: the rounding of another
    processor in the beginning grows until tokens meet. On one it is equal bit for bit: test_time.py, test_angles.py."""
    options = CASES[name]["options"].split()
    shutil.copytree(DATA / name, tmp_path / "cut")
    assert simulate(*options, "--out", "cut", "--resume") == (0, "")
    assert simulate(*options, "--out", "whole") == (0, "")
    cut, whole = (saved_arrays(tmp_path / folder / "trajectory.npz") for folder in ("cut", "whole"))
    assert sorted(cut) == sorted(whole)
    for key in whole:
        np.testing.assert_allclose(cut[key], whole[key], rtol=1e-9, atol=1e-12)
    record = json.loads((tmp_path / "cut" / "run.json").read_text())
    for key, value in CASES[name]["final"].items():
        assert record["final"][key] == pytest.approx(value, rel=1e-9, abs=1e-12), key
    np.testing.assert_allclose([m["time"] for m in record["merges"]], CASES[name]["merges"], rtol=1e-9)
    assert not (tmp_path / "cut" / "checkpoint").exists()


CHANGES = [
    ("noise", ["--step", "0.1"], "method.step=0.05 there, 0.1 asked"),
    ("plain", ["--beta", "3"], "field.beta=2.0 there, 3.0 asked"),
    ("plain", ["--until", "6"], "until=5.0 there, 6.0 asked"),
    ("plain", ["--n", "7"], "start.n=6 there, 7 asked"),
    ("consensus", ["--seed", "4"], "start.seed=3 there, 4 asked"),
    ("layers", ["--normalisation", "pre", "--parameter", "1"], "--parameter"),
]


@pytest.mark.parametrize(("name", "change", "told"), slow_but(CHANGES, CHANGES[0]))
def test_another_experiment_than_an_earlier_version_left_is_refused(
    name: str, change: list[str], told: str, simulate, tmp_path: Path
):
    """The line names what differs, nothing is written, and the right command still goes on."""
    options = CASES[name]["options"].split()
    shutil.copytree(DATA / name, tmp_path / "cut")
    status, said = simulate(*options, *change, "--out", "cut", "--resume")
    assert status == 2
    assert told in said
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["checkpoint"]
    assert simulate(*options, "--out", "cut", "--resume") == (0, "")


def test_a_checkpoint_that_began_from_other_tokens_is_refused(tmp_path: Path):
    simulation = Simulation(AttentionField(2.0), UniformStart(6, 3), 5.0)
    label = json.dumps(encode(simulation)[0])
    shutil.copy(DATA / "plain" / "checkpoint", tmp_path)
    saved = read_checkpoint(tmp_path / "checkpoint", label, current=lambda there: json.loads(label))
    assert saved is not None
    saved["frame_tokens"][0] = -saved["frame_tokens"][0]
    write_checkpoint(tmp_path / "checkpoint", label, saved)
    with pytest.raises(InputError, match="began from other tokens"):
        evolve(simulation, checkpoint=tmp_path / "checkpoint", resume=True)


def test_other_files_than_an_earlier_version_read_are_refused(simulate, tmp_path: Path):
    options = CASES["files"]["options"].split()
    shutil.copytree(DATA / "files", tmp_path / "cut")
    np.save("k.npy", 2 * np.load("k.npy"))
    status, said = simulate(*options, "--out", "cut", "--resume")
    assert status == 2
    assert "begun with other contents of q.npy, k.npy, v.npy, start.npy, weights.npy, times.npy" in said
    shutil.copy(DATA / "k.npy", "elsewhere.npy")
    Path("k.npy").unlink()
    options[options.index("k.npy")] = "elsewhere.npy"
    status, said = simulate(*options, "--out", "cut", "--resume")
    assert status == 2
    assert "begun with k.npy, which is not there" in said
