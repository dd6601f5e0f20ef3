"""phase-diagram and draw on the command line: what they write, what they keep, one sentence for each mistake."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from command import spinodal
from marks import slow_but
from saved_arrays import saved_arrays

from spinodal import recipes, theory
from spinodal.errors import InputError
from spinodal.figures import maps
from spinodal.flows.ensembles import diagram

TINY = (
    "--n",
    "6",
    "--d",
    "2,40",
    "--samples",
    "6",
    "--betas",
    "4",
    "--times",
    "8",
    "--t-max",
    "8",
    "--workers",
    "1",
)


@pytest.mark.slow
def test_a_map_and_what_it_leaves(monkeypatch, capsys, tmp_path: Path):
    out = tmp_path / "map"
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--out", out) == 0
    found = saved_arrays(out / "map.npz")
    assert found["probability"].shape == found["standard_error"].shape == (2, 8, 4)
    np.testing.assert_allclose(found["t"], np.arange(1, 9))
    np.testing.assert_allclose(found["beta"], np.linspace(0.1, 9, 4))
    np.testing.assert_array_equal(found["probability_40"], found["probability"][1])
    np.testing.assert_array_equal(found["standard_error_2"], found["standard_error"][0])
    assert (np.diff(found["probability"][0], axis=0) >= 0).all()
    run = json.loads((out / "run.json").read_text())
    assert run["config"]["d"] == [2, 40]
    assert {"seed", "commit", "date", "versions"} <= set(run)
    assert (out / "map.png").stat().st_size > 0
    assert "of the theory's time" in capsys.readouterr().out


@pytest.mark.slow
def test_a_finished_map_is_read_and_a_killed_one_goes_on(monkeypatch, capsys, tmp_path: Path):
    out, calls, row = tmp_path / "map", [], diagram.diagram_row

    def counted(cell: dict) -> dict:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(cell["beta"])
        return row(cell)

    counted.__module__, counted.__qualname__ = row.__module__, row.__qualname__
    monkeypatch.setattr("spinodal.flows.ensembles.diagram.diagram_row", counted)
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--out", out) == 130
    assert "3 rows are kept" in " ".join(capsys.readouterr().out.split())
    assert not json.loads((out / "run.json").read_text())["finished"]
    assert spinodal(monkeypatch, "simulate", "--until", "1", "--out", out) == 2
    assert "a run of another kind" in " ".join(capsys.readouterr().err.split())
    calls[:] = [None] * 4
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--out", out) == 0
    assert len(calls) == 4 + 5
    first = saved_arrays(out / "map.npz")["probability"]
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--out", out) == 0
    assert len(calls) == 4 + 5
    np.testing.assert_array_equal(saved_arrays(out / "map.npz")["probability"], first)
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--seed", "1", "--out", out) == 2
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--seed", "1", "--overwrite", "--out", out) == 0
    assert (saved_arrays(out / "map.npz")["probability"] != first).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--d", "2,x"], "--d 2,x"),
        (["--d", "2,2"], "names a dimension twice"),
        (["--d", "1"], "--d 1"),
        (["--n", "1"], "--n 1"),
        (["--samples", "1"], "--samples 1"),
        (["--beta", "9:1"], "--beta 9:1"),
        (["--beta", "-1:1"], "--beta -1"),
        (["--betas", "0"], "--betas 0"),
        (["--field", "kuramoto"], "--field 'kuramoto'"),
        (["--field", "usa", "--beta", "1:900"], "709.78"),
        (["--clock", "sun"], "'sun'"),
        (["--step", "0"], "--step 0"),
        (["--times", "99"], "--times 99: up to t = 8 there are 80 layers"),
        (["--t-max", "0"], "--t-max 0"),
        (["--threshold", "1"], "--threshold 1"),
        (["--workers", "-2"], "--workers -2"),
        (["--scheduler", "somewhere"], "--scheduler somewhere: an address"),
        (["--seed", "-1"], "--seed -1"),
    ],
)
def test_mistakes_end_in_one_sentence(monkeypatch, capsys, tmp_path: Path, arguments: list[str], said: str):
    assert spinodal(monkeypatch, "phase-diagram", *TINY, *arguments, "--out", tmp_path / "map") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "map").exists()


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_and_a_file_in_the_way(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr("spinodal.runs.sweep.ANSWER", 0.2)
    lost = ("--scheduler", "tcp://127.0.0.1:9", "--out", tmp_path / "map")
    assert spinodal(monkeypatch, "phase-diagram", *TINY, *lost) == 2
    assert "no answer" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--out", tmp_path / "file") == 2
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["phase-diagram", "draw"])
def test_help_teaches(monkeypatch, capsys, command: str):
    assert spinodal(monkeypatch, command, "--help") == 0
    assert f"spinodal {command} " in " ".join(capsys.readouterr().out.split())


def test_the_curve_in_a_map_is_that_of_its_clock():
    betas = np.array([0.0, 2.0, 4.0])
    given = {"n": 32, "threshold": 0.999, "end": 30.0}
    ode = maps.meeting_times(betas, ("ode", 1e-6), field="sa", **given)
    layer = maps.meeting_times(betas, ("layer", 0.01), field="sa", **given)
    slowness = layer / ode - 1  # h <x, m>, 0 < <x, m> < 1
    assert ((slowness > 0.003) & (slowness < 0.01)).all()
    np.testing.assert_allclose(ode, theory.gamma_time_sa(0.999, 32, betas))
    slow = maps.meeting_times(betas, ("ode", 1e-6), field="gkpr", **given)
    quick = maps.meeting_times(betas, ("ode", 1e-6), field="usa", **given)
    np.testing.assert_allclose((slow / quick)[np.isfinite(slow)], np.exp(betas)[np.isfinite(slow)])
    assert np.isnan(maps.meeting_times(np.array([9.0]), ("ode", 1e-6), field="sa", **given)).all()


def test_a_contour_is_where_a_line_crosses():
    t = np.array([1.0, 2.0, 4.0])
    values = np.array([[0.0, 0.6, 0.1], [0.25, 0.7, 0.2], [0.75, 0.8, 0.3]])
    np.testing.assert_allclose(maps.crossing(t, values, 0.5), [3.0, 1.0, np.nan])
    assert maps.relative_contour(t, values, np.array([1.5, 1.0, 1.0])) == 1.5
    assert maps.relative_contour(t, values[:, 2:], np.array([1.0])) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    slow_but(
        ["f2-phase-diagram", "f4-histograms", "f11-long-context", "f14-random-qkv"],
        "f11-long-context",
    ),
)
def test_a_figure_and_its_numbers(monkeypatch, capsys, tmp_path: Path, name: str):
    out = tmp_path / name
    assert spinodal(monkeypatch, "draw", name, "--quick", "--out", out) == 0
    run = json.loads((out / "run.json").read_text())
    assert list(out.glob("*.png"))
    assert run["expected"] == recipes.header(name)["Expected"]
    measured = run["measured"]
    if name == "f2-phase-diagram":
        assert measured["contour over theory, d = 1024"] == pytest.approx(1, abs=0.03)
        assert measured["contour over theory, d = 2"] > 1.2
    if name == "f4-histograms":
        assert measured["largest |mean - gamma|"] < 0.03
    if name == "f11-long-context":
        assert measured["largest |measured - closed form|"] < 1e-12
        assert measured["rho = 0.5, n = 128, c over critical = 1"] == pytest.approx(0.8, abs=0.01)
    assert spinodal(monkeypatch, "draw", name, "--quick", "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_recipe_that_trains_is_not_drawn():
    with pytest.raises(InputError, match="its command is spinodal compare pet-mlm"):
        recipes.module("pet-mlm", "draw")


def test_a_map_that_cannot_be_drawn_is_saved(monkeypatch, capsys, tmp_path: Path):
    def broken(*_):
        raise ValueError("no ink")

    monkeypatch.setattr(maps, "draw_diagram", broken)
    assert spinodal(monkeypatch, "phase-diagram", *TINY, "--out", tmp_path / "map") == 1
    assert "numbers are saved" in " ".join(capsys.readouterr().err.split())
    run = json.loads((tmp_path / "map" / "run.json").read_text())
    assert run["finished"]
    assert run["command"].startswith("spinodal phase-diagram")


def test_a_figure_that_is_drawn_again_is_unfinished_meanwhile(monkeypatch, tmp_path: Path):
    out = tmp_path / "figure"
    seen = []

    class Module:
        EXPECTED: ClassVar = {"one": (0, 2)}

        @staticmethod
        def draw(folder: Path, *, seed: int = 0, quick: bool = False):
            seen.append(json.loads((folder / "run.json").read_text())["finished"])
            if len(seen) == 2:
                raise KeyboardInterrupt
            return {"one": 1.0}

    monkeypatch.setattr(recipes, "module", lambda *_: Module)
    assert spinodal(monkeypatch, "draw", "f4-histograms", "--out", out) == 0
    assert "command" in json.loads((out / "run.json").read_text())
    assert spinodal(monkeypatch, "draw", "f4-histograms", "--overwrite", "--out", out) == 130
    assert seen == [False, False]
    assert not json.loads((out / "run.json").read_text())["finished"]
