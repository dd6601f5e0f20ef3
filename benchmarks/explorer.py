"""The explorer in Chromium: integration, the first frame and frames a second: `python benchmarks/explorer.py`.

    python benchmarks/explorer.py [--n 512] [--json FILE]

`make browser` installs what it asks for. To consensus from uniform starts, seed 0; s are the worker's
seconds, by the clock, measures of every frame included; drawing is in software, in a window of 1280 x 800.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from rich.progress import track

from spinodal.explorer.page import PAGE

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import chromium

CASES = [(d, beta) for d in (2, 3) for beta in (1, 9, 25)]
SECONDS = 3.0  # of playing
FRAMES = """(seconds) => new Promise((done) => {
  const times = [];
  const tick = (now) => {
    times.push(now);
    if (now - times[0] < 1000 * seconds) requestAnimationFrame(tick);
    else done((times.length - 1) / ((now - times[0]) / 1000));
  };
  explorer.player.seek(0);
  explorer.player.setPlaying(true);
  explorer.player.times.stage.length = explorer.player.times.plots.length = 0;
  requestAnimationFrame(tick);
})"""


def measured(page: Any, n: int, d: int, beta: float) -> dict[str, float]:
    page.goto("about:blank")
    page.goto(f"{PAGE.as_uri()}#n={n}&d={d}&beta={beta}&speed=-2&at=0")
    chromium.wait_until(page, "!!window.explorer?.run.current.whole", 120)
    run = page.evaluate("(({ spent, steps, frames }) => [spent, steps, frames.length])(explorer.run.current)")
    rate = page.evaluate(FRAMES, SECONDS)
    drawn = page.evaluate("explorer.player.times")
    # the slider, three times, and what passes until the first frame is there
    first = []
    for place in (0.3, 0.6, 0.35):
        page.evaluate(
            f"(e => {{ e.value = {place}; e.oninput({{ target: e }}); }})(document.getElementById('front'))"
        )
        chromium.wait_until(page, "explorer.run.current.first > 0")
        first.append(page.evaluate("explorer.run.current.first"))
    return {
        "d": d, "beta": beta, "seconds": run[0] / 1000, "steps": run[1], "frames": run[2],
        "first_frame_ms": statistics.median(first), "frames_a_second": rate,
        "stage_ms": statistics.median(drawn["stage"]), "plots_ms": statistics.mean(drawn["plots"]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with chromium.browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        rows = [measured(page, asked.n, d, beta) for d, beta in track(CASES, description="cases")]
    print(f"n = {asked.n}, {page_size():.1f} kB\n")
    print("| d | beta | s | steps | frames | first frame, ms | frames a second | stage, ms | plots, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['d']} | {row['beta']:g} | {row['seconds']:.2f} | {row['steps']} | {row['frames']} "
            f"| {row['first_frame_ms']:.0f} | {row['frames_a_second']:.0f} | {row['stage_ms']:.2f} "
            f"| {row['plots_ms']:.2f} |"
        )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


def page_size() -> float:
    return PAGE.stat().st_size / 1000


if __name__ == "__main__":
    main()
