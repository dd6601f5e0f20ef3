"""What a generated token costs, by how much has been written before it: linear mixers beside KV caches.

    python benchmarks/decoding.py [--json FILE] [--longest 32768]

Models of four blocks and equal parameters read a text of 128 and of 32,768 tokens at once and then go on, one
token a call, through the same `forward` that `generate` uses. The peers are our Transformer (rotary, SwiGLU, short
convolution, fused attention over a cache that grows in place) and transformers' own Llama with its DynamicCache.
Contexts and models take turns in one process; medians of CPU time a token over turns of 16 tokens, one thread.
"""

import argparse
import json
import os
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from spinodal.models import SpinodalConfig, SpinodalForCausalLM
from spinodal.models.versions import CACHE

SHORT, TOKENS, TURNS = 128, 16, 7
MODELS = {
    "Transformer": {"mixer": "attention", "channel": "swiglu", "hidden": 277},
    "retention + competition": {"mixer": "retention"},
    "retention + SwiGLU": {"mixer": "retention", "channel": "swiglu", "hidden": 277},
    "retention + partition": {"mixer": "retention", "channel": "partition", "phases": 4, "hidden": 75},
    "gated linear + SwiGLU": {"mixer": "gated-linear", "channel": "swiglu", "hidden": 277},
    "phase memory + SwiGLU": {"mixer": "phase-memory", "channel": "swiglu", "hidden": 277},
    "minGRU + SwiGLU": {"mixer": "min-gru", "channel": "swiglu", "hidden": 277},
}  # fmt: skip


def models() -> dict[str, Any]:
    """Every model, with random weights: the cost of a token does not depend on them."""
    torch.manual_seed(0)
    llama = LlamaConfig(
        vocab_size=2048, hidden_size=96, intermediate_size=277, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=65_536, tie_word_embeddings=True,
    )  # fmt: skip
    made: dict[str, Any] = {
        name: SpinodalForCausalLM(SpinodalConfig(**values)) for name, values in MODELS.items()
    }
    return {name: model.eval() for name, model in ({"Llama": LlamaForCausalLM(llama)} | made).items()}


def numbers(cache: Any) -> int:
    """How many numbers a cache holds for one sequence."""
    if hasattr(cache, "state_size"):
        return cache.state_size()
    return sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)


@torch.inference_mode()
def read(model: Any, n: int) -> Any:
    """The memory of n random tokens, read in pieces of 2,048."""
    memory = None
    for part in torch.randint(0, 2048, (1, n)).split(2048, dim=1):
        memory = model(part, **{CACHE: memory}, use_cache=True, logits_to_keep=1)[CACHE]
    return memory


@torch.inference_mode()
def step(model: Any, memory: Any) -> tuple[float, Any]:
    """(CPU seconds a token, the memory after TOKENS tokens more)."""
    token = torch.zeros(1, 1, dtype=torch.long)
    started = time.process_time()
    for _ in range(TOKENS):
        out = model(token, **{CACHE: memory}, use_cache=True)
        token, memory = out.logits[:, -1:].argmax(-1), out[CACHE]
    return (time.process_time() - started) / TOKENS, memory


def measured(longest: int) -> list[dict]:
    networks = models()
    memories = {(name, n): read(model, n) for name, model in networks.items() for n in (SHORT, longest)}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in memories}
    for turn in range(TURNS + 1):
        for key in memories:
            cost, memories[key] = step(networks[key[0]], memories[key])
            if turn:  # the first is a rehearsal
                seconds[key].append(cost)
    rows = []
    for name, model in networks.items():
        short, long = (statistics.median(seconds[name, n]) for n in (SHORT, longest))
        rows.append({
            "model": name, "parameters": sum(p.numel() for p in model.parameters()), "short_us": short * 1e6,
            "long_us": long * 1e6, "ratio": long / short, "state": numbers(memories[name, longest]),
        })  # fmt: skip
    transformer = next(row["long_us"] for row in rows if row["model"] == "Transformer")
    for row in rows:
        row["transformer_over"] = transformer / row["long_us"]
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--longest", type=int, default=32_768)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measured(arguments.longest)
    print(
        f"| model | parameters | us a token at {SHORT} | at {arguments.longest} | ratio | Transformer / this | state |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['model']} | {row['parameters']:,} | {row['short_us']:.0f} | {row['long_us']:.0f} "
            f"| {row['ratio']:.2f} | {row['transformer_over']:.1f} | {row['state']:,} |"
        )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"rows": rows, "tokens": TOKENS, "turns": TURNS}, file, indent=1)


if __name__ == "__main__":
    main()
