"""A real Chromium for the tests marked `browser`: Debian's, through Playwright (`make browser` installs both)."""

import importlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spinodal.explorer.page import PAGE

# as root, and without the browser's own traffic
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WHOLE = "!!(window.explorer && explorer.run.current?.whole)"  # a run that has come to its end


def chromium_path() -> str | None:
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser. Without one the test is skipped, and fails where SPINODAL_BROWSER says that it must run."""
    try:
        playwright, path = importlib.import_module("playwright.sync_api"), chromium_path()
    except ImportError:
        playwright = path = None
    if playwright is None or path is None:
        missing = "no Playwright" if playwright is None else "no Chromium"
        (pytest.fail if os.environ.get("SPINODAL_BROWSER") else pytest.skip)(
            f"{missing}: `make browser` installs it"
        )
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Tab:
    """A page in a context of its own; it remembers what it asked for and what went wrong."""

    def __init__(self, page: Any):
        self.page, self.faults, self.asked = page, list[str](), list[str]()
        page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def until(self, what: str, seconds: float = 30) -> None:
        """Polls an expression: Playwright's own waiting needs eval, which the page forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(what):
            assert time.monotonic() < end, f"never: {what}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Tab]]:
    """Opens a page, that of the explorer if no other is named, and waits for its run; no fault may be left."""
    tabs = []

    def open_page(hash_: str = "", *, page: str = PAGE.as_uri(), whole: bool = True, **options: Any) -> Tab:
        size = {"width": options.pop("width", 1280), "height": options.pop("height", 800)}
        context = chromium.new_context(viewport=size, **{"reduced_motion": "reduce"} | options)
        tab = Tab(context.new_page())
        tabs.append((context, tab))
        tab.goto(page + hash_)
        if whole:
            tab.until(WHOLE)
        return tab

    yield open_page
    faults = [fault for _, tab in tabs for fault in tab.faults]
    for context, _ in tabs:
        context.close()
    assert faults == []
