"""What a model is given: texts and paths, sound for encoders alone, and folders that cannot be opened as they are."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.io import wavfile
from small_models import SMALL, inputs_of, small
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMModel,
    XLNetConfig,
    XLNetModel,
)

from spinodal.errors import InputError
from spinodal.watch import (
    Observation,
    Question,
    Sound,
    TrainedModel,
    observe,
    open_model,
    sound_of,
    source_named,
    text_batches,
)
from spinodal.watch.sound import RATE
from spinodal.watch.sources import lines_of


@pytest.mark.parametrize(
    "name", ["nowhere/lines.dat", "a/b.txt.gz", "none.txt.gz", "none.py", "notes.docx", "nowhere/", "none.ndjson"]
)  # fmt: skip
def test_what_is_written_like_a_path_is_no_text(name: str):
    with pytest.raises(InputError, match="there is no such file"):
        lines_of(name)


@pytest.mark.parametrize("text", ["F/C=C/F", "yes/no", "and/or not", "CCO.CC", "and so on."])
def test_a_text_with_strokes_and_stops_is_a_text(text: str):
    assert lines_of(text) == (text,)


def test_a_folder_is_no_text(tmp_path: Path):
    with pytest.raises(InputError, match="is a folder"):
        lines_of(str(tmp_path))


def test_json_lines_are_their_texts(tmp_path: Path):
    file = tmp_path / "lines.jsonl"
    file.write_text('{"text": "to be"}\n{"text": "or not"}\n')
    assert lines_of(str(file)) == ("to be", "or not")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_standard_input_is_decoded_as_a_file_is(encoding: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("é\r\ntwo".encode(encoding)), "ascii"))
    assert lines_of("-") == ("é", "two")


def test_standard_input_that_is_no_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the \xff cat"), "utf-8"))
    with pytest.raises(InputError, match="standard input is not UTF-8 text"):
        lines_of("-")


def words(folder: Path) -> Path:
    """A tokenizer of four words."""
    tokenizer = Tokenizer(models.WordLevel({"to": 0, "be": 1, "or": 2, "not": 3}, unk_token="not"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_an_encoder_of_sound_is_observed_by_its_name(rate: int, tmp_path: Path):
    sizes: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
        "conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 4), "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
    }  # fmt: skip
    torch.manual_seed(0)
    WavLMModel(WavLMConfig(**sizes)).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=rate).save_pretrained(tmp_path)
    wave = np.random.default_rng(0).standard_normal(2000)
    seen = observe(Observation(TrainedModel(str(tmp_path), Sound(wave)), Question(beta=1.0, nulls=())))
    assert (seen.architecture, len(seen.layers)) == ("WavLMModel", 4)
    assert seen.tokens == {16_000: 99, 8_000: 49}[rate]


def test_a_limit_of_minus_one_is_none(tmp_path: Path):
    torch.manual_seed(0)
    XLNetModel(XLNetConfig(vocab_size=8, d_model=16, n_layer=2, n_head=2, d_inner=16)).save_pretrained(
        tmp_path
    )
    [batch] = text_batches(open_model(words(tmp_path)), ["to be or not"])
    assert batch["input_ids"].tolist() == [[0, 1, 2, 3]]


def llama(folder: Path) -> Path:
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SMALL)).save_pretrained(folder)
    return words(folder)


def change(folder: Path, file: str = "config.json", **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("name", ["flash_attention_2", "kernels-community/flash-attn"])
def test_attention_code_that_a_folder_asks_for_is_not_taken(name: str, tmp_path: Path):
    llama(tmp_path)
    own: Any = open_model(tmp_path).model
    change(tmp_path, attn_implementation=name)
    opened: Any = open_model(tmp_path).model
    assert opened.config._attn_implementation == own.config._attn_implementation
    inputs = inputs_of("LlamaForCausalLM")
    assert torch.equal(opened(**inputs).logits, own(**inputs).logits)
    change(tmp_path, attn_implementation="spinodal_beta:2")
    opened = open_model(tmp_path).model
    assert opened.config._attn_implementation == "spinodal_beta:2"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "optimum"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"hidden_size": 32}, "other shapes"),
        ({"hidden_act": "none such"}, "none such"),
    ],
)
def test_a_folder_that_cannot_be_opened_says_so_in_one_line(values: dict[str, Any], why: str, tmp_path: Path):
    change(llama(tmp_path), **values)
    with pytest.raises(InputError, match=why) as caught:
        open_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_cannot_be_read_says_why(tmp_path: Path):
    llama(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"it reads no text \(.+\)"):
        text_batches(open_model(tmp_path), ["to be"])


@pytest.mark.parametrize(
    ("lost", "refused"), [("model.embed_tokens", True), ("model.norm", False), ("lm_head", False)]
)
def test_a_stream_of_random_weights_is_refused(lost: str, *, refused: bool, tmp_path: Path):
    weights = load_file(llama(tmp_path) / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(lost)}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    asked = Observation(source_named(str(tmp_path), text="to be or not"), Question(beta=1.0, nulls=()))
    if refused:
        with pytest.raises(InputError, match=f"its files have no {lost}"):
            observe(asked)
    else:
        assert observe(asked).summary[0].startswith("The head is not trained")


def test_a_base_model_without_its_pooler_is_observed(tmp_path: Path):
    model: Any = small("BertForMaskedLM")
    model.bert.save_pretrained(words(tmp_path))
    seen = observe(
        Observation(source_named(str(tmp_path), text="to be or not"), Question(beta=1.0, nulls=()))
    )
    assert seen.architecture == "BertModel"


def test_sound_of_eight_bits_is_that_of_sixteen(tmp_path: Path):
    wave = np.round(100 * np.sin(np.arange(800) / 9))
    wavfile.write(tmp_path / "8.wav", RATE, (wave + 128).astype(np.uint8))
    wavfile.write(tmp_path / "16.wav", RATE, (256 * wave).astype(np.int16))
    assert sound_of(tmp_path / "8.wav") == pytest.approx(sound_of(tmp_path / "16.wav"), abs=1e-12)
