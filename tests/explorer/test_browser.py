"""The explorer in a real Chromium: its digits, clocks, keyboard, layouts, recordings, and that it loads nothing."""

import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import spinodal
from flow_cases import CASES, check_followed, whole

from spinodal.explorer import explorer_page, read_recording
from spinodal.explorer.reading import RANGES

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
HERE = Path(__file__).parent
AXE = HERE.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MERGES = "explorer.run.current.merges"
SHOWN = "explorer.run.current.frames[explorer.player.shown].time"


def findings(tab: Any) -> list[str]:
    """What axe-core finds fault with."""
    tab.evaluate(AXE.read_text(encoding="utf-8") + ";0")
    found = f"axe.run(document, {{runOnly: {json.dumps(RULES)}}}).then(r => r.violations)"
    violations = tab.evaluate(found)
    return [f"{v['id']}: {[node['target'] for node in v['nodes']]}" for v in violations]


# ---- digits ----


@pytest.mark.parametrize("name", CASES)
def test_a_flow_in_the_page_is_that_of_the_library(opened: Open, name: str):
    tab = opened("#n=2")
    follow = (HERE / "followed.mjs").read_text(encoding="utf-8").replace("export ", "")
    case = json.dumps(whole(name))
    script = f"(() => {{ {follow}; return followed({{ Flow, makeField, startTokens }}, {case}); }})()"
    check_followed(name, tab.evaluate(script))


@pytest.mark.parametrize(
    "settings",
    [
        "n=200&d=2&beta=25",
        "n=48&d=3&beta=3&seed=7",
        "field=usa&n=40&d=2&beta=4&until=1",
        "n=20&d=32&beta=5&start=orthonormal",
        "n=24&d=3&start=lattice&seed=2",
    ],
)
def test_the_command_yields_the_same_run(
    opened: Open, settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every merge within 1e-6, beyond t = 1e20 too; the clipboard has the command.

    Orthonormal tokens meet all at once, and rounding decides in which pairs.
    """
    tab = opened(f"#{settings}", permissions=["clipboard-read", "clipboard-write"])
    tab.click("#copy")
    tab.until("document.querySelector('[data-part=said]').textContent.startsWith('Copied')")
    command = tab.evaluate("navigator.clipboard.readText()")
    assert command == tab.text("#command")
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command)
    assert program == "spinodal"
    assert spinodal(monkeypatch, *arguments) == 0
    expected = json.loads(Path("runs/explored/run.json").read_text())
    found = tab.evaluate(MERGES)
    end = math.inf if expected["config"]["until"] == "inf" else float(expected["config"]["until"])
    found = [merge for merge in found if merge["time"] <= end]
    if "orthonormal" not in settings:
        assert [merge["tokens"] for merge in found] == [merge["tokens"] for merge in expected["merges"]]
    times = [merge["time"] for merge in expected["merges"]]
    assert [merge["time"] for merge in found] == pytest.approx(times, rel=1e-6)
    if "beta=25" in settings:
        assert times[-1] > 1e20


# ---- what it loads, and its address ----


def test_it_asks_for_nothing(opened: Open):
    tab = opened("#n=32")
    assert [url for url in tab.asked if not url.startswith(("file:", "blob:"))] == []
    assert len([url for url in tab.asked if url.startswith("file:")]) == 1
    assert tab.evaluate("fetch('data:,x').then(() => 'loaded', () => 'refused')") == "refused"
    assert "Content Security Policy" in " ".join(tab.faults)
    tab.faults.clear()


def test_the_address_keeps_the_state(opened: Open):
    tab = opened("#n=16&d=2&beta=3&seed=5&at=0.25&clock=log")
    tab.fill("#seed", "9")
    tab.press("#seed", "Enter")
    tab.select_option("[data-part=colour]", "cluster")
    tab.until("location.hash.includes('colour=cluster')")
    address = tab.evaluate("location.hash")
    assert set(address[1:].split("&")) == {
        "n=16", "d=2", "beta=3", "seed=9", "at=0.25", "clock=log", "colour=cluster",
    }  # fmt: skip
    again = opened(address)
    assert again.evaluate("explorer.state") == tab.evaluate("explorer.state")
    assert again.evaluate(MERGES) == tab.evaluate(MERGES)


def test_an_address_that_makes_no_sense_is_put_right(opened: Open):
    tab = opened("#n=9999&d=x&beta=-3&start=given&clock=sun&until=1&field=none")
    state = tab.evaluate("explorer.state")
    told = {key: state[key] for key in ("n", "d", "beta", "start", "clock", "field")}
    assert told == {"n": 512, "d": 3, "beta": 0, "start": "uniform", "clock": "movement", "field": "sa"}


def test_numbers_are_entered_within_the_ranges_of_the_page(opened: Open):
    tab = opened("#n=2")
    for key, (low, high) in RANGES.items():
        found = tab.evaluate(
            f"(({{ min, max }}) => [min, max].map(Number))(document.getElementById('{key}'))"
        )
        assert found == [low, high], key


# ---- clocks, scrubbing, stories ----


def test_three_clocks(opened: Open):
    """Half of the movement lies before 1e20 units of time; another clock shows the same moment."""
    tab = opened("#n=200&d=2&beta=25&at=0.5")
    time = tab.evaluate(SHOWN)
    assert 1e3 < time < 1e19
    last = tab.evaluate("explorer.run.current.frames.at(-1).time")
    assert last > 1e20
    tab.check("input[value=log]")
    assert tab.evaluate(SHOWN) == pytest.approx(time, rel=0.5)
    tab.fill("[data-part=at]", "0.5")
    assert -2 < math.log10(tab.evaluate(SHOWN)) < 14
    tab.check("input[value=time]")
    tab.fill("[data-part=at]", "1")
    assert tab.evaluate(SHOWN) == last


def test_1e20_units_of_time_play_in_seconds(opened: Open):
    tab = opened("#n=200&d=2&beta=25&speed=3&at=0")
    tab.click("[data-part=play]")
    tab.until("!explorer.player.playing", 20)
    assert tab.evaluate(SHOWN) > 1e20
    assert "It ends with 1 cluster" in tab.text("[data-part=said]")


def test_scrubbing_computes_nothing_again(opened: Open):
    tab = opened("#n=64&d=2&beta=9")
    before = tab.evaluate("[explorer.id(), explorer.run.current.frames.length]")
    tab.evaluate("explorer.stop()")
    for at in (0.2, 0.7, 0.1):
        tab.fill("[data-part=at]", str(at))
        assert tab.evaluate("explorer.state.at") == at
    box = tab.locator("[data-part=clusters]").bounding_box()
    tab.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 40)
    assert 0.4 < tab.evaluate("explorer.state.at") < 0.6
    tab.fill("[data-part=epsilon]", "-1")
    assert "0.1" in tab.text("[data-part=epsilon-text]")
    assert tab.evaluate("[explorer.id(), explorer.run.current.frames.length]") == before


def test_stories_tell_one_sentence_each_and_set_one_parameter_at_the_front(opened: Open):
    tab = opened("#n=16")
    told = set()
    for button in tab.locator("#stories button").all():
        button.click()
        tab.until("explorer.run.current.frames.length > 3")
        told.add(tab.text("#what"))
        assert button.get_attribute("aria-pressed") == "true"
    assert len(told) == tab.locator("#stories button").count() == 8
    tab.click("text=Clusters that last")
    tab.fill("#front", "0.25")
    assert tab.evaluate("explorer.state.beta") == 4.5
    assert "--beta 4.5" in tab.text("#command")


def test_merges_stand_in_a_table(opened: Open):
    tab = opened("#n=24&d=2&beta=6")
    tab.click("summary")
    rows = tab.locator("#table tr").all_inner_texts()
    merges = tab.evaluate(MERGES)
    assert len(rows) == 1 + len(merges) == 24
    time, clusters, tokens = rows[-1].split("\t")
    assert float(time) == pytest.approx(merges[-1]["time"], rel=1e-7)
    assert (clusters.strip(), tokens.strip()) == ("1", ", ".join(map(str, merges[-1]["tokens"])))


# ---- hands, eyes and ears ----


def test_everything_is_reached_and_done_by_keyboard(opened: Open):
    tab = opened("#n=16&d=3&at=0")
    tab.focus("[data-part=tokens]")
    turn = tab.evaluate("explorer.state.turn")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("explorer.state.turn") > turn
    tab.keyboard.press("Space")
    tab.until("explorer.player.playing && explorer.state.at > 0")
    tab.keyboard.press("Space")
    assert not tab.evaluate("explorer.player.playing")
    tab.keyboard.press("r")
    assert tab.evaluate("explorer.state.seed") == 1
    reached = set()
    for _ in range(50):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.id || document.activeElement.dataset.part"))
    parts = {"tokens", "play", "at", "speed", "colour", "epsilon"}
    settings = {"front", "field", "n", "d", "beta", "start", "seed", "kappa", "until", "causal", "repulsive"}
    assert parts | settings | {"copy", "open", "skip"} <= reached
    tab.evaluate("document.activeElement.blur()")
    at = tab.evaluate("explorer.state.at")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("explorer.state.at") > at
    tab.focus("[data-part=at]")
    tab.keyboard.press("End")
    assert tab.evaluate("explorer.state.at") == 1
    assert "cluster" in tab.get_attribute("[data-part=at]", "aria-valuetext")


def test_it_moves_by_itself_only_where_motion_is_welcome(opened: Open):
    assert not opened("#n=16").evaluate("explorer.player.playing || explorer.state.at > 0")
    other = opened("#n=16", reduced_motion="no-preference", whole=False)
    other.until("window.explorer?.player.playing && explorer.state.at > 0")


@pytest.mark.parametrize("width", [320, 360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_axe_finds_nothing(opened: Open, width: int, scheme: str):
    tab = opened("#n=16&d=2", width=width, color_scheme=scheme)
    tab.click("summary")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert findings(tab) == []


def test_a_phone_scrolls_past_it_and_turns_it(opened: Open):
    tab = opened("#n=16", width=360, has_touch=True, is_mobile=True)
    assert tab.evaluate("getComputedStyle(document.querySelector('.tokens')).touchAction") == "pan-y"
    box = tab.locator("[data-part=tokens]").bounding_box()
    client = tab.page.context.new_cdp_session(tab.page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *points: tuple[float, float]) -> None:
        told = [{"x": px, "y": py} for px, py in points]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    def swipe(dx: float, dy: float) -> None:
        touch("touchStart", (x, y))
        for part in np.linspace(0.1, 1, 10):
            touch("touchMove", (x + part * dx, y + part * dy))
            tab.wait_for_timeout(20)
        touch("touchEnd")

    swipe(0, -150)
    tab.until("scrollY > 50")
    turn = tab.evaluate("explorer.state.turn")
    tab.evaluate("scrollTo(0, 0)")
    swipe(120, 0)
    assert tab.evaluate("explorer.state.turn") != turn


# ---- recordings ----


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
