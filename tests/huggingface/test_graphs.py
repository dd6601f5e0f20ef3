"""Compiled, exported and traced: no mixer asks for a number while its operations are recorded."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from small import TOKEN_MIXERS, ids, model_of

from spinodal.models import SpinodalForCausalLM, SpinodalForMaskedLM

pytestmark = pytest.mark.filterwarnings("ignore")


# What is no single graph, and why
COUNTED = "Could not guard on data-dependent expression"  # the number of training calls is a tensor
SPACE = "non-contiguous `out=` tensor"  # the router writes the products of all blocks into one space
LEVELS, BLOCKS = {"name": "graph", "levels": 2}, {"name": "graph", "block_size": 4, "top_blocks": 1}
BROKEN = {
    f"{LEVELS} in training": COUNTED,
    f"{BLOCKS} in inference": SPACE,
    f"{BLOCKS} in training": SPACE,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["token", "channel", "cross"])
def test_every_mixer_is_one_graph(kind: str):
    """In inference and training, in a process of its own: dynamo cannot record the checks of types."""
    script = __file__.rpartition("/")[0] + "/compiled.py"
    done = subprocess.run([sys.executable, "-W", "ignore", script, kind], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]
    failed: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    assert failed.keys() == (BROKEN.keys() if kind == "token" else set()), failed
    assert all(BROKEN[name] in error for name, error in failed.items()), failed


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("mixer", TOKEN_MIXERS)
def test_an_exported_model_takes_a_mask_and_batches_and_texts_of_any_length(mixer: str):
    model = model_of(SpinodalForCausalLM, mixer=mixer, length=256).requires_grad_(False)
    text = ids()
    mask = torch.ones_like(text)
    mask[0, :3] = 0
    batch, length = torch.export.Dim("batch", max=64), torch.export.Dim("length", min=3, max=250)
    shapes = {name: {0: batch, 1: length} for name in ("input_ids", "attention_mask")}
    inputs = {"input_ids": text, "attention_mask": mask}
    graph = torch.export.export(model, (), inputs, dynamic_shapes=shapes, strict=False).module()
    for b, n in ((2, 12), (5, 200)):
        text, mask = ids(b, n), torch.ones(b, n, dtype=torch.long)
        mask[1, :2] = 0
        found, expected = graph(input_ids=text, attention_mask=mask).logits, model(text, mask).logits
        torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_traced_model_takes_another_length():
    """In a process of its own: sizes are tensors while torch.jit.trace records, which the checks of types refuse."""
    run(
        "model = model_of(SpinodalForCausalLM).requires_grad_(False)\n"
        "traced = torch.jit.trace(lambda x: model(x).logits, ids(), check_trace=False)\n"
        "assert torch.allclose(traced(ids(2, 20)), model(ids(2, 20)).logits, atol=1e-4)\n"
    )


def run(program: str):
    """A program in a fresh process, with the small models."""
    start = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import torch\n"
        "from small import ids, model_of, TOKEN_MIXERS\n"
        "from spinodal.models import SpinodalForCausalLM\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", start + program, __file__.rpartition("/")[0]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]


@pytest.mark.slow
def test_an_export_leaves_nothing_behind_in_a_fresh_process():
    """What is kept between calls must not be made of the symbols of a graph."""
    run(
        "for mixer in TOKEN_MIXERS:\n"
        "    model = model_of(SpinodalForCausalLM, mixer=mixer).requires_grad_(False)\n"
        "    torch.export.export(model, (), {'input_ids': ids()}, strict=False)\n"
        "    model(ids())\n"
    )


@pytest.mark.slow
def test_an_encoder_is_exported_to_onnx(tmp_path):
    model = model_of(SpinodalForMaskedLM).requires_grad_(False)
    program: Any = torch.onnx.export(model, (ids(),), dynamo=True, verbose=False)
    program.save(str(tmp_path / "model.onnx"))
    assert (tmp_path / "model.onnx").stat().st_size > 1000
