"""The explorer's page as a file: current, small, under a policy that loads nothing; recordings in it; its command."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import spinodal
from marks import slow_but

from spinodal import flows, meanfield, observables
from spinodal.errors import InputError
from spinodal.explorer import Recording, build, explorer_page, read_recording, reading, recording_of
from spinodal.explorer.component import COMPONENT
from spinodal.explorer.page import PAGE, places
from spinodal.types import Trajectory


def embedded(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="embedded">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def numbers(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def one_head_flow(**matrices: Any) -> flows.Simulation:
    field = flows.AttentionField(heads=(flows.Head(**matrices),))
    return flows.Simulation(field, flows.UniformStart(4, 2), 0.1)


def played(simulation: flows.Simulation) -> Recording:
    found = recording_of(flows.evolve(simulation))
    assert isinstance(found, Recording)
    return found


def test_the_page_is_what_its_sources_make():
    """`python -m spinodal.explorer.build` writes it, and the player for reports."""
    assert PAGE.read_text(encoding="utf-8") == build.built_page()
    assert json.loads(COMPONENT.read_text(encoding="utf-8")) == build.built_component()


def test_the_page_is_at_most_100_kilobytes():
    assert PAGE.stat().st_size <= 100_000


def test_the_policy_allows_the_scripts_that_are_there_and_nothing_else():
    page = PAGE.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    elements = re.findall(r'<(?:script(?: id="core")?|style)>(.*?)</(?:script|style)>', page, re.DOTALL)
    assert len(elements) == 3
    for text in elements:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy[1]
    assert not re.search(r"\b(?:src|href)=\"(?!#)|@import|url\(|\son\w+=\"|\sstyle=\"", page)


def test_a_module_may_import_what_comes_before_it(monkeypatch: pytest.MonkeyPatch):
    assert "import" not in build.bundle(["ziggurat", "random"]).split("\n")[0]
    with pytest.raises(InputError, match=r"random\.js imports ziggurat"):
        build.bundle(["random", "ziggurat"])


def test_a_simulation_is_embedded_with_its_merges_and_settings():
    field, start = flows.AttentionField(beta=9.0), flows.UniformStart(16, 2, seed=3)
    result = flows.evolve(flows.Simulation(field, start, until=flows.CONSENSUS))
    told = embedded(explorer_page(recording_of(result)))
    t, n, d = result.tokens.shape
    assert (told["n"], told["d"], told["layers"]) == (n, d, False)
    assert np.abs(numbers(told["tokens"], "<f4").reshape(t, n, d) - result.tokens).max() < 1e-7
    assert [merge["time"] for merge in told["merges"]] == result.merge_time.tolist()
    assert told["merges"][0]["tokens"] == [result.merge_first[0], result.merge_second[0]]
    expected = {"field": "sa", "n": 16, "d": 2, "beta": 9.0, "start": "uniform", "seed": 3, "until": 0}
    assert told["settings"] == expected | {"kappa": 0, "causal": 0, "repulsive": 0}


NOT_RUN = {
    "values": one_head_flow(values=2.0),
    "tokens": flows.Simulation(flows.AttentionField(), flows.TokenStart(np.eye(3)), 0.1),
    "layers": flows.Simulation(flows.AttentionField(), flows.UniformStart(4, 2), 0.1, flows.Layers()),
    "two seeds": flows.Simulation(
        flows.AttentionField(kappa=9.0), flows.UniformStart(4, 2, seed=1), 0.1, flows.Noisy(seed=2)
    ),
    "queries": one_head_flow(queries=-1.0),
    "keys": one_head_flow(keys=-1.0),
    "bias": one_head_flow(query_bias=np.ones(2)),
    "orthonormal below d = 8": flows.Simulation(flows.AttentionField(), flows.OrthonormalStart(4, 5), 0.1),
    "causal consensus": flows.Simulation(
        flows.AttentionField(causal=True), flows.UniformStart(4, 2), flows.CONSENSUS
    ),
    "faint noise": flows.Simulation(
        flows.AttentionField(kappa=1e7), flows.UniformStart(4, 2), 0.1, flows.Noisy(seed=0)
    ),
    "large seed": flows.Simulation(flows.AttentionField(), flows.UniformStart(4, 2, seed=2**32), 0.1),
}


@pytest.mark.parametrize("name", slow_but(NOT_RUN, "layers", "two seeds", "causal consensus", "faint noise"))
def test_a_simulation_that_the_page_cannot_run_is_played_without_settings(name: str):
    assert played(NOT_RUN[name]).settings is None


@pytest.mark.parametrize(("sign", "repulsive"), [(1.0, 0), (-1.0, 1)])
def test_queries_and_keys_of_one_sign_are_the_identity_to_the_page(sign: float, repulsive: int):
    simulation = one_head_flow(queries=-1.0, keys=-1.0, values=sign)
    settings = played(simulation).settings
    assert settings is not None
    assert settings["repulsive"] == repulsive


def test_the_tree_of_a_moment_has_the_clusters_of_every_threshold():
    start = flows.UniformStart(60, 5, seed=4)
    simulation, x = flows.Simulation(flows.AttentionField(), start, until=0.1), start.tokens()
    moment = played(simulation).moments[0]
    way = Trajectory(torch.zeros(1), torch.from_numpy(x)[None, None], torch.ones(1, 60, dtype=torch.bool))
    assert moment.mean == pytest.approx(float(observables.mean_cosine(way)[0, 0]), abs=1e-12)
    for epsilon in (0.05, 0.2, 0.5):
        joined = np.count_nonzero(moment.q <= 2 * epsilon)
        assert 60 - joined == int(observables.cluster_count(way, epsilon)[0, 0])


@pytest.mark.parametrize("geometry", slow_but(["circle", "zonal"], "zonal"))
def test_a_density_leaves_a_map_over_time_and_angle(geometry: str):
    """Codes are log10 of rho over uniform; the mean cosine is |m_1|^2; a density begins uniform."""
    start = meanfield.WhiteNoise(0.01, geometry, 4 if geometry == "zonal" else None, seed=1)
    result = meanfield.evolve(meanfield.DensityExperiment(start=start, until="diracs"))
    told = embedded(explorer_page(recording_of(result)))
    rows, moments = np.searchsorted(result.record.times, told["times"]), result.record.moments
    assert told["means"] == (np.abs(moments[rows, 1]) ** 2).tolist()
    assert told["clusters"] == result.record.clusters[rows].tolist()
    assert (told["times"][-1], told["circle"]) == (result.time, geometry == "circle")
    codes = numbers(told["codes"], "u1").reshape(len(rows), -1)
    least, most = np.log10([told["least"], told["most"]])
    rho = 10 ** (least + (most - least) * codes / 255)
    assert np.abs(rho[0] - 1).max() < 0.05
    exact = meanfield.smooth_density(moments[rows[-1:]], result.d, points=told["columns"])[1][0]
    assert rho[-1] == pytest.approx(np.maximum(exact, 0.1), rel=0.02)


def test_of_a_long_record_the_steps_are_kept_that_tell_most():
    times, moved = np.append(0, np.logspace(-3, 9, 9999)), np.minimum(np.linspace(0, 40, 10000), 20.0)
    rows = reading.telling_rows(times, moved)
    assert (rows[0], rows[-1]) == (0, 9999)
    assert len(rows) <= reading.ROWS
    assert np.diff(moved[rows]).max() <= 20 / (reading.ROWS // 2 - 1) * 1.01
    assert np.diff(np.log(times[rows[1:]])).max() < 0.25


def test_a_density_on_the_sphere_has_no_map():
    start = meanfield.WhiteNoise(geometry="sphere")
    result = meanfield.evolve(meanfield.DensityExperiment(start=start, until=0.1))
    with pytest.raises(InputError, match="leaves no map"):
        recording_of(result)


def test_a_report_has_the_places_of_tokens_and_not_the_tokens():
    """Their three main axes, less the mean; 98 of 100 in the unit ball; moved by what their directions do."""
    x = np.random.default_rng(0).standard_normal((3, 50, 9)) * np.r_[4, 3, 2, np.ones(6)] + 1
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    told = places(x)
    at = numbers(told["places"], "<f4").reshape(-1, 3)
    assert np.abs(at.mean(0)).max() < 1e-6
    assert np.mean(np.linalg.norm(at, axis=1) <= 1) == pytest.approx(0.98, abs=0.01)
    flat = x.reshape(-1, 9) - x.reshape(-1, 9).mean(0)
    spread = np.linalg.svd(flat, compute_uv=False)[:3]
    assert np.linalg.norm(at, axis=0) / np.linalg.norm(at[:, 0]) == pytest.approx(
        spread / spread[0], rel=1e-5
    )
    assert told["moved"][1] == pytest.approx(np.sqrt(((x[1] - x[0]) ** 2).sum() / 50))


def test_wide_tokens_keep_their_main_axes():
    """Of 3 x 30 tokens in R^100, whose directions lie in a space of 20 dimensions, nothing is lost."""
    from spinodal.explorer.reading import in_main_axes

    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 30, 20)) @ rng.standard_normal((20, 100))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    kept = in_main_axes(x)
    assert kept.shape == (3, 30, 64)
    assert np.abs(kept[2] @ kept[2].T - x[2] @ x[2].T).max() < 1e-12


@pytest.mark.slow
def test_the_command_writes_the_page_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run, page = tmp_path / "run", tmp_path / "pages" / "run.html"
    assert spinodal(monkeypatch, "simulate", "--n", 8, "--d", 2, "--until", 2, "--out", run) == 0
    assert spinodal(monkeypatch, "explore", run, "--out", page) == 0
    told = embedded(page.read_text(encoding="utf-8"))
    assert told["command"].startswith("spinodal simulate")
    assert told["settings"]["until"] == 2
    assert read_recording(run).command == told["command"]
    assert spinodal(monkeypatch, "explore", "--out", page) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert spinodal(monkeypatch, "explore", "--out", page, "--overwrite") == 0
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    assert spinodal(monkeypatch, "explore", tmp_path, "--out", page, "--overwrite") == 2
    assert "holds no run" in capsys.readouterr().err
    assert spinodal(monkeypatch, "explore", run / "trajectory.npz", "--out", page, "--overwrite") == 2
    assert "name the folder of the run" in capsys.readouterr().err
