"""A page of a real Chromium, as tests ask it: `tools/chromium.py` launches it."""

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from spinodal.explorer.page import PAGE

sys.path.append(str(Path(__file__).parent.parent.parent / "tools"))
import chromium

ADDRESS = PAGE.as_uri()
MERGES = "explorer.run.current.merges"
WHOLE = "!!(window.explorer && explorer.run.current?.whole)"  # a run that has come to its end
AGAIN = """(hash) => new Promise((done) => {
  explorer.player.setPlaying(false);
  history.replaceState(null, "", "#another");
  addEventListener("hashchange", () => done(), { once: true });
  location.hash = hash;
})"""


class Tab:
    """A page; it remembers what it asked for and what went wrong."""

    def __init__(self, page: Any):
        self.page, self.faults, self.asked, self.look = page, list[str](), list[str](), ()
        self.visits = itertools.count()
        page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def show(self, width: int = 1280, height: int = 800, scheme: str = "light", motion: str = "reduce"):
        """The window's size, and what its user prefers."""
        if self.look != (look := (width, height, scheme, motion)):
            self.look = look
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.emulate_media(color_scheme=scheme, reduced_motion=motion)

    def open(self, hash_: str, page: str, *, whole: bool, fresh: bool) -> None:
        """A page at a hash; that of the explorer takes the hash without loading again, unless `fresh`."""
        if page == ADDRESS and self.page.url.startswith(ADDRESS) and not fresh:
            self.page.evaluate(AGAIN, hash_)
        else:
            self.asked.clear()
            self.page.goto(f"{page}?{next(self.visits)}{hash_}")  # a hash alone would not load it again
        if whole:
            self.until(WHOLE)

    def until(self, what: str, seconds: float = 30) -> None:
        chromium.wait_until(self.page, what, seconds)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)


def assert_same_merges(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """The same pairs of tokens, at the same times within 1e-9."""
    assert [merge["tokens"] for merge in mine] == [merge["tokens"] for merge in theirs]
    times = [merge["time"] for merge in theirs]
    assert [merge["time"] for merge in mine] == pytest.approx(times, rel=1e-9)
