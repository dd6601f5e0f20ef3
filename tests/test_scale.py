"""The formulas of docs/scale.md are what small models take, and count the parameters of large ones exactly."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from spinodal.mixers.base import state_size
from spinodal.models import SpinodalForCausalLM

PATH = Path(__file__).parent.parent / "tools" / "scale.py"
SPEC = importlib.util.spec_from_file_location("scale", PATH)
assert SPEC
assert SPEC.loader
scale = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scale)
ARMS = list(scale.ARMS)
PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm}


def small(arm: str, **changes: int):
    return scale.Size(arm, **{"hidden": 40, "width": 64, "depth": 2, "heads": 4, "vocabulary": 512} | changes)


@pytest.mark.parametrize("arm", ARMS)
def test_parameters_are_counted_exactly(arm: str):
    for changes in ({}, {"width": 96, "heads": 8, "depth": 3}, {"hidden": 7, "vocabulary": 301}):
        size = small(arm, **changes)
        assert size.parameters == size.counted()
    large = scale.sized(arm)
    assert large.parameters == large.counted() == pytest.approx(10**9, rel=1e-3)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("context", [128, 512])
def test_operations_are_those_of_the_products_of_a_pass(arm: str, context: int):
    size = small(arm, width=128)
    model = SpinodalForCausalLM(size.config)
    ids = torch.randint(5, size.vocabulary, (1, context))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(input_ids=ids, labels=ids, scored_only=True).loss.backward()
    found = sum(n for kind, n in counter.get_flop_counts()["Global"].items() if kind in PRODUCTS)
    masked = 0 if size.linear else size.depth * 6 * context * size.width  # the kernel multiplies by zeros too
    assert found / context == pytest.approx(size.flops(context) + masked, rel=0.02)


@pytest.mark.parametrize("arm", ARMS)
def test_activations_grow_with_tokens_and_blocks(arm: str):
    size = small(arm, depth=4)
    outside, block = scale.slopes(size)
    found = scale.kept(size, 1792)
    assert found == pytest.approx(1792 * (outside + size.depth * block), rel=0.02)


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("context", [5, 128])
def test_the_state_of_a_sequence_has_its_size(arm: str, context: int):
    size = small(arm)
    model = SpinodalForCausalLM(size.config)
    x = torch.zeros(1, context, size.width)
    blocks: Any = model.model.blocks
    found = sum(state_size(block.extend(x)[1]) for block in blocks)
    counters = found - size.state(context) // 4  # places, and of attention a mask of the tokens
    assert 0 <= counters <= size.depth * (1 if size.linear else context + 6)


def test_processes_reduce_the_bytes_of_every_gradient_once(tmp_path: Path):
    """4 P bytes in the buckets of DDP, of which a ring sends 2 (R - 1) / R; counted where a bucket is handed over."""
    handed = []

    def count(_: None, bucket: distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
        handed.append(bucket.buffer().nbytes)
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    size = small("PET")
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(SpinodalForCausalLM(size.config))
        model.register_comm_hook(None, count)
        ids = torch.randint(5, size.vocabulary, (1, 32))
        model(input_ids=ids, labels=ids).loss.backward()
    finally:
        distributed.destroy_process_group()
    assert sum(handed) == 4 * size.parameters == pytest.approx(size.sent(2, sharded=False), rel=1e-12)
