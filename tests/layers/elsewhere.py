"""Layers where checks of types cannot go, in a process of its own: elsewhere.py compiled BACKEND|processes FOLDER."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from layer_cases import CLASSES, build_layer, inputs_of, train_layer
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


def compiled_failures(backend: str, names: list[str]) -> dict[str, str]:
    """{layer: error} of those that, compiled to one graph, do not train as they do without."""
    failed = {}
    for name in names:
        layer, alone = build_layer(name), build_layer(name)
        inputs = inputs_of(layer)
        torch._dynamo.reset()
        try:
            found = train_layer(layer, inputs, torch.compile(layer, fullgraph=True, backend=backend))
            expected = train_layer(alone, inputs, alone)
            for mine, other in zip(found, expected, strict=True):
                torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-6)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {str(error)[:300]}"
    return failed


def train_in_processes(folder: Path) -> None:
    """Trains every layer under DDP, each process on its part of the samples, and writes what it found."""
    distributed.init_process_group("gloo")
    rank, count = distributed.get_rank(), distributed.get_world_size()
    found: dict[str, Any] = {}
    for name in CLASSES:
        layer = build_layer(name)
        inputs = tuple(x.chunk(count)[rank] for x in inputs_of(layer))
        found[name] = train_layer(layer, inputs, DistributedDataParallel(layer))
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    if sys.argv[1] == "compiled":
        names = sys.argv[3:] or CLASSES
        print(json.dumps(compiled_failures(sys.argv[2], names)))
    else:
        train_in_processes(Path(sys.argv[2]))
