"""Saved folders: opened without this library's import, and by pipelines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import ids, model_of
from transformers import AutoModel, AutoModelForQuestionAnswering, pipeline

from spinodal.data import character_tokenizer
from spinodal.models import (
    SpinodalDecoder,
    SpinodalEncoderDecoder,
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForQuestionAnswering,
    SpinodalForSeq2SeqLM,
    SpinodalModel,
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


def test_a_network_without_a_head_opens_as_what_it_was(tmp_path: Path):
    """Whatever flags its configuration came with."""
    for kind in (SpinodalModel, SpinodalDecoder, SpinodalEncoderDecoder):
        flags = {"is_encoder_decoder": kind is SpinodalDecoder, "is_decoder": kind is SpinodalEncoderDecoder}
        model = model_of(kind, **flags)
        model.save_pretrained(tmp_path / kind.__name__)
        loaded = AutoModel.from_pretrained(tmp_path / kind.__name__)
        assert type(loaded) is kind
        more = {"decoder_input_ids": ids()} if kind is SpinodalEncoderDecoder else {}
        assert torch.equal(loaded(ids(), **more)[0], model(ids(), **more)[0])


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
