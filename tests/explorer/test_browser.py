"""The explorer in a real Chromium: its digits, clocks, keyboard, layouts, and that it loads nothing."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accessibility import findings
from flow_cases import ADDRESSES, CASES, whole
from in_node import answers
from tab import ADDRESS, MERGES, Tab, assert_same_merges

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
HERE = Path(__file__).parent
SHOWN = "explorer.run.current.frames[explorer.player.shown].time"


# ---- digits ----


def test_flows_in_the_page_are_those_of_node_which_are_the_library_s(opened: Open):
    """`test_agreement.py` holds the modules in Node to the library; here the page's own are, of few tokens."""
    tab = opened("#n=2")
    follow = (HERE / "followed.mjs").read_text(encoding="utf-8").replace("export ", "")
    cases = [whole(name) | {"n": min(CASES[name]["n"], 64)} for name in CASES]
    script = f"((cases) => {{ {follow}; return cases.map((c) => followed({{ Flow, makeField, startTokens }}, c)); }})"
    seen = json.loads(tab.evaluate(f"JSON.stringify({script}({json.dumps(cases)}))"))
    expected = answers([{"asked": "followed", **case} for case in cases])
    for name, mine, theirs in zip(CASES, seen, expected, strict=True):
        assert_same_merges(mine["merges"], theirs["merges"])
        times, tokens = (
            [np.array([frame[key] for frame in run["frames"]]) for run in (mine, theirs)]
            for key in ("time", "tokens")
        )
        assert np.abs(times[0] / times[1] - 1).max() < 1e-9, name
        assert np.abs(tokens[0] - tokens[1]).max() < 1e-12, name


def test_a_run_and_its_command_are_those_of_node(opened: Open):
    """`test_page_commands.py` runs the commands; the clipboard has them."""
    expected = answers([{"asked": "addressed", "address": address} for address in ADDRESSES])
    for address, theirs in zip(ADDRESSES, expected, strict=True):
        tab = opened(address)
        tab.click("#copy")
        tab.until("document.querySelector('[data-part=said]').textContent.startsWith('Copied')")
        assert tab.evaluate("navigator.clipboard.readText()") == tab.text("#command") == theirs["command"]
        assert_same_merges(tab.evaluate(MERGES), theirs["merges"])


# ---- what it loads, and its address ----


def test_it_asks_for_nothing(opened: Open):
    tab = opened("#n=32", fresh=True)
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
    state, merges = tab.evaluate("explorer.state"), tab.evaluate(MERGES)
    opened(address, fresh=True)
    assert (tab.evaluate("explorer.state"), tab.evaluate(MERGES)) == (state, merges)


def test_an_address_that_makes_no_sense_is_put_right(opened: Open):
    tab = opened("#n=9999&d=x&beta=-3&start=given&clock=sun&until=1&field=none", whole=False)
    state = tab.evaluate("explorer.state")
    told = {key: state[key] for key in ("n", "d", "beta", "start", "clock", "field")}
    assert told == {"n": 512, "d": 3, "beta": 0, "start": "uniform", "clock": "movement", "field": "sa"}


def test_numbers_are_entered_within_the_ranges_of_the_page(opened: Open):
    """`test_agreement.py` holds these to the library's."""
    tab = opened("#n=2")
    ranges = tab.evaluate("RANGES")
    for key in ("n", "d", "beta", "seed", "kappa", "until"):
        entered = f"(({{ min, max }}) => [min, max].map(Number))(document.getElementById('{key}'))"
        assert tab.evaluate(entered) == ranges[key], key


# ---- clocks, scrubbing, stories ----


def test_three_clocks(opened: Open):
    """Half of the movement lies before 1e20 units of time; another clock shows the same moment."""
    tab = opened("#n=100&d=2&beta=25&at=0.5")
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
    tab = opened("#n=100&d=2&beta=25&speed=3&at=0")
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
    assert len(told) == tab.locator("#stories button").count() == 9
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
    tab = opened("#n=16", fresh=True)
    assert not tab.evaluate("explorer.player.playing || explorer.state.at > 0")
    opened("#n=16", fresh=True, motion="no-preference", whole=False)
    tab.until("window.explorer?.player.playing && explorer.state.at > 0")


def test_it_fits_and_axe_finds_nothing(opened: Open):
    tab = opened("#n=16&d=2")
    tab.evaluate("document.querySelector('details').open = true")
    for scheme, width in itertools.product(("light", "dark"), (320, 360, 768, 1440)):
        tab.show(width, scheme=scheme)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert findings(tab) == [], (scheme, width)


def test_a_phone_scrolls_past_it_and_turns_it(browser: Any):
    context = browser.new_context(
        viewport={"width": 360, "height": 800}, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    tab = Tab(context.new_page())
    tab.open("#n=16", ADDRESS, whole=True, fresh=True)
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
            tab.wait_for_timeout(10)
        touch("touchEnd")

    swipe(0, -150)
    tab.until("scrollY > 50")
    turn = tab.evaluate("explorer.state.turn")
    tab.evaluate("scrollTo(0, 0)")
    swipe(120, 0)
    assert tab.evaluate("explorer.state.turn") != turn
    context.close()
    assert tab.faults == []
