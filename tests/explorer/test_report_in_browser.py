"""The report of an observation, and of several, in a real Chromium: the same player, first on the page."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from accessibility import findings
from stored import OBSERVATION

from spinodal import watch

pytestmark = pytest.mark.browser
Open = Callable[..., Any]
READY = "window.report?.players.every(player => player.drawn)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of the report of one observation, and of that beside one that shows 2,048 tokens."""
    from spinodal.report import observation

    at, one = tmp_path_factory.mktemp("reports"), watch.read_observation(OBSERVATION)
    tokens = np.cumsum(np.random.default_rng(0).standard_normal((3, 2048, 6)), 0)
    shown = watch.ShownInput(("token",) * 2048, (), (), np.arange(3.0), tokens)
    other = dataclasses.replace(one, model="other", shown=shown)
    (at / "report.html").write_text(observation.observation_page(one), encoding="utf-8")
    (at / "compare.html").write_text(
        observation.comparison_page({"one": one, "other": other}), encoding="utf-8"
    )
    return {name: (at / f"{name}.html").as_uri() for name in ("report", "compare")}


def opened_report(opened: Open, page: str, **options: Any) -> Any:
    tab = opened(page=page, whole=False, **options)
    tab.until(READY)
    return tab


def test_the_sphere_is_the_first_thing_seen_and_plays(opened: Open, pages: dict[str, str]):
    tab = opened_report(opened, pages["report"], motion="no-preference")
    tab.until("report.players[0].playing && report.players[0].view.at > 0")
    box = tab.locator("#sphere-canvas").bounding_box()
    assert box["y"] < 400
    lead = tab.locator(".lead").bounding_box()
    assert lead["y"] < box["y"]
    assert 2 <= tab.text(".lead").count(". ") + 1 <= 3
    assert [url for url in tab.asked if not url.startswith(("file:", "blob:"))] == []
    calm = opened_report(opened, pages["report"])
    assert not calm.evaluate("report.players[0].playing")


def test_clusters_are_those_of_the_threshold_and_the_keyboard_plays(opened: Open, pages: dict[str, str]):
    tab = opened_report(opened, pages["report"])
    tab.fill("[data-part=at]", "0.4")
    said = "document.querySelector('[data-part=said]').textContent"
    tab.until(f"/^[0-9]+ clusters;/.test({said})")
    tab.fill("[data-part=epsilon]", "0")
    tab.until(f"{said}.startsWith('1 cluster;')")
    tab.focus("#sphere-canvas")
    turn = tab.evaluate("report.players[0].view.turn")
    tab.keyboard.press("ArrowLeft")
    assert tab.evaluate("report.players[0].view.turn") < turn
    tab.keyboard.press("Space")
    tab.until("report.players[0].playing")
    assert "layer" in tab.get_attribute("[data-part=at]", "aria-valuetext")
    for colour in ("word", "order", "start", "cluster"):
        tab.select_option("[data-part=colour]", colour)


@pytest.mark.parametrize("name", ["report", "compare"])
def test_a_report_fits_and_axe_finds_nothing(opened: Open, pages: dict[str, str], name: str):
    tab = opened_report(opened, pages[name])
    assert tab.evaluate("getComputedStyle(document.querySelector('.tokens')).touchAction") == "pan-y"
    for width in (360, 768):
        tab.show(width)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    for width, scheme in [(320, "light"), (1440, "dark")]:
        tab.show(width, scheme=scheme)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert findings(tab) == [], width


def test_models_stand_side_by_side_on_one_clock(opened: Open, pages: dict[str, str]):
    tab = opened_report(opened, pages["compare"])
    assert tab.evaluate("report.players.map(player => player.run.n)") == [20, 2048]
    one, other = (tab.locator(".tokens").nth(k).bounding_box() for k in (0, 1))
    assert one["y"] == pytest.approx(other["y"], abs=30)
    assert one["x"] + one["width"] < other["x"]
    tab.locator("[data-part=at]").first.fill("0.5")
    tab.until("document.querySelectorAll('[data-part=now]')[1].textContent === 'layer 1'")
    tab.locator("[data-part=play]").nth(1).click()
    tab.until("report.players[0].view.at > 0.55")
    tab.locator("[data-part=play]").nth(1).click()
    at = "report.players.map(player => player.view.at)"
    tab.until(f"(([a, b]) => a === b)({at})")
    tab.locator("input[value=movement]").first.check()
    assert tab.evaluate("report.players.map(player => player.view.clock)") == ["movement", "movement"]
