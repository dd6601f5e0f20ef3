"""From a start to one token: `python benchmarks/consensus.py [--json FILE] [--quick]`.

Goals: n = 200, d = 2, beta = 25 to its last merge, to seven digits, in a second; a million tokens, d = 2, beta = 25,
uniform start, to consensus in 60 s of wall time and 1 GB. The digits are those that agree with a tolerance of 1e-12.
Peers: scipy's Radau, LSODA and BDF on the same field at the same tolerance, stopped after --budget seconds each: they
have no merging, and the table says how far they came. --quick leaves out the million and d = 64.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from scipy.integrate import BDF, LSODA, Radau

from spinodal import sphere
from spinodal.flows.fields import AttentionField
from spinodal.flows.state import State
from spinodal.flows.time import CONSENSUS, Adaptive, SimulationResult, simulate


def flowed(n: int, d: int, beta: float, tolerance: float = 1e-8) -> tuple[SimulationResult, float, float]:
    """A run from a uniform start to consensus, its wall and CPU seconds."""
    start = sphere.uniform(n, d)
    wall, cpu = time.perf_counter(), time.process_time()
    run = simulate(AttentionField(beta), start, CONSENSUS, method=Adaptive(tolerance))
    return run, time.perf_counter() - wall, time.process_time() - cpu


def digits(n: int, d: int, beta: float, last: float) -> float:
    exact = float(flowed(n, d, beta, 1e-12)[0].merges.time[-1])
    return -np.log10(max(abs(last / exact - 1), 1e-16))


def peer(method: type, n: int, beta: float, until: float, budget: float) -> dict:
    """How far a stiff solver of scipy comes in the angles of the circle, and how long it took."""
    field, weights, lengths = AttentionField(beta), np.full(n, 1 / n), np.ones(n)
    start = sphere.uniform(n, 2)

    def rate(t: float, angle: np.ndarray) -> np.ndarray:
        x = np.stack([np.cos(angle), np.sin(angle)], 1)
        drift = field(t, State(x, lengths), weights).drift
        return x[:, 0] * drift[:, 1] - x[:, 1] * drift[:, 0]

    solver = method(rate, 0.0, np.arctan2(start[:, 1], start[:, 0]), until, rtol=1e-8, atol=1e-8)
    began = time.perf_counter()
    while solver.status == "running" and time.perf_counter() - began < budget:
        solver.step()
    angles = np.sort(np.mod(solver.y, 2 * np.pi))
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    return {
        "method": method.__name__, "n": n, "beta": beta, "reached": float(solver.t), "status": solver.status,
        "seconds": time.perf_counter() - began, "clusters": max(1, int((gaps > 1e-6).sum())),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--budget", type=float, default=30.0)
    options = parser.parse_args()
    simulate(AttentionField(25.0), sphere.uniform(2000, 2), 0.5)  # compiles
    simulate(AttentionField(25.0), sphere.uniform(20, 64), 0.5)
    rows, peers = [], []
    cases = [(200, 2, 25.0), (200, 2, 81.0), (5, 2, 4.0), (100, 64, 25.0), (1_000_000, 2, 25.0)]
    print(
        f"{'n':>8} {'d':>3} {'beta':>5} {'wall s':>7} {'CPU s':>7} {'evaluations':>11} {'last merge':>14} digits  GB"
    )
    for n, d, beta in cases[: 3 if options.quick else None]:
        run, wall, cpu = flowed(n, d, beta)
        last = float(run.merges.time[-1])
        agreeing = digits(n, d, beta, last) if n * d < 1000 else None
        row = {
            "n": n, "d": d, "beta": beta, "wall": wall, "cpu": cpu, "evaluations": run.evaluations, "last": last,
            "digits": agreeing, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "error_bound": run.error_bound,
        }  # fmt: skip
        rows.append(row)
        said = "     -" if agreeing is None else f"{agreeing:6.1f}"
        print(
            f"{n:8} {d:3} {beta:5g} {wall:7.2f} {cpu:7.2f} {run.evaluations:11} {last:14.7g} {said} "
            f"{row['memory'] / 1e9:.2f}",
            flush=True,
        )
    for method in (Radau, LSODA, BDF):
        peers.append(peer(method, 200, 25.0, rows[0]["last"], options.budget))
        print(
            "scipy {method}: t = {reached:.3g} after {seconds:.1f} s, {clusters} clusters, {status}".format(
                **peers[-1]
            )
        )
    if options.json:
        options.json.write_text(json.dumps({"ours": rows, "peers": peers}, indent=1))


if __name__ == "__main__":
    main()
