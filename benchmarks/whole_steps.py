"""To the last merge by compiled steps and by plain ones: `python benchmarks/whole_steps.py [--json FILE] [--quick]`.

Both take the steps of Dormand and Prince's method with the same control; compiled ones, of up to 512 tokens, go back to
Python where tokens may merge. They take turns in one process, five times, three where a run takes seconds; medians of
CPU time. Goals: n = 200, d = 2 at most .22 of plain steps, n = 100, d = 64 at most .28. --quick leaves out the latter.
"""

import argparse
import json
import os
import time
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from spinodal import sphere
from spinodal.flows.fields import AttentionField
from spinodal.flows.time import CONSENSUS, SimulationResult, integrators, simulate

CASES = [(5, 2, 4.0), (200, 2, 25.0), (200, 2, 81.0), (200, 3, 9.0), (20, 64, 25.0), (100, 64, 25.0)]
GOALS = {(200, 2, 25.0): 0.22, (200, 2, 81.0): 0.22, (100, 64, 25.0): 0.28}


def timed(n: int, d: int, beta: float) -> tuple[float, SimulationResult]:
    """CPU seconds from a uniform start to consensus, and the run."""
    start, began = sphere.uniform(n, d), time.process_time()
    run = simulate(AttentionField(beta), start, CONSENSUS)
    return time.process_time() - began, run


def plainly_timed(n: int, d: int, beta: float) -> tuple[float, SimulationResult]:
    with patch.object(integrators, "compiled_pull", lambda *_: None):
        return timed(n, d, beta)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for d in (2, 3, 20):
        simulate(AttentionField(1.0), sphere.uniform(30, d), 1.0)  # compiles
    rows = []
    print(
        "  n  d beta  compiled s  plain s  ratio  evaluations    last merge  largest difference of merge times"
    )
    for n, d, beta in CASES[: -1 if options.quick else None]:
        times = []
        for _ in range(3 if n * d > 1000 else 5):
            (fast, run), (slow, plain) = timed(n, d, beta), plainly_timed(n, d, beta)
            times.append((fast, slow))
        fast, slow = np.median(times, 0)
        difference = float(np.max(np.abs(run.merges.time / plain.merges.time - 1)))
        rows.append({
            "n": n, "d": d, "beta": beta, "compiled": fast, "plain": slow, "ratio": fast / slow,
            "evaluations": run.evaluations, "last": float(run.merges.time[-1]), "difference": difference,
        })  # fmt: skip
        goal = GOALS.get((n, d, beta))
        judged = "" if goal is None else f"  goal {goal:g}: {'met' if fast / slow <= goal else 'MISSED'}"
        print(
            f"{n:3} {d:2} {beta:4g} {fast:11.4f} {slow:8.3f} {fast / slow:6.3f} {run.evaluations:12}"
            f" {rows[-1]['last']:13.7g} {difference:10.1e}{judged}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
