"""Layers in other people's loops: autocast, activation checkpoints, torch.compile and DDP."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from layer_cases import CLASSES, TOKENS, WIDTH, build_layer, inputs_of, train_layer
from torch.utils.checkpoint import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:the literal parameterisation")
SCRIPT = Path(__file__).parent / "elsewhere.py"


def script(*arguments: str, processes: int = 1) -> str:
    """What the script prints, run in so many processes."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*(start if processes > 1 else []), str(SCRIPT), *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    environment |= {"PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_layer_trains_under_autocast_as_in_float32():
    for name in CLASSES:
        layer, cast = build_layer(name), build_layer(name)
        inputs = inputs_of(layer)
        *losses, gradient = train_layer(layer, inputs, layer)
        *others, rounded = train_layer(cast, inputs, torch.autocast("cpu", dtype=torch.bfloat16)(cast))
        torch.testing.assert_close(losses, others, rtol=0.01, atol=0)
        assert losses[2] < losses[0], name
        if name != "LiteralPartition":  # near a pole no gradient has digits
            assert (rounded - gradient).norm() < 0.1 * gradient.norm(), name


def test_a_batch_without_samples_gives_one_without_samples():
    for name in CLASSES:
        layer = build_layer(name)
        assert layer(*(x[:0] for x in inputs_of(layer))).shape == (0, TOKENS, WIDTH), name


def test_activation_checkpoints_change_no_bit():
    for name in CLASSES:
        layer, other = build_layer(name, causal=True), build_layer(name, causal=True)
        inputs = inputs_of(layer)
        expected = train_layer(layer, inputs, layer)
        found = train_layer(other, inputs, partial(checkpoint, other, use_reentrant=False))
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True)), name


@pytest.mark.slow
def test_every_layer_is_one_graph_and_trains_compiled():
    assert json.loads(script("compiled", "aot_eager").splitlines()[-1]) == {}


@pytest.mark.slow
def test_layers_train_compiled_to_machine_code():
    few = ("Retention", "PhaseMemory", "PhaseCompetition")
    assert json.loads(script("compiled", "inductor", *few).splitlines()[-1]) == {}


@pytest.mark.slow
def test_every_layer_trains_in_two_processes_as_in_one(tmp_path: Path):
    """Losses of the halves average to that of the whole, and both processes have its gradient."""
    script("processes", str(tmp_path), processes=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name in CLASSES:
        layer = build_layer(name)
        *losses, gradient = train_layer(layer, inputs_of(layer), layer)
        for k, loss in enumerate(losses):
            torch.testing.assert_close((first[name][k] + second[name][k]) / 2, loss, rtol=1e-4, atol=0)
        assert torch.equal(first[name][3], second[name][3]), name
        torch.testing.assert_close(first[name][3], gradient, rtol=1e-3, atol=1e-6)
