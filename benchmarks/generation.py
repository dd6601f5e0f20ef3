"""What a token of one sequence costs through `generate`: compiled steps beside the loop of transformers.

    python benchmarks/generation.py [--json FILE] [--quick]

Models of four blocks and about equal parameters go on with a prompt of 128 tokens for 200 tokens: through `forward`
one token a call, through `generate` with the loop of transformers around that, and through `generate` as it is, which
takes compiled steps where a model has them. The peer is transformers' own Llama with its DynamicCache. Everything takes
turns in one process; medians of CPU time a token, one thread, the prompt's own cost taken off; seed 0. Logits
and greedy tokens are compared with those of `forward` over 200 tokens.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from decoding import models

from spinodal.models import SpinodalForCausalLM
from spinodal.models.step import compiled_step
from spinodal.models.versions import CACHE

PROMPT, TOKENS, TURNS = 128, 200, 5
SAMPLING = {"do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 0.9}
PLAIN = patch("spinodal.models.step.compiled_step", lambda *_: None)


@torch.inference_mode()
def forward(model: Any, ids: torch.Tensor, tokens: int) -> None:
    """Greedy tokens by `forward` alone, one a call."""
    memory, token = None, ids
    for _ in range(tokens):
        out = model(token, **{CACHE: memory}, use_cache=True, logits_to_keep=1)
        token, memory = out.logits[:, -1:].argmax(-1), out[CACHE]


def generate(model: Any, ids: torch.Tensor, tokens: int, **options: Any) -> None:
    model.generate(ids, max_new_tokens=tokens, pad_token_id=0, **options)


def plain(model: Any, ids: torch.Tensor, tokens: int, **options: Any) -> None:
    with PLAIN:
        generate(model, ids, tokens, **options)


def seconds(run: Callable[[int], None]) -> float:
    """CPU seconds a token, without those of the prompt."""
    times = []
    for tokens in (1, TOKENS + 1):
        started = time.process_time()
        run(tokens)
        times.append(time.process_time() - started)
    return (times[1] - times[0]) / TOKENS


@torch.inference_mode()
def agreement(model: SpinodalForCausalLM, ids: torch.Tensor) -> tuple[float, bool]:
    """(largest difference of logits between compiled steps and `forward` over TOKENS tokens, same greedy tokens)."""
    out = model(ids, use_cache=True)
    memory, logits, error, same = out[CACHE], out.logits[0, -1], 0.0, True
    step = compiled_step(model, memory)
    if step is None:
        return float("nan"), True
    step.begin(memory)
    for _ in range(TOKENS):
        token = int(logits.argmax())
        logits, close = (
            model(torch.tensor([[token]]), cache=memory).logits[0, -1],
            torch.from_numpy(step(token)),
        )
        error, same = (
            max(error, float((logits - close).abs().max())),
            same and logits.argmax() == close.argmax(),
        )
    return error, bool(same)


def measured(turns: int) -> list[dict]:
    torch.manual_seed(0)
    networks, ids = models(), torch.randint(0, 2048, (1, PROMPT))
    for model in networks.values():
        model.generation_config.eos_token_id = None
    ways: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
        "forward": (forward, {}),
        "transformers": (plain, {"do_sample": False}),
        "generate": (generate, {"do_sample": False}),
        "transformers, sampling": (plain, SAMPLING),
        "generate, sampling": (generate, SAMPLING),
    }
    costs: dict[tuple[str, str], list[float]] = {(name, way): [] for name in networks for way in ways}
    for turn in range(turns + 1):
        for name, way in costs:
            run, options = ways[way]
            cost = seconds(lambda tokens: run(networks[name], ids, tokens, **options))  # noqa: B023
            if turn:  # the first is a rehearsal
                costs[name, way].append(cost)
    rows = []
    for name, model in networks.items():
        row: dict[str, Any] = {"model": name, "parameters": sum(p.numel() for p in model.parameters())}
        row |= {way: statistics.median(costs[name, way]) * 1e6 for way in ways}
        if isinstance(model, SpinodalForCausalLM):
            row["error"], row["same"] = agreement(model, ids)
        rows.append(row | {"forward_over": row["forward"] / row["generate"]})
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="one turn")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measured(1 if arguments.quick else TURNS)
    print(
        "| model | parameters | forward | greedy: transformers' loop | ours | sampling: transformers' loop | ours |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        costs = " | ".join(f"{value:.0f}" for value in list(row.values())[2:7])
        print(f"| {row['model']} | {row['parameters']:,} | {costs} |")
    for row in rows:
        if row.get("error", float("nan")) == row.get("error"):
            print(
                f"{row['model']}: {row['forward_over']:.1f} times less than forward; logits within {row['error']:.1e}, "
                f"{'the same' if row['same'] else 'OTHER'} greedy tokens"
            )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"rows": rows, "tokens": TOKENS, "turns": TURNS}, file, indent=1)


if __name__ == "__main__":
    main()
