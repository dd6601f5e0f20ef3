"""One drift of self-attention, ours beside its peers: `python benchmarks/drift.py [--json FILE] [--quick] [--sphere]`.

Goals: circle at a million tokens in 10 CPU-ms and S^2 in 0.2 CPU-s, both to 1e-12 of the largest drift; the
direct engine at 0.6 ns a pair. Methods take turns in one process, five times; medians are printed. Methods
that visit every pair run with fewer tokens, and what is then said of a million is an extrapolation by n^2.
KeOps and finufft are measured where installed. Errors are against the difference form, on 100 tokens.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads would be charged as work

import numpy as np
import torch
from devices import devices

from spinodal import flows, sphere
from spinodal.flows import ENGINES
from spinodal.flows.engines import circle, direct
from spinodal.flows.engines import sphere as harmonics
from spinodal.flows.engines.law import law

BETA = 25.0


def projected(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return mean - (mean * x).sum(1, keepdims=True) * x


def fused(x: np.ndarray) -> np.ndarray:
    tokens = torch.from_numpy(x)[None, None]
    mean = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens, scale=BETA)
    return projected(x, mean[0, 0].numpy())


def on_gpu(x: np.ndarray) -> np.ndarray:
    tokens, weights = (torch.from_numpy(array).cuda() for array in (x, equal(len(x))))
    return flows.field(tokens, weights, beta=BETA, engine="direct").drift.cpu().numpy()


def dense_numpy(x: np.ndarray) -> np.ndarray:
    e = np.exp(BETA * (x @ x.T - 1))
    return projected(x, e @ x / e.sum(1, keepdims=True))


def dense_torch(x: np.ndarray) -> np.ndarray:
    tokens = torch.from_numpy(x)
    return projected(x, (torch.softmax(BETA * tokens @ tokens.T, 1) @ tokens).numpy())


def keops() -> Callable[[np.ndarray], np.ndarray]:
    from pykeops.torch import LazyTensor  # pyright: ignore[reportMissingImports]

    def drift(x: np.ndarray) -> np.ndarray:
        tokens = torch.from_numpy(x)
        i, j = LazyTensor(tokens[:, None]), LazyTensor(tokens[None])
        mean = (BETA * (i | j)).sumsoftmaxweight(j, dim=1)
        return projected(x, mean.numpy())

    return drift


def nonuniform() -> Callable[[np.ndarray], np.ndarray]:
    """finufft on the circle: one transform of each type, Z and num packed as one complex function."""
    import finufft  # pyright: ignore[reportMissingImports]

    plan = circle.plan(BETA)
    k = np.arange(1, len(plan.Y) + 1)

    def drift(x: np.ndarray) -> np.ndarray:
        n, K = len(x), len(k)
        angle, threads = np.arctan2(x[:, 1], x[:, 0]), torch.get_num_threads()
        m = finufft.nufft1d1(
            angle, np.full(n, 1 / n, complex), 2 * K + 1, eps=1e-13, isign=-1, nthreads=threads
        )[K:]
        Z = np.concatenate([[plan.J0 * m[0]], BETA * plan.Y / 2 * m[1:]])
        num = np.concatenate([[0], 1j * k * plan.Y / 2 * m[1:]])
        both = np.concatenate([(Z.conj() + 1j * num.conj())[:0:-1], Z + 1j * num])
        f = finufft.nufft1d2(angle, both, eps=1e-13, isign=1, nthreads=threads)
        return (f.imag / f.real)[:, None] * np.stack([-x[:, 1], x[:, 0]], 1)

    return drift


def installed(
    build: Callable[[], Callable[[np.ndarray], np.ndarray]],
) -> Callable[[np.ndarray], np.ndarray] | None:
    try:
        return build()
    except ImportError:
        return None


def measured(
    methods: dict[str, tuple[Callable, np.ndarray]], rounds: int = 5
) -> dict[str, tuple[float, float]]:
    """(CPU seconds, wall seconds) of each, medians over rounds in which each runs thrice and the last counts.

    It finds the memory as a solver leaves it, which holds the results of earlier calls.
    """
    times: dict[str, list] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, (method, x) in methods.items():
            stages = [method(x), method(x)]
            cpu, wall = time.process_time(), time.perf_counter()
            stages.append(method(x))
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(np.median(t, 0)) for name, t in times.items()}


def error(method: Callable, x: np.ndarray) -> float:
    """Largest error over 100 tokens, relative to the largest drift."""
    rows = np.linspace(0, len(x) - 1, 100).astype(int)
    exact = direct.drift_at(x[rows], x, equal(len(x)), law("sa", BETA)).drift
    drift = method(x)
    return float(np.abs(drift[rows] - exact).max() / np.abs(drift).max())


@cache
def equal(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def engine(run: Callable) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: run(x, equal(len(x)), law("sa", BETA)).drift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the tokens")
    parser.add_argument("--sphere", action="store_true", help="on S^2, of the two ways of its engine alone")
    options = parser.parse_args()
    if options.sphere:
        if options.json or options.quick:
            parser.error("--sphere prints its own table: it takes neither --json nor --quick")
        compare_on_sphere()
        return
    many, few, dense = (10_000, 1000, 500) if options.quick else (1_000_000, 8192, 2048)

    public = lambda x: flows.field(x, equal(len(x)), beta=BETA).drift
    rows = []
    for d in (2, 3, 64):
        ours = {"circle": circle.drift, "direct": direct.drift} if d == 2 else {}
        ours |= {"sphere": harmonics.drift, "direct": direct.drift} if d == 3 else {}
        methods = {
            f"{name} engine": (engine(run), many if name != "direct" else few) for name, run in ours.items()
        }
        if d < 4:
            methods["flows.field"] = (public, many)
        else:
            methods |= {f"{name} engine": (engine(ENGINES[name]), few) for name in ("direct", "attention")}
        if "cuda" in devices():
            methods["direct engine, GPU"] = (on_gpu, few)
        methods["fused attention (torch)"] = (fused, few)
        methods["softmax matrix (torch)"] = (dense_torch, dense)
        methods["softmax matrix (NumPy)"] = (dense_numpy, dense)
        for name, peer in (
            ("KeOps", installed(keops)),
            ("finufft", installed(nonuniform) if d == 2 else None),
        ):
            if peer:
                methods[name] = (peer, many if name == "finufft" else few)
        tokens = {name: (run, sphere.uniform(n, d, seed=1)) for name, (run, n) in methods.items()}
        for name, (cpu, wall) in measured(tokens).items():
            run, x = tokens[name]
            linear = methods[name][1] == many
            rows.append({
                "d": d, "method": name, "n": len(x), "cpu_s": cpu, "wall_s": wall,
                "ns_a_pair": None if linear else cpu / len(x) ** 2 * 1e9,
                "cpu_s_at_many": cpu if linear else cpu * (many / len(x)) ** 2,
                "error": error(run, x),
            })  # fmt: skip
    report(rows, many)
    if options.json:
        versions = {p: metadata.version(p) for p in ("numpy", "torch", "numba", "ducc0")}
        machine = {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
        }
        options.json.write_text(
            json.dumps({"rows": rows, "versions": versions, "machine": machine}, indent=1)
        )


def compare_on_sphere() -> None:
    """By cells, and by transforms of ducc0 at the tokens; errors and bounds are relative to the largest drift."""
    torch.set_num_threads(1)
    print("one SA drift on S^2, uniform tokens, seed 1, one thread, median of eleven\n")
    print(
        "| beta | n | cells: CPU ms | ducc0: CPU ms | ratio | cells: error (bound) | ducc0: error (bound) |"
    )
    print("|---|---|---|---|---|---|---|")
    for beta, n in ((1.0, 10_000), (5.0, 100_000), (25.0, 100_000), (25.0, 1_000_000), (81.0, 1_000_000)):
        x, rows = sphere.uniform(n, 3, seed=1), np.linspace(0, n - 1, 20).astype(int)
        ways = {name: on_sphere(way, beta) for name, way in WAYS.items()}
        times = measured({name: (run, x) for name, run in ways.items()}, rounds=11)
        exact = direct.drift_at(x[rows], x, equal(n), law("sa", beta)).drift
        cells, ducc0 = (1e3 * times[name][0] for name in WAYS)
        errors = []
        for way in WAYS.values():
            drift, _, bound = way(x, equal(n), law("sa", beta))
            size = np.abs(drift).max()
            errors.append(f"{np.abs(drift[rows] - exact).max() / size:.0e} ({bound.max() / size:.0e})")
        print(
            f"| {beta:g} | {n:,} | {cells:.1f} | {ducc0:.1f} | {cells / ducc0:.2f} | {' | '.join(errors)} |"
        )


WAYS = {"cells": harmonics.by_cells, "ducc0": harmonics.by_harmonics}


def on_sphere(way: Callable, beta: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: way(x, equal(len(x)), law("sa", beta)).drift


def report(rows: list[dict], many: int) -> None:
    print(f"one SA drift, beta = {BETA:g}, uniform tokens, {torch.get_num_threads()} threads, median of five")
    header = ("d", "method", "n", "CPU ms", "wall ms", "ns/pair", "error", f"CPU s at n = {many}")
    print("{:>2} {:26} {:>8} {:>10} {:>10} {:>8} {:>8}  {}".format(*header))
    for row in rows:
        pair = f"{row['ns_a_pair']:8.2f}" if row["ns_a_pair"] else " " * 8
        times = f"{1e3 * row['cpu_s']:10.2f} {1e3 * row['wall_s']:10.2f}"
        at_many = f"{row['cpu_s_at_many']:.3g}{' (extrapolated)' if row['ns_a_pair'] else ''}"
        print(f"{row['d']:2} {row['method']:26} {row['n']:8} {times} {pair} {row['error']:8.0e}  {at_many}")
    find = lambda d, name: next(row for row in rows if (row["d"], row["method"]) == (d, name))
    goals = [
        ("circle engine, CPU ms", 1e3 * find(2, "circle engine")["cpu_s"], 10),
        ("circle engine, error", find(2, "circle engine")["error"], 1e-12),
        ("sphere engine, CPU s", find(3, "sphere engine")["cpu_s"], 0.2),
        ("sphere engine, error", find(3, "sphere engine")["error"], 1e-12),
        ("direct engine d = 2, ns a pair", find(2, "direct engine")["ns_a_pair"], 0.6),
        ("direct engine d = 3, ns a pair", find(3, "direct engine")["ns_a_pair"], 0.6),
    ]
    for what, value, goal in goals:
        print(f"goal: {what:32} {value:9.3g}  at most {goal:g}: {'met' if value <= goal else 'MISSED'}")
    for d, name in ((2, "circle engine"), (3, "sphere engine")):
        for row in rows:
            if row["d"] == d and "engine" not in row["method"] and "flows" not in row["method"]:
                ratio = row["cpu_s_at_many"] / find(d, name)["cpu_s"]
                print(f"{name} against {row['method']:26} {ratio:12.3g} x less CPU time")


if __name__ == "__main__":
    main()
