"""Recordings in the explorer, in a real Chromium: dropped, broken, written into a page; flows that start from them."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accessibility import findings
from command import spinodal

from spinodal import meanfield
from spinodal.explorer import Recording, explorer_page, read_recording, recording_of
from spinodal.flows import AttentionField
from spinodal.meanfield import CircleModes, DensityExperiment

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
MERGES = "explorer.run.current.merges"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An observation of eight layers of twenty tokens in R^96, and a simulation, by the library's own commands."""
    at = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    tokens = [rng.standard_normal((20, 96)) + 3]
    for _ in range(7):
        tokens.append(0.8 * tokens[-1] + 0.2 * tokens[-1].mean(0))
    np.savez(at / "layers.npz", tokens=np.array(tokens, np.float32))
    with pytest.MonkeyPatch.context() as patch:
        assert spinodal(patch, "observe", at / "layers.npz", "--nulls", "none", "--out", at / "seen") == 0
        assert (
            spinodal(patch, "simulate", "--n", 12, "--d", 3, "--until", "consensus", "--out", at / "run") == 0
        )
    return at


def test_an_observation_is_dropped_and_the_flow_started_from_a_layer(
    opened: Open, recordings: Path, tmp_path: Path
):
    tab = opened("#n=16")
    seen = recordings / "seen"
    tab.set_input_files("#file", [seen / "trajectory.safetensors", seen / "observe.json"])
    tab.until("explorer.run.current.layers && explorer.run.current.whole")
    told = json.loads((seen / "observe.json").read_text())
    means = tab.evaluate("explorer.run.current.frames.map(frame => frame.mean)")
    assert means == pytest.approx([layer["mean_cosine"] for layer in told["layers"]], abs=1e-6)
    radii = tab.evaluate(
        "explorer.run.current.frames.flatMap(f => [...Array(20).keys()].map(i => "
        "Math.hypot(...f.places.slice(3 * i, 3 * i + 3))))"
    )
    assert np.quantile(radii, 0.98) == pytest.approx(1, abs=0.05)  # centred, and scaled to fill the stage
    assert tab.text("[data-part=now]") == "layer 0"
    tab.fill("[data-part=at]", "0.43")
    tab.click("#flow")
    tab.until("explorer.run.current.overlay && explorer.run.current.whole")
    overlay = tab.evaluate("explorer.run.current.overlay")
    assert [dot["mean"] for dot in overlay] == pytest.approx(means[3:], abs=1e-9)
    assert "--start layer-3.npy" in tab.text("#command")
    with tab.expect_download() as download:
        tab.click("#save")
    download.value.save_as(tmp_path / "layer-3.npy")
    start = np.load(tmp_path / "layer-3.npy")
    x = np.load(recordings / "layers.npz")["tokens"][3].astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert start.shape == (20, 20)
    assert np.abs(start @ start.T - x @ x.T).max() < 1e-6
    tab.click("#back")
    tab.until("explorer.run.current.layers")


def test_a_flow_from_a_layer_is_that_of_its_command(
    opened: Open, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tab = opened("#n=16")
    tab.set_input_files("#file", [recordings / "seen" / "trajectory.safetensors"])
    tab.until("explorer.run.current.layers && explorer.run.current.whole")
    tab.click("#flow")
    tab.until("explorer.run.current.overlay && explorer.run.current.whole")
    with tab.expect_download() as download:
        tab.click("#save")
    download.value.save_as(tmp_path / "layer-0.npy")
    monkeypatch.chdir(tmp_path)
    assert spinodal(monkeypatch, *shlex.split(tab.text("#command"))[1:]) == 0
    expected = json.loads(Path("runs/explored/run.json").read_text())["merges"]
    found = tab.evaluate(MERGES)
    assert [merge["tokens"] for merge in found] == [merge["tokens"] for merge in expected]
    assert [m["time"] for m in found] == pytest.approx([m["time"] for m in expected], rel=1e-6)


def test_a_simulation_is_dropped(opened: Open, recordings: Path):
    tab = opened("#n=16")
    tab.set_input_files("#file", [recordings / "run" / "trajectory.npz"])
    tab.until("explorer.run.current.directions && explorer.run.current.whole")
    expected = json.loads((recordings / "run" / "run.json").read_text())
    assert tab.evaluate(MERGES) == expected["merges"]
    tab.fill("[data-part=at]", "1")
    assert tab.evaluate("explorer.run.current.frames.at(-1).mean") == pytest.approx(1, abs=1e-6)


def test_a_story_plays_the_tokens_of_a_model_and_starts_the_flow_from_them(opened: Open):
    tab = opened("#n=16")
    tab.click("text=A model’s tokens")
    tab.until("explorer.run.current.layers && explorer.run.current.whole")
    means = tab.evaluate("explorer.run.current.frames.map(frame => frame.mean)")
    assert len(means) == 13
    assert means[-1] > means[0] + 0.1
    assert "trained ALBERT" in tab.text("#what")
    assert tab.evaluate("explorer.run.current.words")[0] == "[CLS]"
    tab.fill("[data-part=at]", "0.25")
    tab.click("#flow")
    tab.until("explorer.run.current.overlay && explorer.run.current.whole")
    assert [dot["mean"] for dot in tab.evaluate("explorer.run.current.overlay")] == means[3:]
    assert "--start layer-3.npy" in tab.text("#command")


def test_a_density_is_played_as_a_map_over_time_and_angle(opened: Open, tmp_path: Path):
    start = CircleModes(np.array([0.0, 0.0, 1e-2]), np.zeros(3))
    result = meanfield.evolve(DensityExperiment(AttentionField(beta=5.0), start, until="diracs"))
    recording = recording_of(result)
    (tmp_path / "map.html").write_text(explorer_page(recording), encoding="utf-8")
    tab = opened("#at=0.5&clock=log", page=(tmp_path / "map.html").as_uri())
    density, rows = "explorer.run.current.density", len(recording.times)
    codes = np.reshape(tab.evaluate(f"[...{density}.codes]"), (rows, -1))
    angle, rho = meanfield.smooth_density(result.record.moments[[-1]], 2, points=codes.shape[1])
    shown = 10 ** (np.log10(rho.max() / 0.1) * codes[-1] / 255 - 1)
    assert shown == pytest.approx(np.maximum(rho[0], 0.1), rel=0.01)
    peaks = 1 + np.flatnonzero((np.diff(codes[-1][:-1]) > 0) & (np.diff(codes[-1][1:]) < 0))
    assert angle[peaks] == pytest.approx([2 * np.pi / 3, 4 * np.pi / 3], abs=0.05)  # and 0, at both ends
    assert "clusters; mean cosine" in tab.text("[data-part=said]")
    assert tab.text("#command") == ""
    box = tab.locator("[data-part=third]").bounding_box()
    tab.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 40)
    assert 0.8 < tab.evaluate("explorer.state.at") < 1
    line = "new DOMMatrix(getComputedStyle(document.querySelector('[data-part=third] + i')).transform).e"
    tab.until(f"Math.abs({line} - {0.9 * box['width']}) < 2")
    tab.fill("[data-part=at]", "1")
    tab.until("document.querySelector('[data-part=said]').textContent.startsWith('3 clusters')")
    ink = (
        "(() => { const c = document.querySelector('[data-part=third]'); "
        "const [x, h] = [c.width - 14, c.height - 26 * c.width / c.clientWidth]; "
        "return [...c.getContext('2d').getImageData(x, 6, 1, h).data].filter((_, k) => k % 4 === 0); })()"
    )
    column = np.array(tab.evaluate(ink))
    assert column.min() < 60 < 200 < column.max()  # a cluster, and what lies between
    assert findings(tab) == []


def test_2048_tokens_are_played_and_more_are_refused(opened: Open, tmp_path: Path):
    for n in (2048, 2049):
        tokens = np.random.default_rng(0).standard_normal((3, n, 6))
        np.savez_compressed(tmp_path / f"{n}.npz", tokens=np.cumsum(tokens, 0).astype(np.float32))
    tab = opened("#n=16")
    tab.set_input_files("#file", [tmp_path / "2049.npz"])
    tab.until(
        "document.querySelector('[data-part=said]').textContent.includes('from 2 to 2048 can be shown')"
    )
    tab.set_input_files("#file", [tmp_path / "2048.npz"])
    tab.until("explorer.run.current.n === 2048 && explorer.run.current.whole")
    tab.fill("[data-part=at]", "1")
    tab.until("document.querySelector('[data-part=now]').textContent === 'layer 2'")


BROKEN = {
    "x.safetensors": (b"\xff" * 40, "no .safetensors file, or it is damaged"),
    "short.safetensors": (None, "ends before its array"),
    "x.npz": (b"PK" * 40, "no .npz file, or it was cut short"),
    "notes.txt": (b"tokens", "Recordings end in .safetensors or .npz"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_in_one_sentence(opened: Open, recordings: Path, name: str):
    content, expected = BROKEN[name]
    whole = (recordings / "seen" / "trajectory.safetensors").read_bytes()
    tab = opened("#n=16")
    tab.set_input_files("#file", [{"name": name, "mimeType": "", "buffer": content or whole[:-100]}])
    tab.until(f"document.querySelector('[data-part=said]').textContent.includes({json.dumps(expected)})")
    said = tab.text("[data-part=said]")
    assert said.startswith(f"{name}: ")
    assert said.endswith(".")
    assert tab.evaluate("explorer.run.current.n") == 16  # what ran before runs on


def test_a_page_is_written_with_a_run_in_it(opened: Open, recordings: Path, tmp_path: Path):
    for name, expected in (("run", "A simulation of 12 tokens"), ("seen", "layers")):
        recording = read_recording(recordings / name)
        assert isinstance(recording, Recording)
        (tmp_path / f"{name}.html").write_text(explorer_page(recording), encoding="utf-8")
        tab = opened(page=(tmp_path / f"{name}.html").as_uri())
        assert expected in tab.text("#what")
        assert tab.evaluate("explorer.run.current.frames.length") == len(recording.times)
        assert findings(tab) == []
        if name == "run":
            tab.click("#rerun")
            tab.until("!explorer.run.current.directions && explorer.run.current.whole")
            found = [merge["time"] for merge in tab.evaluate(MERGES)]
            assert found == pytest.approx([merge[0] for merge in recording.merges], rel=1e-6)
