"""What a token costs in training behind each causal mixer, from 128 to 8,192 tokens of context.

    python benchmarks/scans.py [--mixers retention phase-memory] [--turns 5] [--json FILE]

Each model is one decoder block: short convolution, mixer and SwiGLU, whose hidden size makes all
parameters equal. It runs forward and backward on the same 8,192 tokens, cut into contexts. Models
take turns in one process; medians of CPU time on one thread, or of time on a GPU where there is
one. Flatness is the dearest context over the cheapest; speed is that of 2,048 tokens relative to
fused rotary attention; the state is what one sequence holds after 2,048 tokens.
"""

import argparse
import json
import os
import statistics

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from devices import devices, timed
from torch import Tensor, nn

from spinodal.mixers.base import state_size
from spinodal.mixers.entry import Kind
from spinodal.mixers.registry import entries
from spinodal.models import Block, SpinodalConfig

TOKENS, WIDTH, HIDDEN = 8192, 96, 256
LENGTHS = (128, 512, 2048, 8192)
COMPARED = 2048
LINEAR = ["retention", "gated-linear", "phase-memory", "min-gru", "convolution"]
DEVICE = devices()[-1]


def block(mixer: str, length: int, hidden: int = HIDDEN) -> Block:
    torch.manual_seed(0)
    config = SpinodalConfig(
        width=WIDTH, length=length, mixer=mixer, channel={"name": "swiglu", "hidden": hidden}
    )
    return Block(config, causal=True).to(DEVICE)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def equal_block(mixer: str, length: int) -> Block:
    """The block whose SwiGLU takes up what its mixer leaves of the Transformer's parameters."""
    spare = parameters(block("attention", length)) - parameters(block(mixer, length))
    return block(mixer, length, max(1, HIDDEN + round(spare / (3 * WIDTH))))


def step(model: Block, x: Tensor):
    model(x).tokens.square().mean().backward()
    model.zero_grad()


def costs(models: dict[tuple[str, int], Block], turns: int) -> dict[tuple[str, int], float]:
    """Microseconds a token, by mixer and length."""
    inputs = {n: torch.randn(TOKENS // n, n, WIDTH, device=DEVICE) for n in LENGTHS}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in models}
    for turn in range(turns + 1):
        for (mixer, n), model in models.items():
            taken = timed(lambda model=model, n=n: step(model, inputs[n]), DEVICE)
            if turn:  # the first is a rehearsal
                seconds[mixer, n].append(taken)
    return {key: statistics.median(s) / TOKENS * 1e6 for key, s in seconds.items()}


def rows(mixers: list[str], turns: int) -> list[dict]:
    """One row a mixer: its cost at every length, flatness, relative speed, state and parameters."""
    models = {(m, n): equal_block(m, n) for m in mixers for n in LENGTHS}
    cost = costs(models, turns)
    found = []
    for m in mixers:
        us = [cost[m, n] for n in LENGTHS]
        with torch.no_grad():
            _, state = models[m, COMPARED].extend(torch.zeros(1, COMPARED, WIDTH, device=DEVICE))
        found.append({
            "mixer": m, "us_per_token": dict(zip(LENGTHS, us, strict=True)), "flatness": max(us) / min(us),
            "tokens_per_second": 1e6 / cost[m, COMPARED], "speed": cost["attention", COMPARED] / cost[m, COMPARED],
            "state": state_size(state), "parameters": parameters(models[m, COMPARED]),
        })  # fmt: skip
    return found


def show(found: list[dict]):
    print(f"{f'us a token, {DEVICE}':<18}" + "".join(f"{f'n={n}':>9}" for n in LENGTHS), end="")
    print(f"{'dear/cheap':>12}{'tokens/s':>10}{'speed':>7}{'state':>10}{'parameters':>12}")
    for row in found:
        print(f"{row['mixer']:<18}" + "".join(f"{us:>9.1f}" for us in row["us_per_token"].values()), end="")
        print(f"{row['flatness']:>12.2f}{row['tokens_per_second']:>10,.0f}{row['speed']:>7.2f}", end="")
        print(f"{row['state']:>10,}{row['parameters']:>12,}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mixers", nargs="+", default=LINEAR, choices=entries(Kind.TOKEN))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = rows(list(dict.fromkeys(["attention", *arguments.mixers])), arguments.turns)
    show(found)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"device": DEVICE, "rows": found}, file, indent=1)


if __name__ == "__main__":
    main()
