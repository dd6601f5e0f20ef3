"""One Chromium with one page for all tests marked `browser` (`make browser` installs it)."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tab import ADDRESS, Tab, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser. Without one the test is skipped, and fails where SPINODAL_BROWSER says that it must run."""
    if missing := chromium.missing_part():
        skip_or_fail = pytest.fail if os.environ.get("SPINODAL_BROWSER") else pytest.skip
        skip_or_fail(f"no {missing}: `make browser` installs it")
    with chromium.browser() as found:
        yield found


@pytest.fixture(scope="session")
def shared_tab(browser: Any) -> Tab:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    return Tab(context.new_page())


@pytest.fixture
def opened(shared_tab: Tab) -> Iterator[Callable[..., Tab]]:
    """Opens a page, that of the explorer if no other is named, and waits for its run; no fault may be left."""

    def open_page(
        hash_: str = "", *, page: str = ADDRESS, whole: bool = True, fresh: bool = False, **look: Any
    ) -> Tab:
        shared_tab.show(**look)
        shared_tab.open(hash_, page, whole=whole, fresh=fresh)
        return shared_tab

    yield open_page
    faults = shared_tab.faults.copy()
    shared_tab.faults.clear()
    assert faults == []
