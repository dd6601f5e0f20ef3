"""`spinodal meanfield` and `spinodal spectrum`: what they print and write, and one sentence for each mistake."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import spinodal
from marks import slow_but
from saved_arrays import saved_arrays

from spinodal import sphere, theory
from spinodal.cli._density import start_of
from spinodal.runs import read

THRESHOLDS = {  # from Bessel functions in 30 digits, rounded to four decimals
    2: [1.0445, 3.1654, 6.2113, 10.2285, 15.2363, 21.2405],
    3: [1.8162, 4.4253, 7.9624, 12.4774],
    4: [2.5285, 5.6558, 9.6988, 14.7176],
    8: [5.2511, 10.5003, 16.5950, 23.6427],
}


@pytest.mark.parametrize("d", THRESHOLDS)
def test_thresholds_to_four_decimals(monkeypatch, capsys, d):
    assert spinodal(monkeypatch, "spectrum", "--d", str(d), "--thresholds", "8") == 0
    printed = [float(line) for line in capsys.readouterr().out.split()]
    assert len(printed) == 8
    assert printed[: len(THRESHOLDS[d])] == pytest.approx(THRESHOLDS[d], abs=6e-5)


def test_spectrum_prints_rates_and_noise(monkeypatch, capsys):
    assert spinodal(monkeypatch, "spectrum", "--d", "2", "--beta", "5") == 0
    out = capsys.readouterr().out
    assert "k_max = 3" in out
    assert "6.211298" in out
    assert f"{theory.growth_rate_sa(3, 2, 5.0):.8g}" in out
    assert spinodal(monkeypatch, "spectrum", "--d", "3", "--beta", "1", "--noise", "9") == 0
    out = capsys.readouterr().out
    assert "continuous up to beta = 1.816155" in out
    assert "unstable at kappa = 9" in out
    assert spinodal(monkeypatch, "spectrum", "--beta", "2000") == 0
    assert "USA" not in capsys.readouterr().out
    assert spinodal(monkeypatch, "spectrum", "--noise", "-1") == 2
    assert spinodal(monkeypatch, "spectrum", "--degrees", "0") == 2


def test_noise_moves_the_fastest_degree_by_field(monkeypatch, capsys):
    assert spinodal(monkeypatch, "spectrum", "--beta", "5", "--noise", "3") == 0
    rows = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert "k_max SA" in rows["1"]
    assert "k_max USA" in rows["3"]


def test_a_run_leaves_its_numbers_and_pictures(monkeypatch, capsys, tmp_path: Path):
    modes = tmp_path / "modes.txt"
    modes.write_text("# k amplitude phase\n0 1 0\n3 0.004 1.0\n1 0.0005 0\n")
    out = tmp_path / "run"
    command = [
        "meanfield",
        "--beta",
        "5",
        "--start",
        f"modes:{modes}",
        "--until",
        "11",
        "--tol",
        "1e-7",
        "--out",
        out,
    ]
    assert spinodal(monkeypatch, *command) == 0
    run = json.loads((out / "run.json").read_text())
    assert run["mass_error"] < 1e-14
    assert run["minimum_density"] > 0
    third = run["growth_rates"][2]
    assert third["measured"] == pytest.approx(third["theory"], rel=1e-2)
    assert third["theory"] == pytest.approx(theory.growth_rate_sa(3, 2, 5.0))
    assert run["forecast"]["degree"] == 3
    assert run["forecast"]["positions"][0] == pytest.approx(1 / 3)
    assert [p["clusters"] for p in run["plateaus"]] == [0, 3]
    assert len(run["amplitudes"]["values"]) == len(run["amplitudes"]["times"])
    assert {"config", "seed", "commit", "date", "versions"} <= set(run)
    assert saved_arrays(out / "record.npz")["record.moments"].shape[1] == 65
    assert (out / "life.png").stat().st_size > 1000
    assert (out / "amplitudes.png").stat().st_size > 1000
    assert "growth rate" in capsys.readouterr().out
    assert spinodal(monkeypatch, *command) == 2
    said = capsys.readouterr().err
    assert "--overwrite" in said
    assert "--resume" not in said


GEOMETRIES = [
    ["--geometry", "zonal", "--d", "5", "--field", "usa", "--beta", "2", "--tol", "1e-6", "--until", "1"],
    ["--geometry", "sphere", "--field", "gkpr", "--tol", "1e-5", "--until", "1", "--resolution", "20"],
    ["--noise", "20", "--beta", "2", "--tol", "1e-6", "--until", "3", "--resolution", "32"],
    ["--repulsive", "--until", "5", "--tol", "1e-6"],
]


@pytest.mark.parametrize("options", slow_but(GEOMETRIES, GEOMETRIES[1]), ids=lambda options: options[1])
def test_every_geometry_and_noise(monkeypatch, tmp_path: Path, options):
    assert spinodal(monkeypatch, "meanfield", *options, "--out", tmp_path / "run") == 0
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["mass_error"] < 1e-12
    leading = [row for row in run["growth_rates"][:2] if row["measured"] is not None]
    for row in leading:
        assert row["measured"] == pytest.approx(row["theory"], rel=0.05, abs=2e-3)


@pytest.mark.slow
def test_probes_by_number_and_by_file(monkeypatch, tmp_path: Path):
    np.save(tmp_path / "y.npy", sphere.uniform(3, 3, seed=5))
    zonal = ["--geometry", "zonal", "--d", "3", "--until", "0.5", "--tol", "1e-5"]
    for m, probes in ((6, "6"), (3, tmp_path / "y.npy")):
        out = tmp_path / f"run{m}"
        assert spinodal(monkeypatch, "meanfield", *zonal, "--probes", probes, "--out", out) == 0
        with np.load(out / "record.npz") as arrays:
            assert arrays["probes"].shape == (len(arrays["record.times"]), m, 3)


def test_a_picture_that_fails_loses_no_density(monkeypatch, capsys, tmp_path: Path):
    def broken(*_):
        raise ValueError("no ink")

    monkeypatch.setattr("spinodal.figures.densities.draw_density", broken)
    assert spinodal(monkeypatch, "meanfield", "--until", "1", "--tol", "1e-5", "--out", tmp_path / "run") == 1
    assert "numbers are saved" in " ".join(capsys.readouterr().err.split())
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["finished"]
    assert run["command"].startswith("spinodal meanfield")


WRONG = {
    "must not be negative": ["--start", "modes:big.txt"],
    "a density integrates to one": ["--start", "modes:heavy.txt"],
    "integrates to": ["--start", "density:heavy.dat"],
    "beyond the resolution": ["--start", "modes:fine.txt"],
    "3 numbers a line": ["--start", "modes:density.txt"],
    "no file": ["--start", "modes:nowhere.txt"],
    "rests for ever": ["--start", "uniform"],
    "has a number after the colon": ["--start", "uniform+noise:x"],
    "--start: white noise 0 must lie": ["--start", "uniform+noise:0"],
    "--tol 0": ["--tol", "0"],
    "--noise 0": ["--noise", "0"],
    "overflows": ["--field", "usa", "--beta", "750"],
    "simulate particles": ["--beta", "1e6"],
    "--field 'softmax' is none of 'sa'": ["--field", "softmax"],
    "circle, sphere or zonal": ["--geometry", "torus"],
    "use --geometry zonal": ["--geometry", "sphere", "--d", "5"],
    "give a time": ["--noise", "3", "--until", "diracs"],
    "a positive time": ["--until", "soon"],
    "on the circle and zonal only": ["--geometry", "sphere", "--noise", "3", "--until", "1"],
    "rounding begins": ["--tol", "1e-20"],
    "panels split by themselves": ["--resolution", "16"],
    "a whole number from 0": ["--seed", "-1"],
    "--probes 0: a number": ["--probes", "0", "--until", "1"],
    "--probes with noise": ["--probes", "4", "--noise", "3", "--until", "1"],
    "--probes with --until consensus": ["--probes", "4", "--until", "consensus"],
    "--probes: 1e+06 probes, where the limit is 10,000": ["--probes", "1000000", "--until", "1"],
}


@pytest.mark.parametrize("message", WRONG)
def test_bad_input_is_one_sentence(monkeypatch, capsys, tmp_path: Path, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "big.txt").write_text("1 2.5 0\n")
    (tmp_path / "heavy.txt").write_text("0 1.5 0\n1 0.1 0\n")
    (tmp_path / "fine.txt").write_text("5000 0.001 0\n")
    (tmp_path / "density.txt").write_text("1\n1\n")
    (tmp_path / "heavy.dat").write_text("1\n1\n1\n1\n")
    assert spinodal(monkeypatch, "meanfield", *WRONG[message], "--out", tmp_path / "run") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_where_nothing_can_be_written_nothing_is_computed(monkeypatch, capsys, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    assert spinodal(monkeypatch, "meanfield", "--until", "diracs", "--out", tmp_path / "file") == 2
    assert "is a file" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_where_nothing_grows_nothing_is_forecast(monkeypatch, capsys, tmp_path: Path):
    out = tmp_path / "run"
    assert spinodal(monkeypatch, "meanfield", "--repulsive", "--until", "1", "--out", out) == 0
    run = json.loads((out / "run.json").read_text())
    assert run["forecast"] is None
    assert run["distance_to_pattern"] is None
    assert "nothing grows" in capsys.readouterr().out


def test_the_sphere_says_whether_it_was_resolved(monkeypatch, capsys, tmp_path: Path):
    options = ["--geometry", "sphere", "--beta", "2", "--resolution", "20", "--tol", "1e-5", "--until"]
    assert spinodal(monkeypatch, "meanfield", *options, "1", "--out", tmp_path / "run") == 0
    assert json.loads((tmp_path / "run/run.json").read_text())["map_tail"] < 1e-3
    assert "resolved in the end" in capsys.readouterr().out


def test_an_unresolved_run_fails_with_a_sentence(monkeypatch, capsys, tmp_path: Path):
    options = ["--beta", "9", "--noise", "1e6", "--until", "50", "--tol", "1e-6", "--start"]
    (tmp_path / "modes.txt").write_text("4 0.3 0\n")
    arguments = ["meanfield", *options, f"modes:{tmp_path / 'modes.txt'}", "--out", tmp_path / "run"]
    assert spinodal(monkeypatch, *arguments) == 1
    assert "no longer resolved by 70 degrees" in " ".join(capsys.readouterr().err.split())


def test_a_density_may_be_an_array_of_numpy(monkeypatch, capsys, tmp_path: Path):
    """The same start as from a file of lines; a table or complex numbers are refused in a sentence."""
    values = (1 + 0.01 * np.cos(3 * 2 * np.pi * np.arange(64) / 64)) / (2 * np.pi)
    np.savetxt(tmp_path / "density.txt", values, fmt="%.17g")
    np.save(tmp_path / "density.npy", values)
    np.save(tmp_path / "table.npy", np.stack([values, values], 1))
    np.save(tmp_path / "complex.npy", values + 0j)
    lines, array = (
        start_of(f"density:{tmp_path / name}", "circle", None, 0) for name in ("density.txt", "density.npy")
    )
    assert np.array_equal(lines.amplitudes, array.amplitudes)
    assert np.array_equal(lines.phases, array.phases)
    for name, said in (("table.npy", "1 number(s) a line"), ("complex.npy", "no array of numbers")):
        start = f"density:{tmp_path / name}"
        assert spinodal(monkeypatch, "meanfield", "--start", start, "--out", tmp_path / "no") == 2
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_matrices_of_a_density_are_files_and_are_refused_where_none_flow_by_them(
    monkeypatch, capsys, tmp_path: Path
):
    np.save(tmp_path / "v.npy", np.array([[1.0, -0.5], [0.5, 1.0]]))
    command = ["meanfield", "--beta", "2", "--v", str(tmp_path / "v.npy"), "--out", str(tmp_path / "run")]
    assert spinodal(monkeypatch, *command, "--until", "0.2") == 0
    assert "no forecast: linear theory is of one head" in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["growth_rates"] == []
    assert record["config"]["field"]["heads"][0]["values"]["shape"] == [2, 2]
    for more, said in [
        (["--until", "diracs"], "--until diracs: whether the Q, K, V"),
        (
            ["--until", "1", "--geometry", "zonal"],
            "--field: with noise, and zonal, a density flows by one head",
        ),
        (["--until", "1", "--geometry", "sphere"], "its matrices have d = 2, the tokens of the start d = 3"),
    ]:
        assert spinodal(monkeypatch, *command, *more, "--overwrite") == 2
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_references_and_a_causal_mask(monkeypatch, capsys, tmp_path: Path):
    plain = ["meanfield", "--beta", "2", "--until", "0.1", "--start", "uniform+noise:0.5"]
    (tmp_path / "modes.txt").write_text("1 0.5 0\n")
    for k, reference in enumerate(("uniform", "dirac:0,2", f"modes:{tmp_path}/modes.txt")):
        assert spinodal(monkeypatch, *plain, "--reference", reference, "--out", str(tmp_path / f"{k}")) == 0
    uniform, dirac, modes = (read(tmp_path / f"{k}").wasserstein[0] for k in range(3))
    assert uniform < 0.05
    assert dirac == pytest.approx(np.pi / np.sqrt(3), abs=0.05)
    assert 0.1 < modes < 1
    sphere = ["--geometry", "sphere", "--resolution", "20", "--out", str(tmp_path / "s")]
    assert spinodal(monkeypatch, *plain, *sphere, "--reference", "uniform") == 0
    found = read(tmp_path / "s")
    assert len(found.wasserstein) == len(found.wasserstein_error) == found.steps + 1
    assert "W2 to the reference: " in capsys.readouterr().out
    causal = [
        "--causal",
        "--field",
        "usa",
        "--slices",
        "3",
        "--resolution",
        "8",
        "--out",
        str(tmp_path / "c"),
    ]
    assert spinodal(monkeypatch, *plain, *causal) == 0
    assert len(np.unique(read(tmp_path / "c").index)) == 3
    for wrong, said in (("dirac:1", "a direction of 2 numbers"), ("soon", "uniform, dirac:X,Y, modes:FILE")):
        assert spinodal(monkeypatch, *plain, "--reference", wrong, "--out", str(tmp_path / "no")) == 2
        assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
