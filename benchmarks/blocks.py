"""What a token costs in training, by context: partition blocks beside rotary attention with SwiGLU.

    python benchmarks/blocks.py [--json FILE] [--quick]

Each model is a stack of two blocks of equal parameters, run forward and backward on the same
4,096 tokens, cut into contexts of 128 to 2,048. Models take turns in one process; medians of
nine turns on one thread, and on a GPU where there is one. Peak memory is that of one context,
forward and backward, over what the weights take, from the profiler's record of allocations.
"""

import argparse
import itertools
import json
import os
import statistics
from typing import Protocol, cast

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from devices import devices, heading, timed
from torch import nn

from spinodal.models import Block, SpinodalConfig

TOKENS, TURNS, WIDTH = 4096, 9, 96
LENGTHS = (128, 256, 512, 2048)
MEMORY_LENGTHS = (1024, 2048, 4096, 8192)
MODELS = {
    "attention + SwiGLU": {"mixer": "attention", "channel": "swiglu", "hidden": 277},
    "retention + competition": {"mixer": "retention", "channel": "competition", "hidden": 26},
    "retention + attentive": {"mixer": "retention", "channel": "partition", "phases": 4, "hidden": 75},
    "retention + generative I": {
        "mixer": "retention", "channel": "partition", "phases": 4, "hidden": 75, "pathway": "I",
    },
    "Toeplitz + competition": {"mixer": "toeplitz", "channel": "competition", "hidden": 26},
}  # fmt: skip
RIVALS = ("retention + competition", "attention + SwiGLU")  # PET and the Transformer
GOALS = {
    128: 1.05,
    256: 0.90,
    512: 0.70,
    2048: 0.30,
}  # of the cost of the first over that of the second, on a CPU


class Stack(nn.Module):
    """Two blocks; residuals are formed and added to the loss where the model is generative."""

    def __init__(self, values: dict, length: int):
        super().__init__()
        config = SpinodalConfig(width=WIDTH, depth=2, length=length, **values)
        self.blocks = nn.ModuleList(Block(config) for _ in range(2))
        self.generative = values.get("pathway", "none") != "none"

    def step(self, x: torch.Tensor):
        loss = torch.zeros((), device=x.device)
        for block in self.blocks:
            mixed = block(x, residuals=self.generative)
            x, loss = mixed.tokens, sum(mixed.reported.values(), loss)
        (loss + x.square().mean()).backward()
        self.zero_grad()


def costs(device: str) -> list[dict]:
    """Microseconds a token on a device, by model and length."""
    torch.manual_seed(0)
    stacks = {(m, n): Stack(values, n).to(device) for m, values in MODELS.items() for n in LENGTHS}
    inputs = {n: torch.randn(TOKENS // n, n, WIDTH, device=device) for n in LENGTHS}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in stacks}
    for turn in range(TURNS + 1):
        for (model, n), stack in stacks.items():
            spent = timed(lambda: stack.step(inputs[n]), device)  # noqa: B023
            if turn:  # the first is a rehearsal
                seconds[model, n].append(spent)
    return [
        {"device": device, "model": m, "length": n, "us_per_token": statistics.median(s) / TOKENS * 1e6}
        for (m, n), s in seconds.items()
    ]


class Allocation(Protocol):
    """A profiler's event of memory: `nbytes` is negative where it is freed."""

    def name(self) -> str: ...
    def start_ns(self) -> int: ...
    def nbytes(self) -> int: ...


def allocations(profile: torch.profiler.profile) -> list[Allocation]:
    """What was allocated and freed while the profile ran."""
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    # torch's stub of an event leaves out nbytes, which every event has
    events = cast("list[Allocation]", profile.profiler.kineto_results.events())
    return [event for event in events if event.name() == "[memory]"]


def peaks() -> list[dict]:
    """Peak MB of one context on the CPU, by model and length: the running sum of what is allocated and freed."""
    rows = []
    for model, values in MODELS.items():
        for n in MEMORY_LENGTHS:
            stack, x = Stack(values, n), torch.randn(1, n, WIDTH)
            with torch.profiler.profile(profile_memory=True) as profile:
                stack.step(x)
            running = itertools.accumulate(
                e.nbytes() for e in sorted(allocations(profile), key=lambda e: e.start_ns())
            )
            rows.append({"model": model, "length": n, "peak_MB": max(running) / 2**20})
    return rows


def show(rows: list[dict], lengths: tuple[int, ...], value: str, unit: str):
    print(f"\n{unit:<28}" + "".join(f"{f'n={n}':>10}" for n in lengths) + f"{'last/first':>12}")
    for model in MODELS:
        found = {row["length"]: row[value] for row in rows if row["model"] == model}
        cells = "".join(f"{found[n]:>10.1f}" for n in lengths)
        print(f"{model:<28}{cells}{found[lengths[-1]] / found[lengths[0]]:>12.2f}")


def show_ratio(rows: list[dict]):
    """The cost of PET over that of the Transformer, beside its goal."""
    found = {(row["model"], row["length"]): row["us_per_token"] for row in rows}
    print("\nPET / Transformer           ", end="")
    for n, goal in GOALS.items():
        print(f"  n={n}: {found[RIVALS[0], n] / found[RIVALS[1], n]:.2f} (goal {goal:.2f})", end="")
    print()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="times alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cost = []
    for device in devices():
        found = costs(device)
        show(found, LENGTHS, "us_per_token", heading("us a token", device))
        show_ratio(found)
        cost += found
    memory = []
    if not arguments.quick:
        memory = peaks()
        show(memory, MEMORY_LENGTHS, "peak_MB", "peak MB, one context")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"cost": cost, "memory": memory}, file, indent=1)


if __name__ == "__main__":
    main()
