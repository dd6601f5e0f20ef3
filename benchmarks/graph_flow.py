"""What a flow on a graph costs beside softmax attention: dense by its steps, block-sparse by the length of the text.

    python benchmarks/graph_flow.py [--turns 5] [--longest 8192] [--json FILE]

One head of 128 features, one thread, or a GPU where there is one; mixers take turns, medians of CPU time (on a
GPU, of the clock). The units of the first table are one call of fused attention with q, k and v of 128 features,
and one as wide as the flow's own, 256; of the others softmax attention as a mixer, with its maps. Block-sparse
flows are those of `spinodal draw graph-recall`, which measures what they recall: nine blocks of 32 tokens, the
choice of them included. Break-even is the length from which they are cheaper, on a line through the logarithms of
neighbouring lengths; none where they never are.
"""

import argparse
import json
import math
import os
import statistics
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from devices import devices, timed
from torch import Tensor, nn
from torch.nn import functional

from spinodal.mixers.graph.flow import GraphFlowAttention
from spinodal.mixers.graph.form import Descent, FlowForm
from spinodal.mixers.token.attention import Attention
from spinodal.recipes.graph_recall import BLOCKS, WIDTH

STEPS = (1, 2, 4, 8)
DENSE = 2048  # tokens of the first table
LENGTHS = (512, 1024, 2048, 4096, 8192)
KINDS, SPARSE = ("forward", "gradients"), ("sparse T=1", "sparse T=4")
DEVICE = devices()[-1]


def flow(steps: int) -> FlowForm:
    return FlowForm(descent=Descent(steps))


def sparse(steps: int) -> GraphFlowAttention:
    return GraphFlowAttention(WIDTH, heads=1, form=flow(steps), links=BLOCKS).eval()


def milliseconds(calls: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Medians of every call, which take turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            taken = timed(call, DEVICE)
            if turn:  # the first is a rehearsal
                found[name].append(1e3 * taken)
    return {name: statistics.median(times) for name, times in found.items()}


def forward(model: nn.Module, x: Tensor) -> Callable[[], object]:
    @torch.no_grad()
    def call():
        model(x)

    return call


def both(model: nn.Module, x: Tensor) -> Callable[[], object]:
    def call():
        model(x).tokens.square().mean().backward()
        model.zero_grad()

    return call


def dense_steps(turns: int) -> list[dict]:
    """A row for each T: its cost in fused calls, beside the 2 T that it may take."""
    x, q = torch.randn(1, DENSE, WIDTH, device=DEVICE), torch.randn(1, 1, DENSE, WIDTH, device=DEVICE)
    wide = torch.cat([q, q], -1)
    attend = functional.scaled_dot_product_attention
    calls: dict[str, Callable[[], object]] = {
        "fused": lambda: attend(q, q, q), "wide": lambda: attend(wide, wide, wide),
        "fused causal": lambda: attend(q, q, q, is_causal=True),
    }  # fmt: skip
    for T in STEPS:
        calls[str(T)] = forward(GraphFlowAttention(WIDTH, heads=1, form=flow(T)).to(DEVICE), x)
        causal = GraphFlowAttention(WIDTH, heads=1, form=flow(T), causal=True).to(DEVICE)
        calls[f"{T} causal"] = forward(causal, x)
    cost = milliseconds(calls, turns)
    return [
        {
            "T": T, "ms": cost[str(T)], "calls": cost[str(T)] / cost["fused"],
            "wide_calls": cost[str(T)] / cost["wide"],
            "causal_calls": cost[f"{T} causal"] / cost["fused causal"], "allowed": 2 * T,
        }
        for T in STEPS
    ]  # fmt: skip


def by_length(turns: int, longest: int) -> list[dict]:
    """A row for each length: softmax, dense and block-sparse flows, forward and with gradients."""
    rows = []
    for n in (n for n in LENGTHS if n <= longest):
        x = torch.randn(1, n, WIDTH, device=DEVICE)
        models = {
            "softmax": Attention(WIDTH, heads=1),
            "sparse T=1": sparse(1),
            "sparse T=4": sparse(4),
        }
        if n <= 4096:
            models["dense T=4"] = GraphFlowAttention(WIDTH, heads=1, form=flow(4))
        for model in models.values():
            model.to(DEVICE)
        for kind, made in {"forward": forward, "gradients": both}.items():
            calls = {name: made(model, x) for name, model in models.items()}
            rows.append({"n": n, "kind": kind} | milliseconds(calls, turns))
    return rows


def break_even(rows: list[dict], kind: str, sparse: str) -> float | None:
    """n at which the flow costs what softmax attention does; None where it is dearer at every length."""
    ratio = [(row["n"], row[sparse] / row["softmax"]) for row in rows if row["kind"] == kind]
    if ratio[-1][1] >= 1:
        return None
    n, r = ratio[-1]
    for earlier, before in reversed(ratio[:-1]):
        if before >= 1:
            share = math.log(before) / math.log(before / r)
            return earlier * (n / earlier) ** share
        n, r = earlier, before
    return float(n)


def show(dense: list[dict], rows: list[dict]):
    print(f"dense flow at n = {DENSE}, {DEVICE}: cost in fused attention calls")
    print(f"{'T':>4}{'ms':>9}{'calls':>8}{'wide':>8}{'causal':>8}{'2 T':>6}")
    for row in dense:
        print(
            f"{row['T']:>4}{row['ms']:>9.1f}{row['calls']:>8.2f}{row['wide_calls']:>8.2f}{row['causal_calls']:>8.2f}{row['allowed']:>6}"
        )
    names = [name for name in rows[0] if name not in ("n", "kind")]
    for kind in KINDS:
        print(f"\n{f'ms, {kind}':<16}" + "".join(f"{name:>13}" for name in names))
        for row in (row for row in rows if row["kind"] == kind):
            print(
                f"{row['n']:<16}" + "".join(f"{row[n]:>13.1f}" if n in row else f"{'-':>13}" for n in names)
            )
        for name in SPARSE:
            n = break_even(rows, kind, name)
            print(
                f"{name} breaks even at n = {n:.0f}"
                if n
                else f"{name} breaks even nowhere up to {rows[-1]['n']}"
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], choices=LENGTHS)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dense, rows = dense_steps(arguments.turns), by_length(arguments.turns, arguments.longest)
    show(dense, rows)
    if arguments.json:
        even = {f"{s}, {k}": break_even(rows, k, s) for k in KINDS for s in SPARSE}
        with open(arguments.json, "w") as file:
            json.dump(
                {"device": DEVICE, "dense": dense, "lengths": rows, "break_even": even},
                file,
                indent=1,
            )


if __name__ == "__main__":
    main()
