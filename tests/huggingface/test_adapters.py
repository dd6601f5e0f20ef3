"""Adapters of PEFT: what they adapt where nothing is named, and that they are trained, saved, loaded and merged."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from small import ids, model_of
from torch import nn

from spinodal.mixers import registry
from spinodal.mixers.entry import Kind
from spinodal.models import (
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForQuestionAnswering,
    SpinodalForSeq2SeqLM,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
)
from spinodal.models.adapters import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore")

FEW_PHASES = ("partition", "literal", "dense")  # the phase rule bounds the phases of so small a model
MIXERS = [
    (kind, {part: {"name": name, "phases": 3} if name in FEW_PHASES else name})
    for part, kind, of in (
        ("mixer", SpinodalForCausalLM, Kind.TOKEN),
        ("channel", SpinodalForMaskedLM, Kind.CHANNEL),
        ("cross", SpinodalForSeq2SeqLM, Kind.CROSS),
    )
    for name in registry.entries(of)
]


def loss_of(model: Any) -> torch.Tensor:
    return model(input_ids=ids(), labels=ids()).loss


@pytest.mark.parametrize(("kind", "values"), MIXERS)
def test_the_default_targets_are_the_linear_layers_of_the_blocks(kind: type, values: dict[str, Any]):
    """And each takes part: a layer whose weight is read past its call would leave its adapter without effect."""
    model = model_of(kind, **values, length=ids().shape[1])
    names = {name for name, layer in model.named_modules() if re.fullmatch(TARGETS, name)}
    linear = {name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    assert names == {name for name in linear if ".blocks." in name and ".feed." not in name}
    adapted: Any = peft.get_peft_model(model, peft.LoraConfig(init_lora_weights=False))
    loss_of(adapted).backward()
    found = {
        n.partition(".lora_")[0] for n, p in adapted.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert {name.removeprefix("base_model.model.") for name in found} == names


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        (SpinodalForCausalLM, "CAUSAL_LM"),
        (SpinodalForSeq2SeqLM, "SEQ_2_SEQ_LM"),
        (SpinodalForSequenceClassification, "SEQ_CLS"),
        (SpinodalForTokenClassification, "TOKEN_CLS"),
        (SpinodalForQuestionAnswering, "QUESTION_ANS"),
    ],
)
def test_a_task_of_peft_takes_the_default_targets(kind: type, task: str, tmp_path: Path):
    """A head of classes is trained whole and saved with the adapter."""
    model: Any = peft.get_peft_model(model_of(kind), peft.LoraConfig(task_type=task, init_lora_weights=False))
    model.eval().save_pretrained(tmp_path)
    again: Any = peft.PeftModel.from_pretrained(model_of(kind), tmp_path).eval()
    inputs = {"input_ids": ids()} | ({"decoder_input_ids": ids()} if task == "SEQ_2_SEQ_LM" else {})
    key = "start_logits" if task == "QUESTION_ANS" else "logits"
    with torch.no_grad():
        found = model(**inputs)[key]
        torch.testing.assert_close(again(**inputs)[key], found)
        assert not torch.allclose(model_of(kind)(**inputs)[key], found, atol=1e-2)
    if task in ("SEQ_CLS", "TOKEN_CLS"):
        assert any("score" in name for name, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", ["BOFT", "HIRA", "LOHA", "LOKR", "VERA"])
def test_relatives_of_lora_take_the_same_targets(kind: str):
    config = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType[kind]]()
    model = peft.get_peft_model(model_of(SpinodalForCausalLM), config)
    loss_of(model).backward()
    assert any(p.grad is not None for p in model.parameters())


@pytest.mark.slow
def test_peft_may_be_imported_after_the_model_was_made():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from small import ids, model_of\n"
        "from spinodal.models import SpinodalForCausalLM\n"
        "model = model_of(SpinodalForCausalLM)\n"
        "assert 'peft' not in sys.modules\n"
        "from peft import LoraConfig, get_peft_model\n"
        "get_peft_model(model, LoraConfig())(input_ids=ids(), labels=ids()).loss.backward()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, __file__.rpartition("/")[0]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["retention", "gated-linear"])
@pytest.mark.parametrize("targets", [None, "all-linear", ["qkv", "out"]])
def test_an_adapter_is_trained_saved_loaded_and_merged(mixer: str, targets: Any, tmp_path: Path):
    base = model_of(SpinodalForCausalLM, mixer=mixer)
    chosen = peft.LoraConfig(target_modules=targets)
    model: Any = peft.get_peft_model(model_of(SpinodalForCausalLM, mixer=mixer), chosen)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        loss_of(model).backward()
        optimiser.step()
    assert all(p.grad is not None and p.grad.count_nonzero() for p in trained)
    model.eval().save_pretrained(tmp_path)
    expected = model(input_ids=ids()).logits
    assert not torch.allclose(expected, base(ids()).logits, atol=1e-3)
    again = model_of(SpinodalForCausalLM, mixer=mixer)
    loaded: Any = peft.PeftModel.from_pretrained(again, tmp_path).eval()
    torch.testing.assert_close(loaded(input_ids=ids()).logits, expected)
    merged: nn.Module = loaded.merge_and_unload()
    torch.testing.assert_close(merged(ids()).logits, expected, rtol=1e-4, atol=1e-5)
