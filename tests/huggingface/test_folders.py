"""Saved folders: opened without this library's import, by pipelines, and with adapters of PEFT."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small import ids, model_of
from torch import nn
from transformers import AutoModel, AutoModelForQuestionAnswering, pipeline

from spinodal.data import character_tokenizer
from spinodal.models import (
    SpinodalDecoder,
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForQuestionAnswering,
    SpinodalForSeq2SeqLM,
)

CLASSES = (SpinodalForCausalLM, SpinodalForMaskedLM, SpinodalForSeq2SeqLM)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASSES)
def test_a_folder_opens_where_nobody_imported_the_library(kind: type, tmp_path: Path):
    model = model_of(kind)
    model.save_pretrained(tmp_path / "model")
    auto = {"SpinodalForCausalLM": "CausalLM", "SpinodalForMaskedLM": "MaskedLM"}.get(
        kind.__name__, "Seq2SeqLM"
    )
    program = (
        "import sys, torch, transformers as t\n"
        f"m = t.AutoModelFor{auto}.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "n = t.AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "m.save_pretrained(sys.argv[1] + '-again')\n"
        "print(type(m).__name__, type(n).__name__)\n"
    )
    home = os.environ | {"HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, env=home)
    assert done.returncode == 0, done.stderr[-600:]
    assert done.stdout.split()[0] == kind.__name__
    again = {path.name for path in (tmp_path / "model-again").iterdir()}
    assert again == {path.name for path in (tmp_path / "model").iterdir()}
    shim = (tmp_path / "model" / "modeling_spinodal.py").read_text()
    assert "pip install spinodal" in shim
    assert len(shim.splitlines()) == 3


def test_features_of_a_decoder(tmp_path: Path):
    tokenizer = character_tokenizer(["to be or not to be"])
    model = model_of(SpinodalForCausalLM, vocab_size=len(tokenizer))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (features,) = pipeline("feature-extraction", str(tmp_path))("to be")
    text = torch.tensor([tokenizer("to be")["input_ids"]])
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, SpinodalDecoder)
    with torch.no_grad():
        expected = model.model(text).last_hidden_state[0]
        torch.testing.assert_close(loaded(text).last_hidden_state[0], expected)
    torch.testing.assert_close(torch.tensor(features), expected)


def test_a_model_of_questions_is_loaded(tmp_path: Path):
    model = model_of(SpinodalForQuestionAnswering)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForQuestionAnswering.from_pretrained(tmp_path)
    assert torch.equal(loaded(ids()).start_logits, model(ids()).start_logits)


def test_an_untied_translator_is_resized_whole(tmp_path: Path):
    model = model_of(SpinodalForSeq2SeqLM, tie_word_embeddings=False)
    model.resize_token_embeddings(70)
    model.save_pretrained(tmp_path)
    again = SpinodalForSeq2SeqLM.from_pretrained(tmp_path)
    assert again(ids(), decoder_input_ids=ids()).logits.shape[-1] == 70
    assert again.model.decoder.embedding.weight is not again.model.encoder.embedding.weight


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mixer", ["retention", "gated-linear"])
def test_an_adapter_is_trained_saved_loaded_and_merged(mixer: str, tmp_path: Path):
    peft = pytest.importorskip("peft", reason="adapters need the package peft")
    base = model_of(SpinodalForCausalLM, mixer=mixer)
    for targets in ("all-linear", ["qkv", "out"]):
        model: Any = peft.get_peft_model(
            model_of(SpinodalForCausalLM, mixer=mixer), peft.LoraConfig(target_modules=targets)
        )
        trained = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(trained, lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            model(input_ids=ids(), labels=ids()).loss.backward()
            optimiser.step()
        assert all(p.grad is not None and p.grad.count_nonzero() for p in trained)
        model.eval().save_pretrained(tmp_path / "-".join(targets))
        expected = model(input_ids=ids()).logits
        assert not torch.allclose(expected, base(ids()).logits, atol=1e-3)
        loaded = peft.PeftModel.from_pretrained(
            model_of(SpinodalForCausalLM, mixer=mixer), tmp_path / "-".join(targets)
        ).eval()
        torch.testing.assert_close(loaded(input_ids=ids()).logits, expected)
        merged: nn.Module = loaded.merge_and_unload()
        torch.testing.assert_close(merged(ids()).logits, expected, rtol=1e-4, atol=1e-5)
