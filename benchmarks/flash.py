"""CPU time of the batched flashes against `chemicals`, on mixtures whose split is known; input checks are included.

    python benchmarks/flash.py [--json FILE] [--quick]

Phases x and fractions L are drawn from flat Dirichlet distributions, so K = x_j / x_P and
z = sum_j L_j x_j have the known root L. The peer takes one mixture a call, with its own types:
lists, or arrays where numba compiles it, both made before the clock starts; for two phases its
fastest method, for more L = 1 / P to start from. Methods take turns in one process on the
same 1,024 mixtures, again and again for a twentieth of a second; times are medians of fifteen turns, ratios medians
of the ratios of each turn, on one thread, and on a GPU where there is one, by the wall.

Flashes of float64 on CPU are compiled loops; where K asks for a gradient they are tensor operations, the definition,
whose forward pass is timed as "tensors". "vanishing" are feeds from a flat Dirichlet distribution with
log K_ij = 1.5 normal + 2 normal_j: the peer has no answer, and the tensors' is what errors are measured against.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from operator import truediv

os.environ.setdefault("NUMBA_FUNCTION_CACHE_SIZE", "0")  # the peer's cached compilation needs IPython

import chemicals
import numpy as np
import torch
from devices import devices, heading
from torch import Tensor

from spinodal.thermodynamics import Flash, negative_flash, positive_flash

BATCH, TURNS, SECONDS = 1024, 15, 0.05
GRID = [(p, n) for p in (2, 3, 4, 5) for n in (8, 32, 128)]
NUMBA = "chemicals, numba"
Solver = Callable[[], np.ndarray]


def mixtures(p: int, n: int, seed: int = 0) -> tuple[Tensor, Tensor, np.ndarray]:
    """z [b, n], K [b, n, q] and the fractions L [b, q] that split them."""
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.ones(n), size=(BATCH, p))
    L = rng.dirichlet(np.ones(p), size=BATCH)
    K = (x[:, :-1] / x[:, -1:]).swapaxes(1, 2)
    z = np.einsum("bp,bpn->bn", L, x)
    return torch.from_numpy(z), torch.from_numpy(K.copy()), L[:, :-1]


def vanishing(p: int, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """z [b, n] and K [b, n, q] of which some phases form and others do not."""
    rng = np.random.default_rng(seed)
    z = rng.dirichlet(np.ones(n), size=BATCH)
    K = np.exp(1.5 * rng.normal(size=(BATCH, n, p - 1)) + 2 * rng.normal(size=(BATCH, 1, p - 1)))
    return torch.from_numpy(z), torch.from_numpy(K)


def ours(flash: Callable[[Tensor, Tensor], Flash], z: Tensor, K: Tensor, device: str = "cpu") -> Solver:
    z, K = z.to(device), K.to(device)

    def solve() -> np.ndarray:
        split = flash(z, K)
        return torch.where(split.converged.unsqueeze(-1), split.fractions.detach(), torch.nan).cpu().numpy()

    return solve


def peer(library, z: Tensor, K: Tensor, kind: Callable) -> Solver:
    """One call of the peer for each mixture; NaN where it raises."""
    q = K.shape[-1]
    start = kind(np.full(q, 1 / (q + 1)))
    mixtures = [(kind(z), kind(K)) for z, K in zip(z.numpy(), K.mT.contiguous().numpy(), strict=True)]
    if q == 1:
        call = lambda z, K: library.Rachford_Rice_solution_LN2(z, K[0])[0]
    elif q == 2:
        call = lambda z, K: library.Rachford_Rice_solution2(z, K[0], K[1], 1 / 3, 1 / 3)[:2]
    else:
        call = lambda z, K: library.Rachford_Rice_solutionN(z, K, start)[0][:-1]

    def solve() -> np.ndarray:
        L = np.full((BATCH, q), np.nan)
        for i, mixture in enumerate(mixtures):
            with contextlib.suppress(Exception):
                L[i] = call(*mixture)
        return L

    return solve


def methods(p: int, n: int, z: Tensor, K: Tensor) -> dict[str, Solver]:
    found = {"chemicals": peer(chemicals, z, K, np.ndarray.tolist)}
    if importlib.util.find_spec("numba"):
        found[NUMBA] = peer(importlib.import_module("chemicals.numba"), z, K, np.asarray)
    for device in devices():
        found[heading("negative", device)] = ours(negative_flash, z, K, device)
        found[heading("positive", device)] = ours(positive_flash, z, K, device)
    found["negative, tensors"] = ours(negative_flash, z, K.clone().requires_grad_())
    found["positive, tensors"] = ours(positive_flash, z, K.clone().requires_grad_())
    z, K = vanishing(p, n)
    found["vanishing"] = ours(positive_flash, z, K)
    found["vanishing, tensors"] = ours(positive_flash, z, K.clone().requires_grad_())
    return found


def measure(p: int, n: int) -> list[dict]:
    z, K, L = mixtures(p, n)
    solvers = methods(p, n, z, K)
    answers = {name: solve() for name, solve in solvers.items()}
    wall: dict[str, list[float]] = {name: [] for name in solvers}
    cpu: dict[str, list[float]] = {name: [] for name in solvers}
    for _ in range(TURNS):
        for name, solve in solvers.items():
            started, busy, calls = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - started < SECONDS:
                solve()
                calls += 1
            cpu[name].append((time.process_time() - busy) / calls)
            wall[name].append((time.perf_counter() - started) / calls)
    rows = []
    for name, answer in answers.items():
        failed = np.isnan(answer).any(-1)
        expected = answers["vanishing, tensors"] if name.startswith("vanishing") else L
        kind = name.partition(",")[0]
        rivals = ["vanishing, tensors"] if kind == "vanishing" else [f"{kind}, tensors", "chemicals", NUMBA]
        clock = wall if "GPU" in name else cpu
        rows.append(
            {
                "phases": p,
                "components": n,
                "method": name,
                "wall_us": statistics.median(wall[name]) / BATCH * 1e6,
                "cpu_us": statistics.median(cpu[name]) / BATCH * 1e6,
                "failures": int(failed.sum()),
                "error": float(np.abs(answer - expected)[~failed].max(initial=0)),
            }
            | {
                f"times {rival}": statistics.median(map(truediv, clock[rival], clock[name]))
                for rival in rivals
                if rival in cpu and rival != name and kind != "chemicals"
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    parser.add_argument("--quick", action="store_true", help="32 components alone")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    report = {
        "batch": BATCH,
        "turns": TURNS,
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "chemicals", "numpy", "numba")
        },
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, one thread",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "rows": [],
    }
    print(" P    N method               wall us    cpu us  failed    error  times as fast as")
    for p, n in [(p, 32) for p in (2, 3, 4, 5)] if asked.quick else GRID:
        for row in measure(p, n):
            report["rows"].append(row)
            times = ", ".join(f"{row[key]:.1f} {key[6:]}" for key in row if key.startswith("times"))
            print(
                f"{p:>2} {n:>4} {row['method']:<18} {row['wall_us']:>9.2f} {row['cpu_us']:>9.2f}"
                f" {row['failures']:>7} {row['error']:>8.0e}  {times}",
                flush=True,
            )
    if asked.json:
        with open(asked.json, "w") as target:
            json.dump(report, target, indent=1)


if __name__ == "__main__":
    main()
