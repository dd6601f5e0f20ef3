"""The pictures of docs/explorer.md, from a real Chromium (`make browser`): `python tools/screenshots.py [FOLDER]`.

With the folder of an observation, as `spinodal observe rxnmapper --text "CC(=O)O.OCC>>CC(=O)OCC" --out runs/albert`
writes it, its report is taken too.
"""

import importlib
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from spinodal.explorer.page import PAGE

OUT = Path(__file__).parent.parent / "docs" / "explorer"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
SHOTS: dict[str, tuple[Any, ...]] = {
    "circle": ("#n=200&d=2&beta=25&at=0.62", 1280, 900, "light", 1),
    "sphere": ("#n=128&d=3&beta=6&at=0.13&colour=cluster&epsilon=0.1", 1280, 900, "dark", 1),
    "phone": ("#n=32&d=2&beta=9&at=0.4", 360, 740, "light", 2),
}


def taken(browser: Any, name: str, address: str, width: int, height: int, scheme: str, scale: int) -> None:
    """The first window of a page, once its run is whole."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme, device_scale_factor=scale, reduced_motion="reduce",
    )  # fmt: skip
    page = context.new_page()
    page.goto(address)
    while not page.evaluate("!window.explorer || !!explorer.run.current.whole"):
        time.sleep(0.05)
    page.evaluate("window.report?.players[0].seek(1)")
    time.sleep(0.5)
    OUT.mkdir(exist_ok=True)
    page.screenshot(path=OUT / f"{name}.png")
    context.close()


def main(folder: Path | None) -> None:
    playwright = importlib.import_module("playwright.sync_api")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, (hash_, *how) in SHOTS.items():
            taken(browser, name, PAGE.as_uri() + hash_, *how)
        if folder:
            taken(browser, "report", (folder / "report.html").resolve().as_uri(), 1280, 1000, "light", 1)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
