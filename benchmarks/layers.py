"""A layer of `simulate` beside its drift alone: `python benchmarks/layers.py [--json FILE] [--quick]`.

Tokens of ALBERT's shapes on the layer clock: around the attention output of a layer the loop has a step, a test for
merges and bounds. `field.attention_output` is called on its own for as many layers, after the draws alone where weights
are redrawn. Both take turns in one process, five times; medians of CPU time. Goal: at most 1.5 of the drift.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from spinodal import sphere
from spinodal.flows import AttentionField, Head, Layers, Resampled, named_matrix, simulate

LAYERS, STEP, GOAL = 12, 0.1, 1.5
CASES = [
    (64, 256, "identity"),
    (64, 256, "8 heads"),
    (64, 256, "redrawn"),
    (128, 768, "redrawn"),
    (128, 768, "12 heads"),
]


def field_of(d: int, weights: str) -> AttentionField:
    """The identity, heads of d / h queries and keys, or one head that every layer draws anew."""
    if weights == "identity":
        return AttentionField(4.0)
    if weights == "redrawn":
        return AttentionField(4.0, depth=Resampled(d, "random:1", "random:2", "random:3", STEP))
    h = int(weights.split()[0])
    draw = np.random.default_rng(0)
    Q, K = draw.standard_normal((2, h, d // h, d)) / np.sqrt(d)
    V = draw.standard_normal((h, d, d)) / np.sqrt(h * d)
    return AttentionField(4.0, heads=tuple(Head(*matrices) for matrices in zip(Q, K, V, strict=True)))


def loop(field: AttentionField, x: np.ndarray) -> None:
    simulate(field, x, LAYERS * STEP, method=Layers(STEP))


def drifts(field: AttentionField, x: np.ndarray) -> None:
    """The attention output of as many layers, and the draws where there are some."""
    now, w, d = field.at(0.0), np.full(len(x), 1 / len(x)), x.shape[1]
    for k in range(LAYERS):
        if field.depth is not None:
            for role, seed in (("queries", 1), ("keys", 2), ("values", 3)):
                named_matrix(f"random:{seed}", d, role=role, draw=k)
        now.attention_output(x, w)


def seconds(
    function: Callable[[AttentionField, np.ndarray], None], field: AttentionField, x: np.ndarray
) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    function(field, x)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rows = []
    print("  n   d  weights    loop ms  drift ms  ratio, a layer")
    for n, d, weights in CASES[: -1 if options.quick else None]:
        field, x = field_of(d, weights), sphere.uniform(n, d, 0)
        loop(field, x)  # compiles, and computes what is computed once
        times = [(seconds(loop, field, x), seconds(drifts, field, x)) for _ in range(5)]
        slow, fast = 1e3 * np.median(times, 0) / LAYERS
        rows.append({"n": n, "d": d, "weights": weights, "loop": slow, "drift": fast, "ratio": slow / fast})
        met = "met" if slow / fast <= GOAL else "MISSED"
        print(
            f"{n:3} {d:3}  {weights:9} {slow:8.2f} {fast:9.2f} {slow / fast:6.2f}  goal {GOAL:g}: {met}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
