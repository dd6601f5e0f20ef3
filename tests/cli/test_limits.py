"""One typo does not run for days: what takes too long is refused before it starts, and --unlimited does it."""

import importlib

import numpy as np
import pytest
from command import spinodal
from marks import slow_but
from saved_arrays import saved_arrays

from spinodal import flows, theory
from spinodal.errors import InputError
from spinodal.flows.ensembles.diagram import diagram_row
from spinodal.limits import require_at_most, unlimited
from spinodal.runs import open_run, read_run

MANY = "1000000000"
COMMANDS = [
    ("theory", "layer_gamma", "layers=100000000", "n=32", "beta=1"),
    ("theory", "layer_gamma_usa", "layers=100000000", "n=32", "beta=1"),
    ("theory", "layer_gamma", "layers=20000", "n=4", "beta=1"),
    ("theory", "fastest_degree", "d=2", "beta=1e30"),
    ("theory", "growth_rate_sa", f"k={MANY}", "d=2", "beta=1"),
    ("theory", "splay_rate_sa", "p=1", "n=8", "beta=1e30"),
    ("theory", "optimal_overlaps", f"n={MANY}", "d=2"),
    ("spectrum", "--beta", "1e9"),
    ("spectrum", "--beta", "1e30"),
    ("spectrum", "--degrees", MANY),
    ("spectrum", "--thresholds", MANY),
    ("spectrum", "--d", MANY),
    ("simulate", "--frames", "10000000", "--out", "run"),
    ("simulate", "--noise", "5", "--step", "1e-300", "--out", "run"),
    ("simulate", "--clock", "layer", "--until", "1e300", "--out", "run"),
    ("simulate", "--n", MANY, "--out", "run"),
    ("simulate", "--start", "orthonormal", "--d", MANY, "--out", "run"),
    ("meanfield", "--geometry", "sphere", "--resolution", MANY, "--out", "run"),
    ("phase-diagram", "--n", MANY, "--out", "run"),
    ("phase-diagram", "--samples", MANY, "--out", "run"),
    ("phase-diagram", "--betas", MANY, "--out", "run"),
    ("phase-diagram", "--times", MANY, "--out", "run"),
    ("phase-diagram", "--t-max", "1e300", "--out", "run"),
    ("phase-diagram", "--step", "1e-300", "--out", "run"),
    ("phase-diagram", "--workers", MANY, "--out", "run"),
    ("graph", "flow", "--graph", "cycle:3", "--points", MANY),
    ("graph", "equilibria", "--graph", "cycle:3", "--starts", MANY),
    (
        "graph",
        "continue",
        "--graph",
        "path:4",
        "--parameter",
        "mu",
        "--from",
        "0",
        "--to",
        "1",
        "--points",
        MANY,
    ),
    pytest.param(("compare", "pet-lm", "--seeds", MANY), marks=pytest.mark.slow),  # loads the models
    ("generate", "run", "--prompt", "to be", "--tokens", MANY),
    ("observe", "minilm", "--text", "to be", "--depth", MANY),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:5]))
def test_a_command_that_would_run_for_days_is_refused(
    monkeypatch, capsys, tmp_path, command: tuple[str, ...]
):
    monkeypatch.chdir(tmp_path)
    assert spinodal(monkeypatch, *command) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "where the limit is" in said
    assert said.endswith("--unlimited lifts it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_unlimited_does_it(monkeypatch, capsys):
    assert spinodal(monkeypatch, "theory", "layer_gamma", "layers=10050", "n=4", "beta=1", "--unlimited") == 0
    assert capsys.readouterr().out.count("\n") > 10050
    assert (
        spinodal(monkeypatch, "theory", "layer_gamma", "layers=10050", "n=4", "beta=1") == 2
    )  # only that once


def test_a_limit_is_lifted_within_a_block_alone():
    with pytest.raises(InputError, match="2 steps, where the limit is 1; `unlimited` lifts it"):
        require_at_most(1, 2, "steps")
    with pytest.raises(InputError, match="numbers n d"):
        flows.UniformStart(10**400)
    with unlimited():
        require_at_most(1, 2, "steps")
        assert flows.UniformStart(10**30).n == 10**30
    with pytest.raises(InputError, match="layers"):
        theory.layer_gamma(10**8, 32, 1.0)


def test_what_was_made_without_limits_is_read_with_them(tmp_path):
    """The record of a run, and a cell of a sweep, which may be another process."""
    with unlimited():
        asked = flows.Simulation(flows.AttentionField(1.0), flows.UniformStart(4, 2), 1.0, times=10**6)
        with open_run(tmp_path / "run", kind="simulate", config=asked) as folder:
            folder.begin()
    assert read_run(tmp_path / "run").config_as(flows.Simulation).times == 10**6
    cell = {"n": 2, "d": 2**28, "samples": 2, "seed": 0, "times": [0.1], "threshold": 0.9, "beta": 1.0}
    with pytest.raises(KeyError, match="clock"):  # the one thing that this cell lacks
        diagram_row(cell)


def test_orthonormal_tokens_take_no_more_memory_than_they_are():
    """n = 2 in d = 10^6: not the 8 TB of the identity of R^d."""
    x = flows.OrthonormalStart(2, 10**6).tokens()
    assert x.shape == (2, 10**6)
    assert np.array_equal(x[:, :2], np.eye(2))


@pytest.mark.parametrize("clock", slow_but(["ode", "layer"], "layer"))
@pytest.mark.slow
def test_steps_to_a_time_end_at_a_limit_and_go_on_without_it(monkeypatch, capsys, tmp_path, clock: str):
    """What was computed is kept: with --resume --unlimited the end is that of a run without a limit."""
    steps = importlib.import_module("spinodal.flows.time.simulate")
    for name in ("MOST", "STEPS"):
        monkeypatch.setattr(steps, name, 20)
    command = ("simulate", "--repulsive", "--n", "6", "--until", "9", "--frames", "3", "--clock", clock)
    for options in ((), ("--resume",)):
        assert spinodal(monkeypatch, *command, "--out", str(tmp_path / "run"), *options) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert said.startswith("failed: stopped at t = ")
        assert "of 9, after 20 steps" in said
        assert said.endswith("give an earlier --until, or go on with --unlimited")
    assert spinodal(monkeypatch, *command, "--out", str(tmp_path / "run"), "--resume", "--unlimited") == 0
    assert spinodal(monkeypatch, *command, "--out", str(tmp_path / "whole"), "--unlimited") == 0
    ends = [saved_arrays(tmp_path / name / "trajectory.npz")["tokens"] for name in ("run", "whole")]
    assert np.array_equal(ends[0], ends[1])
