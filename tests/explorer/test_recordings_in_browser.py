"""Recordings in the explorer, in a real Chromium: dropped, broken, written into a page; flows that start from them."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accessibility import findings
from in_node import answer
from safetensors.numpy import load_file
from stored import LAYER, OBSERVATION, SIMULATION, TRAJECTORY
from tab import MERGES, assert_same_merges

from spinodal import explorer

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def written(page: Path, recording: explorer.Recording | explorer.DensityRecording) -> str:
    """The address of the explorer's page with a recording in it, which is written there."""
    page.write_text(explorer.explorer_page(recording), encoding="utf-8")
    return page.as_uri()


def test_an_observation_is_dropped_and_the_flow_started_from_a_layer(opened: Open, tmp_path: Path):
    """`test_page_commands.py` runs the command of this flow."""
    tab = opened("#n=16")
    tab.set_input_files("#file", [TRAJECTORY, OBSERVATION / "observe.json"])
    tab.until("explorer.run.current.layers && explorer.run.current.whole")
    told = json.loads((OBSERVATION / "observe.json").read_text())
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
    assert [dot["mean"] for dot in overlay] == pytest.approx(means[LAYER:], abs=1e-9)
    expected = answer("started", file=str(TRAJECTORY), layer=LAYER, beta=told["beta"])
    assert tab.text("#command") == expected["command"]
    assert_same_merges(tab.evaluate(MERGES), expected["merges"])
    with tab.expect_download() as download:
        tab.click("#save")
    download.value.save_as(tmp_path / "start.npy")
    assert download.value.suggested_filename == f"layer-{LAYER}.npy"
    assert (tmp_path / "start.npy").read_bytes() == base64.b64decode(expected["npy"])
    start = np.load(tmp_path / "start.npy")
    x = load_file(TRAJECTORY)["tokens"][LAYER, 0].astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert start.shape == (20, 20)
    assert np.abs(start @ start.T - x @ x.T).max() < 1e-6
    tab.click("#back")
    tab.until("explorer.run.current.layers")


def test_a_simulation_is_dropped(opened: Open):
    tab = opened("#n=16")
    tab.set_input_files("#file", [SIMULATION / "trajectory.npz"])
    tab.until("explorer.run.current.directions && explorer.run.current.whole")
    expected = json.loads((SIMULATION / "run.json").read_text())
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


def three_clusters() -> explorer.DensityRecording:
    """exp(k cos 3 angle) / I_0(k) over uniform: three clusters at 0, 2 pi / 3 and 4 pi / 3, sharper as k grows."""
    k, angle = np.linspace(0, 40, 41), np.linspace(0, 2 * np.pi, 181)
    rho = np.exp(np.outer(k, np.cos(3 * angle))) / np.i0(k)[:, None]
    return explorer.DensityRecording(
        "A density on the circle", times=np.append(0, np.logspace(-2, 3, 40)), moved=k,
        values=np.log10(np.maximum(rho, 0.1)), circle=True, means=0 * k, clusters=np.full(41, 3),
    )  # fmt: skip


def test_a_density_is_played_as_a_map_over_time_and_angle(opened: Open, tmp_path: Path):
    recording = three_clusters()
    tab = opened("#at=0.5&clock=log", page=written(tmp_path / "map.html", recording))
    codes = np.array(tab.evaluate("[...explorer.run.current.density.codes]"))
    least, most = recording.values.min(), recording.values.max()
    shown = least + (most - least) * codes.reshape(recording.values.shape) / 255
    assert np.abs(shown - recording.values).max() < 0.005
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
        tokens = np.random.default_rng(0).standard_normal((2, n, 6))
        np.savez_compressed(tmp_path / f"{n}.npz", tokens=np.cumsum(tokens, 0).astype(np.float32))
    tab = opened("#n=16")
    tab.set_input_files("#file", [tmp_path / "2049.npz"])
    tab.until(
        "document.querySelector('[data-part=said]').textContent.includes('from 2 to 2048 can be shown')"
    )
    tab.set_input_files("#file", [tmp_path / "2048.npz"])
    tab.until("explorer.run.current.n === 2048 && explorer.run.current.whole")
    tab.fill("[data-part=at]", "1")
    tab.until("document.querySelector('[data-part=now]').textContent === 'layer 1'")


BROKEN = {
    "x.safetensors": (b"\xff" * 40, "no .safetensors file, or it is damaged"),
    "short.safetensors": (TRAJECTORY.read_bytes()[:-100], "ends before its array"),
    "x.npz": (b"PK" * 40, "no .npz file, or it was cut short"),
    "notes.txt": (b"tokens", "Recordings end in .safetensors or .npz"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_in_one_sentence(opened: Open, name: str):
    content, expected = BROKEN[name]
    tab = opened("#n=16")
    tab.set_input_files("#file", [{"name": name, "mimeType": "", "buffer": content}])
    tab.until(f"document.querySelector('[data-part=said]').textContent.includes({json.dumps(expected)})")
    said = tab.text("[data-part=said]")
    assert said.startswith(f"{name}: ")
    assert said.endswith(".")
    assert tab.evaluate("explorer.run.current.n") == 16  # what ran before runs on


def test_a_page_is_written_with_a_run_in_it(opened: Open, tmp_path: Path):
    for place, expected in ((SIMULATION, "A simulation of 12 tokens"), (OBSERVATION, "tokens.safetensors")):
        recording = explorer.read_recording(place)
        assert isinstance(recording, explorer.Recording)
        tab = opened(page=written(tmp_path / f"{place.name}.html", recording))
        assert expected in tab.text("#what")
        assert tab.evaluate("explorer.run.current.frames.length") == len(recording.times)
        assert findings(tab) == []
        if recording.settings:
            tab.click("#rerun")
            tab.until("!explorer.run.current.directions && explorer.run.current.whole")
            found = [merge["time"] for merge in tab.evaluate(MERGES)]
            assert found == pytest.approx([merge[0] for merge in recording.merges], rel=1e-6)
