"""Models that others trained: what is fetched is what was trained, and real tokens are seen in it."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel

from spinodal.data import fetch_model
from spinodal.data.ctranslate2 import variables
from spinodal.data.pinned_models import write_checksums
from spinodal.errors import InputError
from spinodal.recipes.o1_albert import REACTIONS
from spinodal.watch import Question, observe_model, open_model, record, text_batches
from spinodal.watch.effect import loss

LINE = "It is a tale told by an idiot, full of sound and fury, signifying nothing."


def test_the_trained_albert_knows_chemistry_and_its_random_null_does_not():
    """Its loss on masked atoms of reactions is far below that of guessing among its 591 tokens."""
    subject = open_model(fetch_model("rxnmapper"), name="rxnmapper")
    batches = text_batches(subject, REACTIONS[:8])
    own = loss(subject, batches[0], 0)
    assert own is not None
    assert own < 1.0 < np.log(591)
    assert "".join(subject.tokenizer.tokenize("C[C@H](Cl)Br>>c1%12")) == "C[C@H](Cl)Br>>c1%12"
    assert subject.tokenizer.tokenize("C[C@H](Cl)Br>>")[:5] == ["C", "[C@H]", "(", "Cl", ")"]


@pytest.mark.slow
def test_the_trained_albert_iterated_stays_apart_where_random_weights_collapse():
    subject = open_model(fetch_model("rxnmapper"), depth=36)
    result = observe_model(subject, text_batches(subject, REACTIONS[:3]), Question(nulls=("random-weights",)))
    null = result.nulls["random-weights"].layers[-1]
    assert result.layers[-1].mean_cosine < 0.4
    assert null.mean_cosine > 0.9
    assert result.stack.tied


def test_hooks_agree_with_the_trained_models_own_hidden_states():
    subject = open_model(fetch_model("rxnmapper"))
    [batch] = text_batches(subject, REACTIONS[:2])
    with torch.no_grad():
        theirs = subject.model(**batch, output_hidden_states=True).hidden_states
    torch.testing.assert_close(record(subject.model, batch).tokens, torch.stack(theirs), rtol=0, atol=0)


@pytest.mark.slow
def test_minilm_is_observed_and_agrees_with_its_hidden_states():
    subject = open_model(fetch_model("minilm"), name="minilm")
    [batch] = text_batches(subject, [LINE, "To be or not to be."])
    model = AutoModel.from_pretrained(fetch_model("minilm")).eval()
    with torch.no_grad():
        theirs = model(**batch, output_hidden_states=True).hidden_states
    torch.testing.assert_close(record(subject.model, batch).tokens, torch.stack(theirs), rtol=0, atol=0)
    layers = observe_model(subject, [batch], Question()).layers
    assert layers[0].mean_cosine < layers[-1].mean_cosine < 0.6


@pytest.mark.slow
def test_whisper_writes_something_for_silence():
    subject = open_model(fetch_model("whisper-base"))
    sound = torch.zeros(1, 80, 3000)
    out = record(
        subject.model, {"input_features": sound, "decoder_input_ids": torch.tensor([[50258, 50259]])}
    )
    assert out.tokens.shape == (7, 1, 1500, 512)


def test_variables_of_a_file_are_read():
    x = np.arange(6, dtype=np.float16).reshape(2, 3)
    name = lambda text: struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
    raw = struct.pack("<I", 6) + name("Spec") + struct.pack("<II", 3, 2)
    raw += name("flag") + struct.pack("<BBI", 0, 1, 1) + b"\1"
    raw += name("layer/weight") + struct.pack("<BIIBI", 2, 2, 3, 4, 12) + x.tobytes()
    found = variables(raw)
    assert list(found) == ["layer/weight"]
    assert np.array_equal(found["layer/weight"].numpy(), x)
    with pytest.raises(InputError, match="version 6"):
        variables(b"\5" + raw[1:])


def test_a_name_that_is_not_known_is_told_what_is():
    with pytest.raises(InputError, match="did you mean 'minilm'"):
        fetch_model("minilmm")


def test_the_weights_of_a_built_model_have_the_permissions_of_its_other_files(tmp_path: Path):
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    write_checksums(tmp_path)
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes["model.safetensors"] == modes["checksums.json"]
