"""Results fit a screen, are drawn by `plot`, and come back from their folder by `read`."""

import dataclasses
from importlib import import_module

import numpy as np
import pytest
from matplotlib.figure import Figure

from spinodal import figures, flows, graphs, meanfield, runs
from spinodal.errors import InputError
from spinodal.results import Result
from spinodal.runs.reading import RESULTS

SIMULATION = flows.Simulation(flows.AttentionField(2.0), flows.UniformStart(40, 3), 1.0, times=50)
MODES = meanfield.CircleModes(np.array([0.1]), np.zeros(1))
GRAPH = graphs.GradientFlow(graphs.build_system("cycle:4"), time=1.0, points=5)


@pytest.fixture(scope="module")
def evolution() -> flows.Evolution:
    return flows.evolve(SIMULATION)


def test_a_repr_is_a_line_a_field_and_no_entries_of_arrays(evolution):
    density = meanfield.evolve(meanfield.DensityExperiment(start=MODES, until=0.1))
    run = flows.simulate(flows.AttentionField(2.0), np.eye(3), 1.0)
    for result in (evolution, density, run, graphs.integrate_flow(GRAPH)):
        lines = repr(result).splitlines()
        shown = [f.name for f in dataclasses.fields(result) if f.repr and getattr(result, f.name) is not None]
        assert [line.split()[0] for line in lines[1:]] == shown
        assert max(map(len, lines)) < 120
        assert all(f"<td>{name}</td>" in result._repr_html_() for name in shown)
    lines = repr(evolution).splitlines()
    assert lines[0] == f"Evolution: {evolution}"
    assert "times            float64 [50], 0 to 1" in repr(evolution)
    assert "tokens           float64 [50 40 3]" in repr(evolution)


def test_plot_is_the_first_picture_or_the_one_of_a_name(evolution):
    assert isinstance(evolution.plot(), Figure)
    assert evolution.plot("sphere").axes
    with pytest.raises(InputError, match="the pictures are cosines, energy, sphere"):
        evolution.plot("circle")


def test_what_simulate_returned_is_drawn():
    run = flows.simulate(flows.AttentionField(2.0), flows.UniformStart(6, 2).tokens(), 1.0)
    assert figures.draw(run).keys() == {"cosines", "circle"}
    assert isinstance(run.plot("circle"), Figure)


def test_a_run_is_read_as_the_result_that_it_holds(evolution, tmp_path):
    folder = str(tmp_path)
    with runs.open_run(folder, kind="simulate", config=SIMULATION) as out:
        out.finish(evolution, arrays="trajectory.npz")
    again = runs.read(folder)
    assert isinstance(again, flows.Evolution)
    assert runs.equal(again, evolution)
    assert runs.equal(again.experiment, SIMULATION)


def test_runs_that_hold_no_result_are_refused(tmp_path):
    with runs.open_run(tmp_path / "drawn", kind="draw", config={}) as out:
        out.finish({})
    with pytest.raises(InputError, match="a run of draw, which has no result; these have: simulate"):
        runs.read(tmp_path / "drawn")
    with runs.open_run(tmp_path / "begun", kind="simulate", config=SIMULATION) as out:
        out.begin()
    with pytest.raises(InputError, match="not finished"):
        runs.read(tmp_path / "begun")
    with pytest.raises(InputError, match="holds no run"):
        runs.read(tmp_path / "nothing")


@pytest.mark.parametrize("kind", RESULTS)
def test_every_kind_names_a_class_or_a_reader(kind: str):
    room, _, name = RESULTS[kind].partition(".")
    reader = getattr(import_module(f"spinodal.{room}"), name)
    assert callable(reader)
    assert room not in ("flows", "meanfield", "graphs") or Result in reader.__mro__
