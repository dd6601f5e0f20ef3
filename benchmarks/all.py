"""Every benchmark but two, one after another, and one table of their chief figures.

    python benchmarks/all.py [--quick] [--only flash drift] [--page docs/benchmarks.md]

Each runs in a process of its own on one thread. The table stands between the marks of the page, with the date and the
versions; it names the figures of the table that it takes the place of, and their change. --quick, which takes about ten
minutes on two cores, measures smaller cases and fewer turns: tables of the two kinds are not compared. Left out are
explorer.py, which needs a browser, and against.py, which needs another commit.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib import metadata
from math import log10
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import track

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- all.py: begin -->", "<!-- all.py: end -->"
VERSIONS = ("spinodal", "torch", "transformers", "numpy", "numba", "scipy", "chemicals", "ducc0")
Figures = Iterator[tuple[str, float]]


class Benchmark(NamedTuple):
    """Its options with --quick, and its chief figures from what --json writes."""

    quick: list[str]
    figures: Callable[[Any], Figures]


def flash(report: Any) -> Figures:
    for row in report["rows"]:
        if row["method"] in ("negative", "positive") and row["components"] == 32:
            name = (
                f"{row['method']} flash, P = {row['phases']}, N = 32: times as fast as chemicals with numba"
            )
            yield name, row["times chemicals, numba"]


def drift(report: Any) -> Figures:
    for row in report["rows"]:
        if row["method"] in ("circle engine", "sphere engine"):
            yield f"{row['method']}, n = {row['n']:,}: CPU ms a drift", 1e3 * row["cpu_s"]
        if row["method"] == "direct engine":
            yield f"direct engine, d = {row['d']}, n = {row['n']:,}: ns a pair", row["ns_a_pair"]


def harmonics(report: Any) -> Figures:
    for row in report:
        if row["d"] == 4:
            yield (
                f"harmonics engine, d = 4, beta = {row['beta']:g}: n from which every pair costs more",
                row["even"],
            )


def consensus(report: Any) -> Figures:
    for row in report["ours"]:
        yield (
            f"to the last merge, n = {row['n']:,}, d = {row['d']}, beta = {row['beta']:g}: CPU s",
            row["cpu"],
        )
    for row in report["peers"]:
        yield (
            f"scipy {row['method']}, n = 200, d = 2, beta = 25: log10 of the time reached",
            log10(row["reached"]),
        )


def circle(report: Any) -> Figures:
    for kind in ("equal", "uneven"):
        angles, vectors = (report["drift"][f"{form}, {kind} weights"] for form in ("angles", "unit vectors"))
        yield f"a drift of angles over one of unit vectors, {kind} weights", angles / vectors
    cpu = {row["form"]: row["cpu"] for row in report["consensus"]}
    yield "to consensus as angles over as unit vectors: CPU", cpu["angles"] / cpu["unit vectors"]


def whole_steps(report: Any) -> Figures:
    for row in report:
        yield (
            f"compiled steps over plain ones, n = {row['n']}, d = {row['d']}, beta = {row['beta']:g}",
            row["ratio"],
        )


def layers(report: Any) -> Figures:
    for row in report:
        yield f"a layer over its drift, n = {row['n']}, d = {row['d']}, {row['weights']}", row["ratio"]


def phase_diagram(report: Any) -> Figures:
    layers = {row["method"]: row["cpu_ms"] for row in report["layers"] if row["d"] == 32}
    yield (
        "a layer of small systems, d = 32, over batched torch",
        layers["ensembles"] / layers["batched torch"],
    )


def meanfield(report: Any) -> Figures:
    for row in report["through Diracs"]:
        if row["fails"] is None:
            yield f"density through Diracs, {row['method']}: CPU s", row["seconds"]


def blocks(report: Any) -> Figures:
    rows = [row for row in report["cost"] if row["device"] == "cpu"]
    cost = {(row["model"], row["length"]): row["us_per_token"] for row in rows}
    for (model, n), value in cost.items():
        if model == "retention + competition":
            yield f"PET's step over attention + SwiGLU, n = {n:,}", value / cost["attention + SwiGLU", n]


def scans(report: Any) -> Figures:
    for row in report["rows"]:
        if row["mixer"] != "attention":
            yield f"{row['mixer']}, training at 2,048 tokens: speed over fused attention", row["speed"]


def decoding(report: Any) -> Figures:
    for row in report["rows"]:
        if row["model"] not in ("Transformer", "Llama"):
            yield f"{row['model']}, a token after a long text: Transformer / this", row["transformer_over"]


def generation(report: Any) -> Figures:
    for row in report["rows"]:
        yield f"{row['model']}, a token through generate: us", row["generate"]


def graph_flow(report: Any) -> Figures:
    for row in report["dense"]:
        yield f"graph flow of {row['T']} steps, n = 2,048: calls of fused attention", row["calls"]


def parameterisations(report: Any) -> Figures:
    for row in report:
        yield f"{row['form']}, lr 0.01: nats after 150 steps", row["lr 0.01"]["loss"]


def observe(report: Any) -> Figures:
    yield "observing over the forward passes observed", report["rows"]["streaming"]["overhead"]


def shorten(report: Any) -> Figures:
    rows = {row["method"]: row for row in report["voice"]}
    for method in ("x4", "x8", "x16"):
        for what, key in (("encoder", "encoder"), ("transcription", "seconds")):
            yield f"Whisper base, {method}: full {what} over this", rows["full"][key] / rows[method][key]


BENCHMARKS = {
    "flash": Benchmark(["--quick"], flash),
    "drift": Benchmark(["--quick"], drift),
    "harmonics": Benchmark(["--n", "2048"], harmonics),
    "consensus": Benchmark(["--quick", "--budget", "5"], consensus),
    "circle": Benchmark(["--quick"], circle),
    "whole_steps": Benchmark(["--quick"], whole_steps),
    "layers": Benchmark(["--quick"], layers),
    "phase_diagram": Benchmark(["--quick", "--every", "100"], phase_diagram),
    "meanfield": Benchmark(["--quick"], meanfield),
    "blocks": Benchmark(["--quick"], blocks),
    "scans": Benchmark(["--turns", "1", "--mixers", "retention", "min-gru"], scans),
    "decoding": Benchmark(["--longest", "4096"], decoding),
    "generation": Benchmark(["--quick"], generation),
    "graph_flow": Benchmark(["--turns", "1", "--longest", "2048"], graph_flow),
    "parameterisations": Benchmark([], parameterisations),
    "observe": Benchmark(["--quick"], observe),
    "shorten": Benchmark(["--quick"], shorten),
}


def measured(name: str, *, quick: bool) -> tuple[dict[str, float], float]:
    """The chief figures of a benchmark, none where it fails, which is told; and the seconds that it took."""
    benchmark, began = BENCHMARKS[name], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [
            sys.executable,
            str(HERE / f"{name}.py"),
            *(benchmark.quick if quick else []),
            "--json",
            str(file),
        ]
        run = subprocess.run(
            command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
        )
        if run.returncode:
            print(
                f"{' '.join(command[1:3])} ended with {run.returncode}:\n{run.stderr[-2000:]}",
                file=sys.stderr,
            )
            return {}, time.monotonic() - began
        return dict(benchmark.figures(json.loads(file.read_text()))), time.monotonic() - began


def earlier(page: str, kind: str) -> dict[str, float]:
    """The figures of the table that stands in the page, where it is of this kind."""
    found = re.search(f"{BEGIN}\n(.*?){END}", page, re.DOTALL)
    if not found or f"({kind})" not in found[1]:
        return {}
    rows = re.findall(r"^\| (.+?) \| ([\d.e+-]+) \|", found[1], re.MULTILINE)
    return {name: float(value) for name, value in rows}


def table(figures: dict[str, float], before: dict[str, float], kind: str, seconds: float) -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    lines = [
        f"`python benchmarks/all.py{' --quick' if kind == 'quick' else ''}` ({kind}), {date.today()}, "
        f"{seconds / 60:.0f} minutes; {platform.machine()}, {os.cpu_count()} cores, one thread;",
        f"Python {platform.python_version()}, {versions}.",
        "",
        "| figure | measured | before | ratio |",
        "|---|---|---|---|",
    ]
    for name, value in figures.items():
        last = before.get(name)
        compared = f"{last:.4g} | {value / last:.2f}" if last else "- | -"
        lines.append(f"| {name} | {value:.4g} | {compared} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args()
    page, kind = asked.page.read_text(), "quick" if asked.quick else "whole"
    if not re.search(f"{BEGIN}.*{END}", page, re.DOTALL):
        sys.exit(f"{asked.page} lacks the lines {BEGIN} and {END}, between which the table stands")
    before = earlier(page, kind)
    figures, spent = before.copy() if len(asked.only) < len(BENCHMARKS) else {}, 0.0
    failed = []
    for name in track(asked.only, description="benchmarks"):
        found, seconds = measured(name, quick=asked.quick)
        failed += [] if found else [name]
        figures, spent = figures | found, spent + seconds
        for figure, value in found.items():
            print(f"{figure}: {value:.4g}", flush=True)
        print(f"{name} took {seconds:.0f} s", flush=True)
    text = table(figures, before, kind, spent)
    asked.page.write_text(
        re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL)
    )
    if failed:
        sys.exit(f"without figures: {', '.join(failed)}")


if __name__ == "__main__":
    main()
