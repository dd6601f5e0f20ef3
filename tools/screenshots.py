"""The pictures of docs/explorer.md, from a real Chromium (`make browser`): `python tools/screenshots.py [NAME ...]`."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import chromium

from spinodal import explorer, flows, meanfield, watch
from spinodal.explorer.page import PAGE
from spinodal.report.observation import observation_page

OUT = Path(__file__).parent.parent / "docs" / "explorer"
REACTION = "CC(=O)O.OCC>>CC(=O)OCC"
WHOLE = "!!(window.report || window.explorer?.run.current.whole)"


def map_page() -> str:
    """A density on the circle from a ripple to one point."""
    field, start = flows.AttentionField(beta=9.0), meanfield.WhiteNoise(sigma=0.01, seed=1)
    result = meanfield.evolve(meanfield.DensityExperiment(field, start, until="consensus"))
    return explorer.explorer_page(explorer.recording_of(result))


def report_page() -> str:
    source = watch.source_named("rxnmapper", text=REACTION)
    return observation_page(watch.observe(watch.Observation(source)))


# a picture: its page, its address or the share of the run that is shown, width, height, colours and scale
SHOTS: dict[str, tuple[Any, ...]] = {
    "circle": (None, "#n=200&d=2&beta=25&at=0.62", 1280, 900, "light", 1),
    "sphere": (None, "#n=128&d=3&beta=6&at=0.13&colour=cluster&epsilon=0.1", 1280, 900, "dark", 1),
    "phone": (None, "#n=32&d=2&beta=9&at=0.4", 360, 740, "light", 2),
    "map": (map_page, "#at=0.55&clock=log", 1280, 900, "light", 1),
    "report": (report_page, "", 1280, 1000, "light", 1),
}


def take(browser: Any, folder: Path, name: str) -> None:
    """The first window of a page, once its run is whole."""
    page_of, hash_, width, height, scheme, scale = SHOTS[name]
    place = PAGE
    if page_of:
        place = folder / f"{name}.html"
        place.write_text(page_of(), encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme, device_scale_factor=scale, reduced_motion="reduce",
    )  # fmt: skip
    page = context.new_page()
    page.goto(place.as_uri() + hash_)
    chromium.wait_until(page, WHOLE)
    page.evaluate("window.report?.players[0].seek(1)")
    time.sleep(0.5)
    OUT.mkdir(exist_ok=True)
    page.screenshot(path=OUT / f"{name}.png")
    context.close()


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, chromium.browser() as browser:
        for name in names or SHOTS:
            take(browser, Path(folder), name)


if __name__ == "__main__":
    main(sys.argv[1:])
