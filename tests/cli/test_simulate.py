"""spinodal simulate: its files, its mistakes, its resumption."""

import contextlib
import itertools
import json
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from saved_arrays import saved_arrays

from spinodal import sphere, theory
from spinodal.cli import main
from spinodal.errors import ConvergenceError
from spinodal.flows import evolution
from spinodal.flows.time import CheckpointPolicy


def spinodal(monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["spinodal", "simulate", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run_of(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


@pytest.mark.slow
def test_consensus_on_the_circle(monkeypatch, tmp_path):
    """Merges with times, energy that climbs, tokens at every time, pictures."""
    out = tmp_path / "run"
    options = ["--n", 3, "--d", 2, "--beta", 2, "--tol", 1e-4, "--until", "consensus", "--out", out]
    assert spinodal(monkeypatch, *options) == 0
    run = run_of(out)
    assert [merge["clusters"] for merge in run["merges"]] == [2, 1]
    assert run["final"]["clusters"] == 1
    assert run["final"]["time"] == run["merges"][-1]["time"]
    assert run["engine"] == "direct"
    assert 0 < run["error_bound"] < 1e-9
    assert run["config"]["field"]["beta"] == 2
    assert np.diff(run["energy"]["log_energy"]).min() > -1e-13
    file = saved_arrays(out / "trajectory.npz")
    assert file["tokens"].shape == (len(file["times"]), 3, 2)
    assert np.ptp(file["tokens"][-1], axis=0).max() < 1e-8
    assert {path.name for path in out.iterdir()} == {
        "run.json", "trajectory.npz", "cosines.png", "energy.png", "circle.png",
    }  # fmt: skip
    assert spinodal(monkeypatch, *options) == 2  # a run is in the way
    assert spinodal(monkeypatch, *options, "--overwrite") == 0


def test_orthonormal_start_in_its_span(monkeypatch, tmp_path):
    """n = 4 in d = 9 flows in four dimensions, and follows gamma."""
    out = tmp_path / "run"
    options = ["--start", "orthonormal", "--n", 4, "--d", 9, "--until", 2, "--frames", 5, "--out", out]
    assert spinodal(monkeypatch, *options) == 0
    tokens = saved_arrays(out / "trajectory.npz")["tokens"]
    assert tokens.shape == (5, 4, 9)
    assert run_of(out)["span"] == 4
    assert np.isclose(tokens[-1][0] @ tokens[-1][1], theory.gamma_sa(2.0, 4, 1.0), atol=1e-7)


def test_files_layers_and_noise(monkeypatch, tmp_path):
    """Matrices with heads, weights, a start that is normalised when asked, times to save; why there is no energy."""
    x = 3 * sphere.uniform(5, 3)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "w.npy", np.array([0.4, 0.3, 0.1, 0.1, 0.1]))
    np.save(tmp_path / "q.npy", np.random.default_rng(0).standard_normal((2, 3, 3)))
    np.save(tmp_path / "t.npy", np.array([0.2, 0.4]))
    out = tmp_path / "run"
    files = ["--start", tmp_path / "x.npy", "--weights", tmp_path / "w.npy", "--q", tmp_path / "q.npy"]
    options = [
        "--clock",
        "layer",
        "--step",
        0.1,
        "--until",
        1,
        "--save-times",
        tmp_path / "t.npy",
        "--noise",
        50,
    ]
    assert spinodal(monkeypatch, *files, *options, "--out", out) == 2
    assert spinodal(monkeypatch, *files, *options, "--normalise", "--out", out) == 0
    assert np.allclose(saved_arrays(out / "trajectory.npz")["times"], [0, 0.2, 0.4, 1.0])
    assert np.allclose(
        saved_arrays(out / "trajectory.npz")["tokens"][0], x / np.linalg.norm(x, axis=1, keepdims=True)
    )
    assert run_of(out)["energy"] is None
    assert "noise" in run_of(out)["energy_missing"]


@pytest.mark.slow
def test_probes_by_number_and_by_file(monkeypatch, tmp_path):
    np.save(tmp_path / "y.npy", sphere.uniform(3, 3, seed=5))
    for m, probes in ((6, 6), (3, tmp_path / "y.npy")):
        out = tmp_path / f"run{m}"
        options = ["--n", 4, "--until", 0.5, "--frames", 3, "--tol", 1e-4, "--probes", probes, "--out", out]
        assert spinodal(monkeypatch, *options) == 0
        with np.load(out / "trajectory.npz") as arrays:
            assert arrays["probes"].shape == (3, m, 3)
            assert arrays["tokens"].shape == (3, 4, 3)


@pytest.mark.slow
def test_causal_tokens_that_have_met_are_one_cluster(monkeypatch, tmp_path):
    """They are never merged, and yet in one place."""
    options = [
        "--n",
        3,
        "--d",
        2,
        "--causal",
        "--until",
        "consensus",
        "--tol",
        1e-5,
        "--out",
        tmp_path / "run",
    ]
    assert spinodal(monkeypatch, *options) == 0
    assert run_of(tmp_path / "run")["final"]["clusters"] == 1
    assert run_of(tmp_path / "run")["merges"] == []


@pytest.mark.slow
def test_a_stopped_run_goes_on(monkeypatch, capsys, tmp_path):
    """Stopped by hand, resumed, and equal to the run that was not stopped."""
    options = ["--n", 6, "--d", 3, "--beta", 2, "--tol", 1e-5, "--until", 9, "--frames", 4]
    assert spinodal(monkeypatch, *options, "--out", tmp_path / "whole") == 0
    stepping, written = (
        sys.modules["spinodal.flows.time.simulate"],
        [],
    )  # the function has the name of its file
    write = stepping.write_checkpoint

    def stop(path, label, arrays):
        write(path, label, arrays)
        written.append(path)
        if len(written) == 9:
            raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(stepping, "write_checkpoint", stop)
        stopping.setattr(evolution, "CheckpointPolicy", partial(CheckpointPolicy, seconds=0.0))
        assert spinodal(monkeypatch, *options, "--out", tmp_path / "cut") == 130
    assert not run_of(tmp_path / "cut")["finished"]
    assert spinodal(monkeypatch, *options, "--out", tmp_path / "cut") == 2
    assert spinodal(monkeypatch, *options, "--beta", 3, "--out", tmp_path / "cut", "--resume") == 2
    assert "another experiment (field.beta=2.0 there, 3.0 asked):" in " ".join(
        capsys.readouterr().err.split()
    )
    assert spinodal(monkeypatch, *options, "--out", tmp_path / "cut", "--resume") == 0
    one, two = (saved_arrays(tmp_path / name / "trajectory.npz")["tokens"] for name in ("whole", "cut"))
    assert (one == two).all()
    assert not (tmp_path / "cut" / "checkpoint").exists()
    kept = {name: (tmp_path / "cut" / name).read_bytes() for name in ("run.json", "trajectory.npz")}
    (tmp_path / "cut" / "cosines.png").unlink()
    capsys.readouterr()
    assert (
        spinodal(monkeypatch, *options, "--out", tmp_path / "cut", "--resume") == 0
    )  # finished, and no error
    assert "run.json, trajectory.npz" in " ".join(capsys.readouterr().out.split())
    assert kept == {name: (tmp_path / "cut" / name).read_bytes() for name in kept}
    assert (tmp_path / "cut" / "cosines.png").exists()


@pytest.mark.slow
def test_a_dimension_is_as_it_was_given(monkeypatch, capsys, tmp_path):
    """--d 0 is refused by name; tokens of another d than the matrices by what was given, which is no --d."""
    np.save(tmp_path / "x.npy", sphere.uniform(5, 3))
    np.save(tmp_path / "q.npy", np.eye(4))

    def refusal(*options) -> str:
        assert spinodal(monkeypatch, *options, "--out", tmp_path / "run") == 2
        return " ".join(capsys.readouterr().err.split())

    assert "--d 0" in refusal("--n", 4, "--d", 0)
    said = refusal("--start", tmp_path / "x.npy", "--q", tmp_path / "q.npy")
    assert "--start: tokens have d = 3, the matrices of the field have d = 4" in said
    assert "--d" not in said
    assert (
        spinodal(monkeypatch, "--n", 4, "--q", tmp_path / "q.npy", "--until", 0.1, "--out", tmp_path / "run")
        == 0
    )
    assert saved_arrays(tmp_path / "run" / "trajectory.npz")["tokens"].shape[1:] == (4, 4)


@pytest.mark.slow
def test_a_negative_beta_synchronises_on_the_circle(monkeypatch, tmp_path):
    """Of USA on the circle at -.16 every random start does  [derived from theory.splay_rate_usa]."""
    out = tmp_path / "run"
    arguments = [
        "--beta",
        "-0.16",
        "--field",
        "usa",
        "--n",
        8,
        "--d",
        2,
        "--until",
        100,
        "--observables",
        "energy",
    ]
    assert spinodal(monkeypatch, *arguments, "--out", out) == 0
    assert run_of(out)["final"]["clusters"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "1"], "--n 1"),
        (["--n", "0"], "--n 0"),
        (["--d", "1"], "--d 1"),
        (["--beta=-1e13"], "--beta -1e+13"),
        (["--beta", "nan"], "--beta nan"),
        (["--field", "usa", "--beta", "800"], "709.78"),
        (["--field", "sb"], "--field 'sb'"),
        (["--start", "nan.npy"], "nan"),
        (["--start", "zero.npy"], "--start zero.npy: vector 2 has length 0"),
        (["--seed=-1"], "--seed -1"),
        (["--start", "long.npy"], "--normalise"),
        (["--start", "one.npy"], "at least two"),
        (["--start", "none.npy"], "none.npy"),
        (["--start", "long.npy", "--n", "9"], "--n 9"),
        (["--start", "orthonormal", "--n", "4", "--d", "3"], "d >= 4"),
        (["--start", "lattice", "--d", "5"], "not for d = 5"),
        (["--q", "one.npy"], "--q have shape"),
        (["--q", "diag:1,y"], "--q diag:1,y"),
        (["--v", "mine"], "--v mine: a matrix is a .npy file"),
        (["--d", "4", "--v", "square.npy"], "d = 3"),
        (["--weights", "long.npy"], "--weights have shape"),
        (["--until", "soon"], "--until soon"),
        (["--until", "consensus", "--noise", "9"], "noise"),
        (["--until", "consensus", "--repulsive"], "--repulsive"),
        (["--clock", "day"], "'day'"),
        (["--step", "0.1"], "--tol"),
        (["--clock", "layer", "--step", "0"], "--step 0"),
        (["--normalisation", "prae"], "prae"),
        (["--engine", "fast"], "fast"),
        (["--tol", "1e-20"], "1e-20"),
        (["--noise", "0"], "--noise 0"),
        (["--tol", "0"], "--tol 0"),
        (["--frames", "1"], "--frames 1"),
        (["--save-times", "square.npy"], "--save-times: increasing"),
        (["--perturb=-1"], "--perturb -1"),
        (["--normalisation", "mix"], "--parameter"),
        (["--movie", "gif", "--d", "4"], "--movie gif: for d = 2 and 3, not for d = 4"),
        (["--movie", "avi"], "--movie avi"),
    ],
)
def test_mistakes_end_in_one_sentence(monkeypatch, capsys, tmp_path, options, said):
    monkeypatch.chdir(tmp_path)
    x = sphere.uniform(4, 3)
    np.save("nan.npy", np.where(x == x[1, 1], np.nan, x))
    np.save("zero.npy", x * np.array([1, 1, 0, 1])[:, None])
    np.save("long.npy", 1.1 * x)
    np.save("one.npy", x[:1])
    np.save("square.npy", np.eye(3))
    assert spinodal(monkeypatch, *options, "--out", "run") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert "Traceback" not in error
    assert not Path("run").exists()


def test_a_picture_that_fails_loses_no_simulation(monkeypatch, capsys, tmp_path):
    def broken(*_):
        raise ValueError("no ink")

    monkeypatch.setattr("spinodal.figures.simulation.draw_simulation", broken)
    options = ["--n", 4, "--until", 1, "--out", tmp_path / "run"]
    assert spinodal(monkeypatch, *options) == 1
    assert "no ink" in (said := " ".join(capsys.readouterr().err.split()))
    assert "numbers are saved" in said
    assert run_of(tmp_path / "run")["finished"]
    assert len(saved_arrays(tmp_path / "run" / "trajectory.npz")["times"]) == 101


def interrupted_after(steps: int):
    """A bar that sends ctrl-C to this process after so many steps."""

    @contextlib.contextmanager
    def bar(end: float):
        calls = itertools.count(1)  # progress is told after each step

        def show(done: float | int, total: float | int) -> None:
            if next(calls) == steps:
                signal.raise_signal(signal.SIGINT)

        yield show

    return bar


def test_an_interrupted_run_is_saved_and_goes_on(monkeypatch, capsys, tmp_path):
    options = ["--n", 6, "--d", 3, "--beta", 2, "--tol", 1e-5, "--until", 9, "--frames", 4]
    assert spinodal(monkeypatch, *options, "--out", tmp_path / "whole") == 0
    with monkeypatch.context() as stopping:
        stopping.setattr("spinodal.cli._evolution.flow_bar", interrupted_after(9))
        assert spinodal(monkeypatch, *options, "--out", tmp_path / "cut") == 130
    assert "interrupted; the same command with --resume goes on" in capsys.readouterr().out
    assert (tmp_path / "cut" / "checkpoint").exists()
    assert spinodal(monkeypatch, *options, "--out", tmp_path / "cut", "--resume") == 0
    one, two = (saved_arrays(tmp_path / name / "trajectory.npz")["tokens"] for name in ("whole", "cut"))
    assert (one == two).all()


@pytest.mark.slow
def test_overwrite_keeps_the_old_run_until_there_is_a_new_one(monkeypatch, tmp_path):
    options = ["--n", 4, "--until", 1, "--out", tmp_path / "run"]
    assert spinodal(monkeypatch, *options) == 0
    before = run_of(tmp_path / "run")

    def fail(*_, **__):
        raise ConvergenceError("no step is small enough")

    with monkeypatch.context() as failing:
        failing.setattr("spinodal.flows.evolution.simulate", fail)
        assert spinodal(monkeypatch, *options, "--beta", 3, "--overwrite") == 1
    assert run_of(tmp_path / "run") == before
    with monkeypatch.context() as stopping:
        stopping.setattr("spinodal.cli._evolution.flow_bar", interrupted_after(1))
        assert spinodal(monkeypatch, *options, "--beta", 3, "--overwrite") == 130
    assert run_of(tmp_path / "run")["config"]["field"]["beta"] == 3
    assert spinodal(monkeypatch, *options, "--beta", 3, "--resume") == 0


def test_the_record_says_its_command(monkeypatch, tmp_path):
    assert spinodal(monkeypatch, "--n", 4, "--until", 1, "--out", tmp_path / "run") == 0
    assert run_of(tmp_path / "run")["command"].startswith("spinodal simulate --n 4")


def test_a_folder_that_is_used_is_refused_before_any_token_is_drawn(monkeypatch, capsys, tmp_path):
    assert spinodal(monkeypatch, "--n", 4, "--until", 1, "--out", tmp_path / "run") == 0

    def drawn(*_):
        raise AssertionError("tokens were drawn")

    monkeypatch.setattr(sphere, "uniform", drawn)
    assert spinodal(monkeypatch, "--n", 100_000, "--out", tmp_path / "run") == 2
    assert "holds a run already" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_digits_of_merges_are_certified(monkeypatch, tmp_path, capsys):
    options = ("--n", 8, "--d", 2, "--beta", 1, "--until", "consensus", "--certify")
    assert spinodal(monkeypatch, *options, "--out", tmp_path / "out") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "times of merges, against a tolerance of 1e-09: the last agrees in" in said
    assert "certainty.npz" in said
    with np.load(tmp_path / "out" / "certainty.npz") as saved:
        assert saved["clusters"].tolist() == list(range(7, 0, -1))
        assert saved["digits"].min() > 5
    assert spinodal(monkeypatch, *options, "--clock", "layer", "--out", tmp_path / "layers") == 2
    assert "--clock Layers: certain digits come from two tolerances" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (tmp_path / "layers").exists()
