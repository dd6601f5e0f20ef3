"""Models through files: bit for bit, by the Auto classes, in part, and with heads that are new."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fitting import fitting_config
from marks import slow_but
from safetensors import safe_open
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    pipeline,
)

from spinodal.errors import InputError
from spinodal.mixers.entry import Kind
from spinodal.mixers.registry import entries
from spinodal.models import (
    SpinodalConfig,
    SpinodalDecoder,
    SpinodalEncoderDecoder,
    SpinodalForCausalLM,
    SpinodalForMaskedLM,
    SpinodalForSeq2SeqLM,
    SpinodalForSequenceClassification,
    SpinodalForTokenClassification,
    SpinodalModel,
)

VOCABULARY = 30
AUTO = {
    SpinodalModel: AutoModel,
    SpinodalForMaskedLM: AutoModelForMaskedLM,
    SpinodalForSequenceClassification: AutoModelForSequenceClassification,
    SpinodalForTokenClassification: AutoModelForTokenClassification,
}
HEADS = list(AUTO)[1:]
every_class = pytest.mark.parametrize("kind", AUTO, ids=lambda kind: kind.__name__)


SHAPE: dict[str, Any] = dict(vocab_size=VOCABULARY, width=12, depth=2, heads=2, hidden=5, phases=3, length=8)


def config(**changes: Any) -> SpinodalConfig:
    return fitting_config(**SHAPE | changes)


def own(config: PreTrainedConfig) -> dict:
    """The values that this house gave a configuration."""
    return {name: getattr(config, name) for name in [*SpinodalConfig.__annotations__, "num_labels"]}


def ids() -> torch.Tensor:
    return torch.randint(VOCABULARY, (2, 8), generator=torch.Generator().manual_seed(3))


def made(kind: type, **changes: Any):
    """A model with every parameter moved from its start, so that a start cannot pass for what was saved."""
    torch.manual_seed(0)
    model = kind(config(**changes)).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model


def output(model) -> torch.Tensor:
    with torch.no_grad():
        out = model(ids())
    return out.last_hidden_state if isinstance(model, SpinodalModel) else out.logits


@every_class
@pytest.mark.parametrize(
    "shape",
    slow_but(
        [
            dict(),
            dict(mixer="toeplitz", channel="dense", pathway="III", reactions=1, reading="flat"),
            dict(mixer="attention", channel="partition", pathway="II", fused=True, tie_word_embeddings=False),
        ],
        dict(),
    ),
    ids=["default", "dense", "fused and untied"],
)
def test_what_is_loaded_is_what_was_saved_bit_for_bit(kind: type, shape: dict, tmp_path: Path):
    model = made(kind, **shape)
    model.save_pretrained(tmp_path)
    for loader in (kind, AUTO[kind]):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is kind
        assert not loaded.training
        assert own(loaded.config) == own(model.config)
        for (name, there), here in zip(loaded.state_dict().items(), model.state_dict().values(), strict=True):
            assert torch.equal(there, here), name
        assert torch.equal(output(loaded), output(model))


@pytest.mark.parametrize("mixer", slow_but(entries(Kind.TOKEN), "graph", "toeplitz"))
def test_every_mixer_is_loaded_as_it_was_saved(mixer: str, tmp_path: Path):
    for kind, auto, changes in (
        (SpinodalForCausalLM, AutoModelForCausalLM, {}),
        (SpinodalForSeq2SeqLM, AutoModelForSeq2SeqLM, {"encoder_mixer": mixer, "cross": "static"}),
    ):
        model = made(kind, mixer=mixer, source_length=8, **changes)
        model.save_pretrained(tmp_path)
        loaded = auto.from_pretrained(tmp_path)
        source = {"decoder_input_ids": ids()} if kind is SpinodalForSeq2SeqLM else {}
        with torch.no_grad():
            assert torch.equal(loaded(ids(), **source).logits, model(ids(), **source).logits)


def test_no_decoder_is_loaded_as_an_encoder(tmp_path: Path):
    """Its weights would fit, and its tokens would see their future; AutoModel loads it as what it is."""
    networks = {SpinodalForCausalLM: SpinodalDecoder, SpinodalForSeq2SeqLM: SpinodalEncoderDecoder}
    for kind, network in networks.items():
        model = made(kind)
        model.save_pretrained(tmp_path)
        with pytest.raises(InputError, match="AutoModelForCausalLM or AutoModelForSeq2SeqLM"):
            AutoModelForMaskedLM.from_pretrained(tmp_path)
        loaded = AutoModel.from_pretrained(tmp_path)
        assert type(loaded) is network
        assert type(AutoModel.from_config(model.config)) is network
        target = {"decoder_input_ids": ids()} if kind is SpinodalForSeq2SeqLM else {}
        with torch.no_grad():
            assert torch.equal(
                loaded(ids(), **target).last_hidden_state, model.model(ids(), **target).last_hidden_state
            )


def test_unknown_names_are_refused_and_old_ones_are_not(tmp_path: Path):
    with pytest.raises(InputError, match="unknown name phasez in a configuration of spinodal: the names are"):
        config(phasez=3)
    assert config(num_hidden_layers=5, num_labels=3).depth == 5
    made(SpinodalForMaskedLM).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    path.write_text(
        json.dumps(saved | {"quantization_config": None, "torch_dtype": "float32", "use_cache": True})
    )
    assert own(AutoConfig.from_pretrained(tmp_path)) == own(config())


def test_what_another_library_wrote_on_a_configuration_is_kept_with_a_warning(tmp_path: Path):
    for kind in (SpinodalForMaskedLM, SpinodalForCausalLM):
        model = made(kind)
        model.config.trained_on = "shakespeare"
        model.save_pretrained(tmp_path)
        with pytest.warns(UserWarning, match="unknown name trained_on in a saved configuration"):
            loaded = kind.from_pretrained(tmp_path)
        assert loaded.config.trained_on == "shakespeare"
        assert torch.equal(output(loaded), output(model))


def test_a_cache_is_turned_off_on_loading(tmp_path: Path):
    made(SpinodalForCausalLM).save_pretrained(tmp_path)
    assert SpinodalForCausalLM.from_pretrained(tmp_path).config.use_cache
    loaded = SpinodalForCausalLM.from_pretrained(tmp_path, use_cache=False)
    assert loaded(ids()).cache is None


@pytest.mark.slow
def test_importing_the_models_alone_registers_the_auto_classes(tmp_path: Path):
    model = made(SpinodalForMaskedLM)
    model.save_pretrained(tmp_path)
    program = (
        "import sys, spinodal.models, torch\n"
        "from transformers import AutoConfig, AutoModelForMaskedLM\n"
        "print(AutoConfig.from_pretrained(sys.argv[1]).model_type, spinodal.__version__)\n"
        "model = AutoModelForMaskedLM.from_pretrained(sys.argv[1])\n"
        "torch.save(model(torch.arange(8)[None]).logits.detach(), sys.argv[1] + '/logits')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "spinodal"
    assert torch.equal(torch.load(tmp_path / "logits"), model(torch.arange(8)[None]).logits)


def test_configuration_survives_json(tmp_path: Path):
    before = config(
        mixer="toeplitz",
        channel="literal",
        pathway="III",
        reading="feature",
        dropout=0.25,
        mask_token_id=3,
        num_labels=5,
    )
    before.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["channel"]["pathway"] == "III"
    for after in (SpinodalConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert own(after) == own(before)


def test_tied_embeddings_are_one_tensor_saved_once(tmp_path: Path):
    model = made(SpinodalForMaskedLM)
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert [name for name in sorted(file.keys()) if VOCABULARY in file.get_slice(name).get_shape()] == [
            "decoder.bias",
            "model.embedding.weight",
        ]
    for tied in (model, SpinodalForMaskedLM.from_pretrained(tmp_path)):
        assert tied.decoder.weight is tied.model.embedding.weight
        assert tied.get_output_embeddings().weight is tied.get_input_embeddings().weight
    untied = made(SpinodalForMaskedLM, tie_word_embeddings=False)
    assert untied.decoder.weight is not untied.model.embedding.weight


@pytest.mark.parametrize("source", AUTO, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("target", HEADS, ids=lambda kind: kind.__name__)
def test_new_heads_start_as_layers_do_and_leave_the_loaded_body_alone(
    source: type, target: type, tmp_path: Path
):
    """Missing weights are made in memory that nobody has cleared: none of it may be left in place."""
    model = made(source, num_labels=20)
    model.save_pretrained(tmp_path)
    loaded = target.from_pretrained(tmp_path)
    body, kept = (m if isinstance(m, SpinodalModel) else m.model for m in (model, loaded))
    for (name, there), here in zip(kept.state_dict().items(), body.state_dict().values(), strict=True):
        assert torch.equal(there, here), name
    if {source, target} <= set(HEADS[1:]) or source is target:
        return  # the head is loaded as well
    head = loaded.decoder if target is SpinodalForMaskedLM else loaded.score
    bound = head.in_features**-0.5
    fresh = [head.bias] if target is SpinodalForMaskedLM else [head.bias, head.weight]
    for parameter in fresh:
        assert 0.7 * bound < parameter.abs().max() <= bound
    if target is SpinodalForMaskedLM:
        assert head.weight is loaded.model.embedding.weight


def test_a_layer_that_came_in_part_is_completed(tmp_path: Path):
    model = made(SpinodalModel, mixer="toeplitz", channel="dense", length=8)
    state = model.state_dict()
    lost = ["norm.weight", "blocks.1.mixers.0.mixer.filter", "blocks.0.mixers.1.feed.hidden.bias"]
    lost += ["blocks.0.mixers.1.feed.fractions.weight", "blocks.0.mixers.0.convolution.weight"]
    kept = {name: value for name, value in state.items() if name not in lost}
    model.save_pretrained(tmp_path, state_dict=kept)
    loaded = SpinodalModel.from_pretrained(tmp_path)
    found = loaded.state_dict()
    assert all(torch.equal(found[name], value) for name, value in kept.items())
    assert torch.equal(found["norm.weight"], torch.ones(12))
    assert torch.equal(found["blocks.0.mixers.1.feed.hidden.bias"], torch.zeros_like(found[lost[2]]))
    fresh = SpinodalModel(model.config).state_dict()["blocks.1.mixers.0.mixer.filter"]
    assert torch.equal(found["blocks.1.mixers.0.mixer.filter"], fresh)
    for name, inputs in [(lost[3], found[lost[3]].shape[1]), (lost[4], 4)]:
        assert 0.8 * inputs**-0.5 < found[name].abs().max() <= inputs**-0.5


@every_class
def test_embeddings_can_be_resized(kind: type):
    model = made(kind)
    before = model.get_input_embeddings().weight.detach().clone()
    model.resize_token_embeddings(VOCABULARY + 5)
    after = model.get_input_embeddings()
    assert isinstance(after, nn.Embedding)
    assert after.weight.shape == (VOCABULARY + 5, 12)
    assert torch.equal(after.weight[:VOCABULARY], before)
    assert model.config.vocab_size == VOCABULARY + 5
    if kind is SpinodalForMaskedLM:
        assert model(ids() + 5).logits.shape == (2, 8, VOCABULARY + 5)
        assert model.decoder.weight is after.weight


def test_the_library_fills_masks_with_a_saved_model(tmp_path: Path):
    words = {word: i for i, word in enumerate(["<pad>", "<mask>", "to", "be", "or", "not"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", mask_token="<mask>"
    ).save_pretrained(tmp_path)
    model = made(SpinodalForMaskedLM, vocab_size=len(words))
    model.save_pretrained(tmp_path)
    (best,) = pipeline("fill-mask", str(tmp_path))("to be or <mask> to be", top_k=1)
    logits = model(torch.tensor([[2, 3, 4, 1, 2, 3]])).logits[0, 3].softmax(-1)
    assert best["token"] == int(logits.argmax())
    assert best["score"] == pytest.approx(logits.max().item())


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_every_file_of_a_folder_has_the_permissions_of_new_files(tmp_path: Path, mask: int):
    before = os.umask(mask)
    try:
        SpinodalModel(config()).save_pretrained(tmp_path / "one")
        SpinodalModel(config()).save_pretrained(tmp_path / "parts", max_shard_size="5KB")
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in files) > 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~mask}
