"""What observing costs: `python benchmarks/observe.py [--json FILE] [--quick]`.

Goals: observing 256 sentences through 12 layers of width 768 costs at most half of the forward passes themselves;
memory does not grow with the number of inputs; 100,000 tokens are analysed without a square of them. The model is
BERT-base by shape with random weights: the work is the same. CPU seconds of one process, one thread.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel
from transformers.utils import logging

from spinodal.types import Trajectory
from spinodal.watch import Question, Subject, observe_arrays, observe_model


def peak() -> float:
    """Peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sentences(count: int, batch: int) -> list[dict[str, torch.Tensor]]:
    """Batches of ragged sentences, 16 to 48 tokens."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(0, count, batch):
        lengths = torch.randint(16, 49, (batch,), generator=generator)
        mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
        found.append(
            {"input_ids": torch.randint(999, 29_999, mask.shape, generator=generator), "attention_mask": mask}
        )
    return found


def seconds(action) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


@torch.no_grad()
def overhead(model: BertModel, batches: list[dict]) -> dict:
    """CPU seconds of the passes alone, and of observing: those passes, two more at the door, and the numbers."""
    subject, question = Subject("bert", model, None), Question(beta=1.0, nulls=())
    model(**batches[0])
    alone = seconds(lambda: [model(**batch) for batch in batches])
    observed = seconds(lambda: observe_model(subject, batches, question))
    return {
        "sentences": sum(len(b["input_ids"]) for b in batches),
        "passes, CPU s": alone,
        "observed, CPU s": observed,
        "overhead": observed / alone - 1,
    }


def long(n: int, d: int, layers: int) -> dict:
    """One trajectory of n tokens: seconds, and memory above the tokens themselves."""
    torch.manual_seed(0)
    tokens = torch.randn(layers, 1, n, d) + 0.3
    trajectory = Trajectory(torch.arange(float(layers)), tokens, torch.ones(1, n, dtype=torch.bool))
    before = peak()
    spent = seconds(lambda: observe_arrays("long", trajectory, Question(beta=1.0)))
    return {
        "tokens": n,
        "layers": layers,
        "width": d,
        "CPU s": spent,
        "MB above the tokens": peak() - before,
        "MB of n x n doubles": 8e-6 * n * n,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(num_hidden_layers=3, hidden_size=192) if options.quick else BertConfig()
    model = BertModel(config).eval()
    count = 32 if options.quick else 256
    rows = {"streaming": overhead(model, sentences(count, 16))}
    grown = peak()
    observe_model(Subject("bert", model, None), sentences(2 * count, 16), Question(beta=1.0, nulls=()))
    rows["streaming"]["MB more for twice the inputs"] = peak() - grown
    rows["long"] = long(10_000 if options.quick else 100_000, 64 if options.quick else 768, 3)
    for part, row in rows.items():
        for name, value in row.items():
            print(f"{part:10} {name:32} {value:12.4g}")
    met = "met" if rows["streaming"]["overhead"] <= 0.5 else "MISSED"
    print(f"goal: overhead of observing at most 0.5: {met}")
    if options.json:
        machine = {"cores": os.cpu_count(), "threads": 1, "numpy": np.__version__, "torch": torch.__version__}
        options.json.write_text(json.dumps({"rows": rows, "machine": machine}, indent=1))


if __name__ == "__main__":
    main()
