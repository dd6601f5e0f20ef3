"""One drift of spread tokens in d = 4 to 8 dimensions, by harmonics and over every pair.

    python benchmarks/harmonics.py [--n 100000] [--json FILE]

Uniform tokens of equal weight, seed 1, SA. Both take turns in one process, three times, on one thread; medians of CPU
time. Pairs are timed with 4,096 tokens, and what is said of n is n^2 of a pair: "even" is the n at which both cost the
same. Errors are those of 100 tokens, relative to the largest drift. beta = 25 is left out where there are too many
harmonics.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from spinodal import flows, sphere
from spinodal.flows.engines import direct, harmonics
from spinodal.flows.engines.kernel import Kernel
from spinodal.flows.engines.law import from_shift

CASES = [
    (d, beta) for d in (4, 5, 6, 7, 8) for beta in (1.0, 5.0, 25.0) if len(harmonics.eigenvalues(beta, d))
]
TURNS, PAIRS = 3, 4096


def measured(d: int, beta: float, n: int) -> dict:
    x, law, weights = sphere.uniform(n, d, seed=1), flows.law("sa", beta), np.full(n, 1 / n)
    few = sphere.uniform(PAIRS, d, seed=1), np.full(PAIRS, 1 / PAIRS), law
    functions = harmonics.number_of_functions(len(harmonics.eigenvalues(beta, d)) - 1, d)
    ours, pair = [], []
    for _ in range(TURNS):
        began = time.process_time()
        found = from_shift(x, harmonics.average(Kernel(beta), x, weights), law)
        ours.append(time.process_time() - began)
        began = time.process_time()
        direct.drift(*few)
        pair.append((time.process_time() - began) / PAIRS**2)
    exact = direct.drift_at(x[:100], x, weights, law)
    error = np.abs(found.drift[:100] - exact.drift).max() / np.abs(found.drift).max()
    seconds, pairs = statistics.median(ours), statistics.median(pair)
    return {
        "d": d, "beta": beta, "functions": functions, "n": n, "cpu_s": seconds, "pairs_cpu_s": pairs * n**2,
        "even": seconds / n / pairs, "error": float(error),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    print("| d | beta | harmonics | CPU s | every pair, CPU s | even at n | error |")
    print("|---|---|---|---|---|---|---|")
    for d, beta in CASES:
        row = measured(d, beta, asked.n)
        rows.append(row)
        print(
            f"| {d} | {beta:g} | {row['functions']:,} | {row['cpu_s']:.3g} | {row['pairs_cpu_s']:.3g} "
            f"| {row['even']:,.0f} | {row['error']:.0e} |",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
