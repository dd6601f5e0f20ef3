"""Simulations by this code and by that of another commit, in turns: `python benchmarks/against.py COMMIT [--quick]`.

    python benchmarks/against.py f313fe0 [--turns 3] [--quick] [--json FILE]

The commit is unpacked into a folder of its own; both codes run in this environment, each in a process that stays. A
case runs once before the clock starts, which compiles, and then in turns; medians of CPU time on one thread, their
ratio, and how far both answers differ. --quick leaves out the million tokens that run to consensus.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.progress import track

ROOT = Path(__file__).parent.parent
CASES = {  # name -> (what is prepared, what is timed: an expression whose value is a number)
    "n = 200, d = 2, beta = 25, last merge": ("x = sphere.uniform(200, 2)", "last(25.0, x)"),
    "n = 200, d = 2, beta = 81, last merge": ("x = sphere.uniform(200, 2)", "last(81.0, x)"),
    "n = 100, d = 64, beta = 25, last merge": ("x = sphere.uniform(100, 64)", "last(25.0, x)"),
    "n = 20, d = 64, beta = 25, last merge": ("x = sphere.uniform(20, 64)", "last(25.0, x)"),
    "a drift, n = 1,000,000, d = 2, beta = 25": ("x = sphere.uniform(10**6, 2)", "speed(25.0, x)"),
    "a drift, n = 1,000,000, d = 3, beta = 25": ("x = sphere.uniform(10**6, 3)", "speed(25.0, x)"),
    "a drift, n = 50,000, d = 4, beta = 5": ("x = sphere.uniform(50_000, 4)", "speed(5.0, x)"),
    "n = 1,000,000, d = 2, beta = 25, last merge": ("x = sphere.uniform(10**6, 2)", "last(25.0, x)"),
}
WORKER = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from spinodal import flows, sphere
from spinodal.flows.fields import AttentionField
from spinodal.flows.time import CONSENSUS, simulate

def last(beta, x):
    return float(simulate(AttentionField(beta), x, CONSENSUS).merges.time[-1])

def speed(beta, x):
    return float(np.abs(flows.field(x, np.full(len(x), 1 / len(x)), beta=beta).drift).max())

for line in sys.stdin:
    prepare, expression = json.loads(line)
    exec(prepare)
    began = time.process_time()
    value = eval(expression)
    print(json.dumps([time.process_time() - began, value]), flush=True)
"""


class Worker:
    """A process that runs cases with the code of a folder."""

    def __init__(self, folder: Path):
        environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, case: tuple[str, str]) -> tuple[float, float]:
        """(CPU seconds, the answer)"""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"the code in {self.process.args} could not run {case}")
        seconds, value = json.loads(answer)
        return seconds, value


def unpack(commit: str, folder: Path) -> None:
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)


def measured(workers: list[Worker], name: str, turns: int) -> dict[str, Any]:
    case = CASES[name]
    values = [worker.run(case)[1] for worker in workers]
    seconds: list[list[float]] = [[], []]
    for _ in range(turns):
        for taken, worker in zip(seconds, workers, strict=True):
            taken.append(worker.run(case)[0])
    now, before = map(statistics.median, seconds)
    return {
        "case": name, "now_s": now, "before_s": before, "ratio": now / before, "difference": values[0] / values[1] - 1,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        unpack(asked.commit, Path(place))
        workers = [Worker(ROOT), Worker(Path(place))]
        names = list(CASES)[: -1 if asked.quick else None]
        rows = [measured(workers, name, asked.turns) for name in track(names, description="cases")]
        for worker in workers:
            worker.process.kill()
    print(f"| case | CPU s | at {asked.commit} | ratio | difference |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['case']} | {row['now_s']:.3g} | {row['before_s']:.3g} | {row['ratio']:.2f} "
            f"| {row['difference']:.0e} |"
        )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
