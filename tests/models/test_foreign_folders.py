"""Nothing that comes with a folder is run: neither its code nor its pickles, ours included; one line says why."""

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from small_models import small
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from spinodal.errors import InputError
from spinodal.inference import load_model
from spinodal.models import SpinodalConfig, SpinodalForCausalLM
from spinodal.models.remote_code import FILE
from spinodal.watch import open_model

PROOF = "open({!r}, 'w').write('this code was run')\n"


def stranger(folder: Path, proof: Path, *, model_type: str = "stranger") -> Path:
    """A folder whose configuration names code that lies in it."""
    folder.mkdir()
    auto_map = {
        "AutoConfig": "theirs.Config",
        "AutoModelForCausalLM": "theirs.Model",
        "AutoModel": "theirs.Model",
    }
    config = {"model_type": model_type, "auto_map": auto_map, "architectures": ["StrangerForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "theirs.py").write_text(PROOF.format(str(proof)))
    return folder


@pytest.mark.parametrize("answer", ["y", None])
def test_a_folder_with_code_is_refused_in_one_line_and_asks_nothing(tmp_path, monkeypatch, answer):
    asked = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or answer or "n")
    folder, proof = stranger(tmp_path / "theirs", tmp_path / "proof"), tmp_path / "proof"
    PreTrainedTokenizerFast(tokenizer_object=_words()).save_pretrained(folder)
    for opened in (open_model, lambda place: load_model(place, "ForCausalLM")):
        with pytest.raises(InputError, match="code that comes with it, which is never run") as caught:
            opened(folder)
        assert "\n" not in str(caught.value)
    assert not asked
    assert not proof.exists()


def test_our_own_folders_open_by_the_installed_classes(tmp_path):
    model = SpinodalForCausalLM(SpinodalConfig(vocab_size=20, width=16, depth=1, heads=2))
    model.save_pretrained(tmp_path / "ours")
    proof = tmp_path / "proof"
    (tmp_path / "ours" / FILE).write_text(PROOF.format(str(proof)))
    PreTrainedTokenizerFast(tokenizer_object=_words()).save_pretrained(tmp_path / "ours")
    assert type(open_model(tmp_path / "ours").model) is SpinodalForCausalLM
    assert type(load_model(tmp_path / "ours", "ForCausalLM")[0]) is SpinodalForCausalLM
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path / "ours")) is SpinodalForCausalLM
    assert not proof.exists()


def _words():
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))


class Harm:
    """A pickle of this writes a file when it is read."""

    def __init__(self, proof: Path):
        self.proof = str(proof)

    def __reduce__(self):
        return (eval, (PROOF.format(self.proof).strip(),))


@pytest.mark.parametrize("form", ["whole", "torch", "cut"])
def test_pickles_that_hold_more_than_arrays_are_refused_in_one_line(tmp_path, form: str):
    model, proof = small("LlamaForCausalLM"), tmp_path / "proof"
    model.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").unlink()
    weights = tmp_path / "theirs" / "pytorch_model.bin"
    if form == "whole":
        weights.write_bytes(pickle.dumps({"weight": Harm(proof)}, protocol=2))
    else:
        torch.save({"weight": Harm(proof)} if form == "torch" else model.state_dict(), weights)
    if form == "cut":
        weights.write_bytes(weights.read_bytes()[:200])
        assert not zipfile.is_zipfile(weights)
    with pytest.raises(InputError, match="cannot be opened as a model") as caught:
        open_model(tmp_path / "theirs")
    assert "\n" not in str(caught.value)
    assert not proof.exists()
