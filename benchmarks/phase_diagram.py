"""Phase diagrams, ours beside batched torch: `python benchmarks/phase_diagram.py [--json FILE] [--quick]`.

Goals: one layer of 2048 systems of 32 tokens in a quarter of the time of batched torch (4 CPU-ms where that takes
15); the whole of figure F2 (six dimensions, 1024 starts, 150 x 200) in 15 minutes on two cores; d = 1024 at the
cost of d = 32. The methods take turns in one process on one thread, and medians of CPU time are printed. The time of
F2 is measured on every `--every`-th of its rows, starts included, and multiplied.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads would be charged as work

import numpy as np
import torch

from spinodal.flows import law
from spinodal.flows.ensembles import Diagram, LayerClock, OdeClock, diagram_row, maps, uniform_systems
from spinodal.flows.ensembles.systems import pack_systems, unpack_systems

N, BETA, STEP, LAYERS = 32, 4.0, 0.1, 10


def ours(systems) -> None:
    LayerClock(STEP).run(systems, law("sa", BETA), np.array([STEP * LAYERS]), np.inf)


def batched(x: torch.Tensor) -> torch.Tensor:
    for _ in range(LAYERS):
        a = torch.softmax(BETA * (x @ x.mT), -1)
        x = torch.nn.functional.normalize(torch.baddbmm(x, a, x, alpha=STEP), dim=-1)
    return x


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def layers(samples: int) -> list[dict]:
    """CPU-ms of one layer of all systems: ours in min(n, d) coordinates, torch in those and in d."""
    rows = []
    for d in (2, 8, 32, 1024):
        c = uniform_systems(N, d, range(samples), 0)
        systems, x = pack_systems(c), torch.from_numpy(c)
        methods = {"ensembles": lambda s=systems: ours(s), "batched torch": lambda x=x: batched(x)}
        if d > N:
            wide = torch.nn.functional.normalize(
                torch.randn(samples // 16, N, d, dtype=torch.float64), dim=-1
            )
            methods["batched torch, all d"] = lambda x=wide: batched(x)
        error = abs(unpack_systems(once(c)) - batched(x).numpy()).max()
        seconds = {name: np.median([cpu(method) for _ in range(5)]) for name, method in methods.items()}
        for name, value in seconds.items():
            value *= 16 if name.endswith("all d") else 1
            rows.append({"d": d, "method": name, "cpu_ms": 1e3 * value / LAYERS, "error": float(error)})
    return rows


def once(c: np.ndarray):
    systems = pack_systems(c)
    ours(systems)
    return systems


def figure(samples: int, every: int) -> list[dict]:
    """CPU-s of the rows of F2, a dimension at a time, on both clocks."""
    betas, rows = np.linspace(0.1, 9, 200), []
    for clock in (("layer", STEP), ("ode", 1e-6)):
        times = tuple((LayerClock(STEP) if clock[0] == "layer" else OdeClock()).grid(30.0, 150).tolist())
        for d in (2, 8, 32, 128, 512, 1024):
            diagram = Diagram((d,), tuple(betas[every // 2 :: every].tolist()), times, clock, samples=samples)
            maps.cached_starts.cache_clear()
            drawn = cpu(
                lambda d=d: [
                    maps.cached_starts(N, d, c, 0) for c in maps.Ensemble(N, d, samples).chunks(min(N, d))
                ]
            )
            seconds = cpu(lambda diagram=diagram: [diagram_row(cell) for cell in diagram.cells()])
            whole = seconds * len(betas) / len(diagram.betas) * 1024 / samples
            rows.append(
                {"clock": clock[0], "d": d, "starts_cpu_s": drawn * 1024 / samples, "rows_cpu_s": whole}
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--every", type=int, default=20, help="measure every so many rows of F2")
    parser.add_argument("--quick", action="store_true", help="an eighth of the systems")
    options = parser.parse_args()
    torch.set_num_threads(1)
    share = 8 if options.quick else 1
    diagram_row(Diagram((8,), (1.0,), (0.2,), ("layer", STEP), samples=2).cells()[0])
    diagram_row(Diagram((8,), (1.0,), (0.2,), ("ode", 1e-6), samples=2).cells()[0])
    steps = layers(2048 // share)
    print(f"one layer of {2048 // share} systems of {N} tokens, float64, one thread")
    for line in steps:
        print(
            f"d = {line['d']:5} {line['method']:22} {line['cpu_ms']:8.2f} CPU-ms   difference {line['error']:.0e}"
        )
    whole = figure(1024 // share, options.every)
    print(f"\nF2: 150 x 200 maps of 1024 starts, from every {options.every}th row of 1024/{share} starts")
    for line in whole:
        print(
            f"{line['clock']:6} d = {line['d']:5}  starts {line['starts_cpu_s']:5.1f}  "
            f"rows {line['rows_cpu_s']:6.1f} CPU-s"
        )
    layered = [line for line in whole if line["clock"] == "layer"]
    minutes = sum(line["starts_cpu_s"] + line["rows_cpu_s"] / 2 for line in layered) / 60
    find = lambda name: next(line["cpu_ms"] for line in steps if (line["d"], line["method"]) == (32, name))
    cost = {line["d"]: line["rows_cpu_s"] for line in layered}
    goals = [
        ("a layer at d = 32 over batched torch's", find("ensembles") / find("batched torch"), 4 / 15),
        ("F2 on two cores, minutes", minutes, 15),
        ("rows of d = 1024 over rows of d = 32", cost[1024] / cost[32], 1.1),
    ]
    for what, value, goal in goals:
        print(f"goal: {what:42} {value:7.3g}  at most {goal:.3g}: {'met' if value <= goal else 'MISSED'}")
    if options.json:
        versions = {p: metadata.version(p) for p in ("numpy", "torch", "numba")}
        machine = {"cores": os.cpu_count(), "processor": platform.machine()}
        options.json.write_text(
            json.dumps({"layers": steps, "f2": whole, "versions": versions, "machine": machine}, indent=1)
        )


if __name__ == "__main__":
    main()
