"""spinodal graph: what it prints, what it writes, and one sentence for each mistake."""

import json
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from saved_arrays import saved_arrays
from typed import of_kind

from spinodal import cli, graphs
from spinodal.graphs import System, coupling, named_graph, twisted_state
from spinodal.recipes import g1_equilibria, g2_bifurcations, g3_energy_descent
from spinodal.runs import equal, read_run

CUBIC = "y**3 - y"


def graph(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["spinodal", "graph", *map(str, arguments)])
    with pytest.raises(SystemExit) as status:
        cli.main()
    return of_kind(status.value.code or 0, int)


def printed(capsys: pytest.CaptureFixture) -> dict:
    """What was printed, which is JSON and holds none of Python's words for numbers that are not finite."""

    def refused(word: str):
        raise ValueError(f"{word} is no JSON")

    return json.loads(capsys.readouterr().out, parse_constant=refused)


def test_equilibria_as_json(monkeypatch, capsys):
    assert graph(monkeypatch, "equilibria", "--graph", "cycle:3", "--coupling", CUBIC, "--json") == 0
    found = printed(capsys)
    circle, origin = found["equilibria"]
    assert (found["betti"], found["dimension"]) == (1, 1)
    assert circle["energy"] == pytest.approx(-0.5)
    assert (circle["index"], circle["nullity"], circle["stability"]) == (0, 1, "lyapunov")
    assert (origin["state"], origin["stability"]) == ([0, 0, 0], "unstable")
    system = System(named_graph("cycle:3"), coupling(CUBIC))
    assert np.abs(system.gradient(np.array(circle["state"]))).max() < 1e-9


def test_equilibria_of_a_file_with_weights_and_names(monkeypatch, capsys, tmp_path: Path):
    other = nx.Graph()
    other.add_weighted_edges_from([("b", "a", 2.0), ("a", "c", 3.0)])
    nx.write_graphml(other, tmp_path / "tree.graphml")
    options = [
        "--graph",
        tmp_path / "tree.graphml",
        "--coupling",
        "tanh(y) - k*y",
        "--set",
        "k=0.5",
        "--json",
    ]
    assert graph(monkeypatch, "equilibria", *options, "--out", tmp_path / "run") == 0
    found = printed(capsys)
    assert found["vertices"] == ["b", "a", "c"]
    assert len(found["equilibria"]) == 9
    run = read_run(tmp_path / "run")
    search, result = run.config_as(graphs.EquilibriumSearch), run.result_as(graphs.Equilibria)
    assert (search.system.graph.names, search.system.coupling.parameters) == (("b", "a", "c"), {"k": 0.5})
    assert [e.energy for e in result.entries] == [e["energy"] for e in found["equilibria"]]
    assert equal(graphs.find_equilibria(search), result)
    assert saved_arrays(tmp_path / "run" / "results.npz")["states"].shape == (9, 3)
    assert graph(monkeypatch, "equilibria", *options, "--out", tmp_path / "run") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert graph(monkeypatch, "equilibria", *options, "--out", tmp_path / "run", "--overwrite") == 0


def test_the_table_says_how_many_and_what_the_graph_allows(monkeypatch, capsys):
    assert graph(monkeypatch, "equilibria", "--graph", "path:3", "--coupling", CUBIC) == 0
    shown = capsys.readouterr().out
    assert "9 equilibria; Betti number 0, dimension 0 (the graph allows 0)" in shown


def test_continuation_shows_the_fold_to_eight_digits(monkeypatch, capsys, tmp_path: Path):
    options = ["--graph", "cycle:3", "--drive=1,0,-1", "--parameter", "mu", "--from", "0", "--to", "3"]
    assert graph(monkeypatch, "continue", *options, "--out", tmp_path) == 0
    assert "1.76017259" in capsys.readouterr().out
    branch = read_run(tmp_path).result_as(graphs.Branch)
    fold, *_ = (p for p in branch.singular if p.kind == "fold")
    assert fold.value == pytest.approx(1.76017259, abs=5e-9)
    assert (tmp_path / "branch.png").stat().st_size > 5000
    assert {"values", "states", "energies", "indices"} <= set(saved_arrays(tmp_path / "results.npz"))


def test_continuation_refuses_to_name_what_is_degenerate(monkeypatch, capsys):
    options = ["--graph", "cycle:12", "--coupling", "sin(y) + lam*sin(2*y)", "--start", "twisted:2"]
    assert graph(monkeypatch, "continue", *options, "--parameter", "lam", "--from", "0", "--to", "1") == 0
    shown = capsys.readouterr().out
    assert "refused" in shown
    assert "11 modes cross at once at lam = 0.5" in shown


def test_a_flow_leaves_a_state_that_stability_reads(monkeypatch, capsys, tmp_path: Path):
    options = ["--graph", "cube", "--coupling", "sin", "--seed", "3", "--time", "60", "--out", tmp_path]
    assert graph(monkeypatch, "flow", *options) == 0
    shown = capsys.readouterr().out
    assert "largest rise" in shown
    assert str(tmp_path) in shown.replace("\n", "")
    flow = saved_arrays(tmp_path / "results.npz")
    assert np.diff(flow["energies"]).max() < 1e-12
    state = tmp_path / "state.npy"
    assert graph(monkeypatch, "stability", state, "--graph", "cube", "--refine", "--json") == 0
    found = printed(capsys)
    assert (found["stability"], found["index"], found["all slopes positive"]) == ("linear", 0, True)


def test_stability_names_the_cut_and_the_resistance(monkeypatch, capsys, tmp_path: Path):
    """C3, sin: y = 2 pi / 3 has negative slopes alone; a path with one y = pi has one negative edge, a bridge."""
    np.save(tmp_path / "turned.npy", twisted_state(3, 1))
    assert graph(monkeypatch, "stability", tmp_path / "turned.npy", "--graph", "cycle:3", "--json") == 0
    found = printed(capsys)
    assert found["index"] == 2
    assert len(found["a cut with a negative sum"]) in (1, 2)
    np.save(tmp_path / "bent.npy", np.array([0, 0, np.pi]))
    assert graph(monkeypatch, "stability", tmp_path / "bent.npy", "--graph", "path:3") == 0
    assert "(stable below 1): inf" in capsys.readouterr().out


def test_numbers_that_are_not_finite_are_texts_in_json(monkeypatch, capsys, tmp_path: Path):
    """K1 has no eigenvalue beside the translation's; a bridge that repels has |w| R = inf."""
    np.save(tmp_path / "one.npy", np.zeros(1))
    assert graph(monkeypatch, "stability", tmp_path / "one.npy", "--graph", "path:1", "--json") == 0
    assert printed(capsys)["lowest eigenvalue"] is None
    np.save(tmp_path / "bent.npy", np.array([0, 0, np.pi]))
    assert graph(monkeypatch, "stability", tmp_path / "bent.npy", "--graph", "path:3", "--json") == 0
    assert printed(capsys)["|w| R of the one negative edge (stable below 1)"] == "inf"


def test_a_weight_attribute_and_a_directed_file_by_options(monkeypatch, capsys, tmp_path: Path):
    other = nx.DiGraph()
    other.add_edge("a", "b", value=2.0)
    nx.write_graphml(other, tmp_path / "pair.graphml")
    options = ["--graph", tmp_path / "pair.graphml", "--weight", "value", "--undirected", "--coupling", CUBIC]
    assert graph(monkeypatch, "equilibria", *options, "--json") == 0
    assert [e["energy"] for e in printed(capsys)["equilibria"]] == [-0.5, -0.5, 0.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["equilibria", "--graph", "torus:3"], "torus:3"),
        (["equilibria", "--graph", "cycle:5", "--coupling", "y**2"], "not odd"),
        (["equilibria", "--graph", "cycle:5", "--coupling", "y**3 - lam*y"], "--set lam"),
        (["equilibria", "--graph", "cycle:5", "--set", "lam"], "NAME=VALUE"),
        (["equilibria", "--graph", "cycle:5", "--starts", "0"], "--starts"),
        (["equilibria", "--graph", "cycle:5", "--seed", "-1"], "--seed -1"),
        (["equilibria", "--graph", "cycle:5", "--anchor", "1,2"], "--anchor has shape (2,)"),
        (["equilibria", "--graph", "cycle:5", "--anchor", "soft"], "'soft' is none"),
        (["equilibria", "--graph", "directed.graphml"], "--undirected leaves the directions out"),
        (["equilibria", "--graph", "tree.csv", "--weight", "length"], "--weight length: the table has no"),
        (["equilibria", "--graph", "cycle:\u00b2"], "--graph 'cycle:\u00b2': cycle:N"),
        (["equilibria", "--graph", "words.graphml"], "no GraphML"),
        (["flow", "--graph", "cycle:5", "--start", "north"], "--start north"),
        (["flow", "--graph", "cycle:5", "--time", "0"], "--time 0"),
        (["flow", "--graph", "cycle:5", "--out", "words.graphml"], "is a file"),
        (["continue", "--graph", "path:2", "--parameter", "mu", "--from", "0", "--to", "1"], "there is none"),
        (
            ["continue", "--graph", "path:2", "--parameter", "k", "--from", "0", "--to", "1"],
            "no parameter 'k'",
        ),
        (
            [
                "continue",
                "--graph",
                "path:2",
                "--drive=1,-1",
                "--parameter",
                "mu",
                "--from",
                "1",
                "--to",
                "1",
            ],
            "different",
        ),
        (["stability", "nowhere.npy", "--graph", "path:2"], "nowhere.npy"),
        (["stability", "words.graphml", "--graph", "path:2"], "no array"),
        (["stability", "two.npy", "--graph", "path:2"], "--refine moves it to one"),
        (["stability", "complex.npy", "--graph", "path:2"], "real ones are needed"),
        (["stability", "two.npy", "--graph", "path:3"], "3 finite numbers"),
    ],
)
def test_mistakes_end_in_one_sentence(monkeypatch, capsys, tmp_path: Path, arguments: list[str], said: str):
    monkeypatch.chdir(tmp_path)
    nx.write_graphml(nx.DiGraph([(0, 1)]), tmp_path / "directed.graphml")
    (tmp_path / "words.graphml").write_text("to be or not to be")
    (tmp_path / "tree.csv").write_text("source,target,weight\na,b,1\n")
    np.save(tmp_path / "two.npy", np.array([0.0, 1]))
    np.save(tmp_path / "complex.npy", np.array([0, 1j]))
    assert graph(monkeypatch, *arguments) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["equilibria", "flow", "continue", "stability"])
def test_help_teaches(monkeypatch, capsys, command: str):
    assert graph(monkeypatch, command, "--help") == 0
    assert "spinodal graph" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("recipe", "pictures", "expected"),
    [
        pytest.param(
            g1_equilibria,
            ["triangle", "square"],
            {"bowtie, y**3 - y: dimension": 2, "path:5: equilibria": 81},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            g2_bifurcations,
            ["pitchforks", "fold"],
            {"pitchfork 2": 0.5, "fold of path:4": 2 / 3},
            marks=pytest.mark.slow,
        ),
        (g3_energy_descent, ["flow", "sparse"], {"largest rise along the flow": 0.0}),
    ],
)
def test_recipes_measure_what_they_expect(tmp_path: Path, recipe, pictures, expected):
    measured = recipe.draw(tmp_path, quick=True)
    assert json.loads(json.dumps(measured)) == measured
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=1e-11)
    for name in pictures:
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("command", "options", "drawn"),
    [
        ("flow", ["--start", "random"], "draw_flow"),
        ("continue", ["--drive=1,0,-1", "--parameter", "mu", "--from", "0", "--to", "0.5"], "draw_branch"),
    ],
)
def test_a_picture_that_fails_loses_nothing(monkeypatch, capsys, tmp_path: Path, command, options, drawn):
    def broken(*_):
        raise ValueError("no ink")

    monkeypatch.setattr(f"spinodal.figures.graphs.{drawn}", broken)
    assert graph(monkeypatch, command, "--graph", "path:3", *options, "--out", tmp_path / "run") == 1
    assert "numbers are saved" in " ".join(capsys.readouterr().err.split())
    assert read_run(tmp_path / "run").finished
