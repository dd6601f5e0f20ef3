"""Many tokens on the circle as angles and as unit vectors: `python benchmarks/circle.py [--json FILE] [--quick]`.

One drift of a million uniform tokens at beta = 25, with equal and with uneven weights, by the circle engine and by its
form for sorted angles, which take turns eleven times; and a million tokens to consensus, each form `--rounds` times in
turns, in a process of its own whose peak memory is read. CPU time, medians; seed 0. Goals: a drift of angles costs at
most .45 of one of unit vectors, consensus at most .33, in 0.9 GB. --quick takes a hundredth of the tokens.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

import numpy as np

from spinodal import sphere
from spinodal.flows.engines import circle
from spinodal.flows.engines.angles import drift_along, unit_masses
from spinodal.flows.engines.law import law
from spinodal.flows.fields import AttentionField
from spinodal.flows.time import CONSENSUS, integrators, simulate

BETA = 25.0
FORMS = ("unit vectors", "angles")


def drifts(n: int) -> dict[str, Callable[[], object]]:
    """One drift by each form, with equal and with uneven weights."""
    x = sphere.uniform(n, 2)
    x = np.ascontiguousarray(x[np.argsort(np.arctan2(x[:, 1], x[:, 0]))])
    theta, rate, sa = np.arctan2(x[:, 1], x[:, 0]), np.empty(n), law("sa", BETA)
    stages = (np.empty((7, n)), np.arange(7)), np.empty(0)
    uneven = np.random.default_rng(0).uniform(0.1, 2, n)
    weights = {"equal": np.full(n, 1 / n), "uneven": uneven / uneven.sum()}

    def both(name: str, w: np.ndarray) -> dict[str, Callable[[], object]]:
        masses = unit_masses(w)
        return {
            f"unit vectors, {name} weights": lambda: circle.drift(x, w, sa),
            f"angles, {name} weights": lambda: drift_along(theta, stages, masses, sa, 1.0, (theta, rate)),
        }

    return both("equal", weights["equal"]) | both("uneven", weights["uneven"])


def medians(methods: dict[str, Callable[[], object]], rounds: int = 11) -> dict[str, float]:
    """CPU seconds of each, medians over rounds in which each runs twice and the second counts."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            method()
            began = time.process_time()
            method()
            times[name].append(time.process_time() - began)
    return {name: float(np.median(values)) for name, values in times.items()}


def reach_consensus(n: int, form: str, said: "multiprocessing.Queue[dict]") -> None:
    """CPU and wall seconds to one token, peak memory and what was found, after a small run that compiles."""
    with patch.object(
        integrators, "angular_pull", integrators.angular_pull if form == "angles" else lambda *_: None
    ):
        simulate(AttentionField(BETA), sphere.uniform(5000, 2), CONSENSUS)
        start = sphere.uniform(n, 2)
        cpu, wall = time.process_time(), time.perf_counter()
        run = simulate(AttentionField(BETA), start, CONSENSUS)
        said.put({
            "form": form, "n": n, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "evaluations": run.evaluations, "steps": run.steps, "last": float(run.merges.time[-1]),
        })  # fmt: skip


def in_its_own_process(n: int, form: str) -> dict:
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    process = context.Process(target=reach_consensus, args=(n, form, said))
    process.start()
    row = said.get()
    process.join()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    n = 10_000 if options.quick else 1_000_000
    versions = {name: metadata.version(name) for name in ("numpy", "numba", "scipy")}
    print(f"{time.strftime('%Y-%m-%d')}, seed 0, {versions}")
    one = medians(drifts(n))
    for name, seconds in one.items():
        print(f"a drift of {n} tokens, {name:30} {1e3 * seconds:8.2f} CPU ms")
    rows = [in_its_own_process(n, form) for _ in range(options.rounds) for form in FORMS]
    for row in rows:
        print(
            "{form:12} to consensus: {cpu:6.1f} CPU s, {wall:6.1f} s, {evaluations} evaluations, {steps} steps, last "
            "merge {last:.10g}".format(**row)
            + f", {row['memory'] / 1e9:.3f} GB"
        )
    cpu = {form: float(np.median([row["cpu"] for row in rows if row["form"] == form])) for form in FORMS}
    memory = max(row["memory"] for row in rows if row["form"] == "angles")
    ratios = [
        (
            f"drift, {kind} weights",
            one[f"angles, {kind} weights"] / one[f"unit vectors, {kind} weights"],
            0.45,
        )
        for kind in ("equal", "uneven")
    ]
    ratios += [
        ("consensus, CPU", cpu["angles"] / cpu["unit vectors"], 0.33),
        ("memory, GB", memory / 1e9, 0.9),
    ]
    for what, value, goal in ratios:
        print(f"goal: {what:24} {value:6.3f}  at most {goal:g}: {'met' if value <= goal else 'MISSED'}")
    if options.json:
        options.json.write_text(json.dumps({"drift": one, "consensus": rows, "versions": versions}, indent=1))


if __name__ == "__main__":
    main()
