"""A real Chromium for tests, measurements and pictures: Debian's, through Playwright (`make browser` installs both)."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# as root, and without the browser's own traffic
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def missing_part() -> str | None:
    """What is not installed, None where all is."""
    if importlib.util.find_spec("playwright") is None:
        return "Playwright"
    return None if executable() else "Chromium"


def executable() -> str | None:
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Any]:
    """The browser, as Playwright has it, until the block ends; RuntimeError where it is not installed."""
    if missing := missing_part():
        raise RuntimeError(f"no {missing}: `make browser` installs it")
    with importlib.import_module("playwright.sync_api").sync_playwright() as engine:
        launched = engine.chromium.launch(executable_path=executable(), args=list(FLAGS))
        try:
            yield launched
        finally:
            launched.close()


def wait_until(page: Any, what: str, seconds: float = 30) -> None:
    """Asks an expression in the page until it is true: Playwright's own waiting needs eval, which the pages forbid.

    TimeoutError where it is never true.
    """
    asked = f"""(async () => {{
      for (const end = performance.now() + {1000 * seconds}; performance.now() < end; ) {{
        if ({what}) return true;
        await new Promise((done) => setTimeout(done, 10));
      }}
    }})()"""
    if not page.evaluate(asked):
        raise TimeoutError(f"never: {what}")
