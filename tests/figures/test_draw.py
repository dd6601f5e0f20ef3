"""Pictures of any result through one function: of what an experiment returned, and of what its run says."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from example_runs import record
from marks import slow_but

from spinodal import figures, flows, graphs, meanfield, theory, watch
from spinodal.errors import InputError
from spinodal.figures import maps
from spinodal.figures.pictures import PICTURES
from spinodal.runs import equal, open_run, read_run
from spinodal.training import Comparison, TrainingResult, training_run

FINISHED = Path(__file__).parent.parent / "pins" / "data" / "finished"

SIMULATION = flows.Simulation(flows.AttentionField(2.0), flows.OrthonormalStart(4, 4), 1.0, times=5)
DENSITY = meanfield.DensityExperiment(
    flows.AttentionField(beta=5.0), meanfield.CircleModes(np.array([0.1]), np.zeros(1)), until=0.5, tolerance=1e-4
)  # fmt: skip
SYSTEM = graphs.build_system("path:3", "y**3 - y")
DRIVEN = graphs.build_system("cycle:3", "sin", drive=np.array([1.0, 0.0, -1.0]))
DIAGRAM = flows.Diagram((2,), (1.0, 2.0), (0.1, 0.2, 0.3), ("layer", 0.1), n=3, samples=4)
TOKENS = np.random.default_rng(0).standard_normal((4, 2, 5, 3))
ARRAYS = watch.Arrays("a.npz", np.arange(4.0), TOKENS, np.ones((2, 5), dtype=bool))


def evolution() -> flows.Evolution:
    return flows.evolve(SIMULATION)


MADE: dict[str, tuple[object, Callable[[], object], set[str]]] = {
    "simulate": (SIMULATION, evolution, {"cosines", "energy"}),
    "meanfield": (DENSITY, lambda: meanfield.evolve(DENSITY), {"amplitudes", "life"}),
    "graph-flow": (
        flow := graphs.GradientFlow(SYSTEM, time=1.0, points=3),
        lambda: graphs.integrate_flow(flow),
        {"energy"},
    ),
    "graph-continue": (
        curve := graphs.Continuation(DRIVEN, "mu", 0.0, 0.5),
        lambda: graphs.follow_branch(curve),
        {"branch"},
    ),
    "graph-equilibria": (
        search := graphs.EquilibriumSearch(SYSTEM),
        lambda: graphs.find_equilibria(search),
        {"equilibria"},
    ),
}


@pytest.mark.parametrize("kind", slow_but(MADE, "graph-flow", "graph-equilibria"))
def test_a_result_is_drawn_and_its_run_alike(kind: str, tmp_path):
    experiment, compute, names = MADE[kind]
    result = compute()
    drawn = figures.draw(result)
    assert drawn.keys() == names
    with open_run(tmp_path, kind=kind, config=experiment) as folder:
        folder.finish(result)
    run = read_run(tmp_path)
    assert "experiment" not in run.record
    assert equal(run.result_as(type(result)), result)
    again = figures.draw(run)
    for name, figure in drawn.items():
        assert figures.svg(again[name], "a", title="") == figures.svg(figure, "a", title="")


def test_theory_stands_in_the_axes_of_an_orthonormal_start():
    result = evolution()
    (dashed,) = figures.draw(result)["cosines"].axes[0].lines
    assert np.asarray(dashed.get_ydata()) == pytest.approx(
        np.asarray(theory.gamma_sa(result.times, 4, 2.0)), abs=1e-12
    )


def test_a_diagram_and_its_run_are_drawn(tmp_path):
    result = flows.phase_diagram(DIAGRAM)
    assert figures.draw(result).keys() == {"map"}
    with open_run(tmp_path, kind="phase-diagram", config=DIAGRAM, owned=("map.npz",)) as folder:
        folder.begin()
        with pytest.raises(InputError, match="a run that is not finished"):
            figures.draw(read_run(tmp_path))
        folder.finish({})
        with pytest.raises(InputError, match="holds no probability"):
            figures.draw(read_run(tmp_path))
        folder.save_arrays("map.npz", maps.diagram_arrays(result))
        folder.finish({})
    assert figures.draw(read_run(tmp_path)).keys() == {"map"}


@pytest.mark.slow
def test_observations_are_drawn(tmp_path):
    found = watch.observe_into(watch.Observation(ARRAYS), tmp_path / "one")
    drawn = figures.draw(found)
    assert drawn.keys() >= {"mean_cosine", "energy", "cosines", "merge_tree", "linkage"}
    assert figures.draw(read_run(tmp_path / "one")).keys() == drawn.keys()
    both = watch.compare_into({"a": tmp_path / "one", "b": watch.Observation(ARRAYS)}, tmp_path / "two")
    assert figures.draw(both).keys() == figures.draw(read_run(tmp_path / "two")).keys() >= {"mean_cosine"}


def test_training_is_drawn_with_its_residuals_and_its_run_alike():
    made = record(phases=4)
    drawn = figures.draw(training_run(made))
    assert drawn.keys() == {"loss", "loss-over-time", "F", "spread", "entropy", "cosines", "phases"}
    result = TrainingResult(**{name: made[name] for name in ("parameters", "metrics", "final")})
    assert figures.draw(result).keys() == drawn.keys() - {"cosines", "phases"}
    assert figures.draw(read_run(FINISHED / "train-masked")).keys() >= {"loss", "F", "cosines"}


def test_a_comparison_is_drawn_by_arms():
    found = Comparison({"equal time": {"a": [record("a"), record("a", 1)], "b": [record("b")]}})
    drawn = figures.draw(found)
    assert drawn.keys() == {"equal-time-loss", "equal-time-loss-over-time"}
    assert {text.get_text() for text in drawn["equal-time-loss"].axes[0].texts} == {"a", "b"}


@pytest.mark.parametrize("name", PICTURES)
def test_every_entry_is_of_a_class_and_a_function_that_exist(name: str):
    room, _, kind = name.partition(".")
    file, _, function = PICTURES[name].partition(".")
    assert isinstance(getattr(importlib.import_module(f"spinodal.{room}"), kind), type)
    assert callable(getattr(importlib.import_module(f"spinodal.figures.{file}"), function))


def test_what_has_no_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a dict has no picture; these have: flows\.Evolution"):
        figures.draw({})
    with open_run(tmp_path, kind="draw", config={}) as folder:
        folder.finish({})
    with pytest.raises(InputError, match="a run of draw, which has no picture; these have: simulate"):
        figures.draw(read_run(tmp_path))
