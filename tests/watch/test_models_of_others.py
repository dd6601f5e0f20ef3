"""Models as others build them: which axis is the batch, what is the stream, and refusals with their reason."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from marks import slow_but
from small_architectures import inputs_of_architecture, small_architecture
from small_models import inputs_of, small
from torch import Tensor, nn

from spinodal.errors import InputError
from spinodal.types import Trajectory
from spinodal.watch import (
    Observation,
    ObservationResult,
    Question,
    Subject,
    find_stacks,
    loss,
    observe,
    observe_arrays,
    observe_model,
    record,
    source_named,
    unlike,
)
from spinodal.watch.sources import lines_of


class Own(nn.Module):
    """torch's encoder as it is by default, sequence first, inside a model whose inputs are batch first."""

    def __init__(self, **options: Any):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(32, 4, 48, dropout=0.0, **options)
        self.embed, self.encoder = nn.Embedding(60, 32), nn.TransformerEncoder(layer, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.encoder(self.embed(input_ids).transpose(0, 1)).transpose(0, 1)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("n", [12, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_a_sequence_first_encoder_is_two_texts_of_their_tokens(n: int, masked: bool):
    model, ids = Own().eval(), torch.randint(3, 60, (2, n))
    found = record(model, {"input_ids": ids} | ({"attention_mask": torch.ones_like(ids)} if masked else {}))
    assert found.tokens.shape == (4, 2, n, 32)
    torch.testing.assert_close(found.tokens[0], model.embed(ids).detach())
    torch.testing.assert_close(found.tokens[-1], model(ids).detach())


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_an_encoder_that_is_given_the_sequence_first_is_too():
    model = Own().eval().encoder
    assert record(model, {"src": torch.randn(12, 2, 32)}).tokens.shape == (4, 2, 12, 32)


class _TurnsInside(nn.Module):
    """A layer that takes texts first, and turns them for an attention that takes the sequence first."""

    def __init__(self):
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(32, 4), nn.LayerNorm(32)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x).transpose(0, 1)
        return x + self.attention(y, y, y, need_weights=False)[0].transpose(0, 1)


@pytest.mark.parametrize("n", [12, 2])
def test_a_layer_that_turns_its_tokens_for_its_attention_is_texts_first(n: int):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(60, 32), nn.Sequential(*(_TurnsInside() for _ in range(3)))).eval()
    ids = torch.randint(3, 60, (2, n))
    found = record(model, {"input": ids})
    assert found.tokens.shape == (4, 2, n, 32)
    torch.testing.assert_close(found.tokens[0], model[0](ids).detach())


@pytest.mark.parametrize("n", [12, 2])
def test_xlnets_batch_is_the_inputs(n: int):
    from transformers import XLNetConfig, XLNetModel

    torch.manual_seed(0)
    model = XLNetModel(XLNetConfig(vocab_size=60, d_model=32, n_layer=3, n_head=4, d_inner=48)).eval()
    ids = torch.randint(3, 60, (2, n))
    found = record(model, {"input_ids": ids})
    assert found.tokens.shape == (4, 2, n, 32)
    torch.testing.assert_close(found.tokens[0], model.word_embedding(ids).detach())


@pytest.mark.parametrize("kind", ["xlm", "flaubert"])
def test_a_list_inside_a_layer_is_no_stream(kind: str):
    model = small_architecture(kind)
    inputs = inputs_of_architecture(model)
    assert find_stacks(model, inputs) == []
    with pytest.raises(InputError, match="call 2 does not receive what call 1 returned"):
        record(model, inputs)
    with pytest.raises(InputError, match="not layers that follow one another"):
        record(model, inputs, layers="attentions")


class _Packed(nn.Module):
    """Three texts as one sequence."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(0, 1)[None]
        for layer in self.layers:
            y = layer(y)
        return y


def test_tokens_without_the_inputs_batch_are_refused():
    with pytest.raises(InputError, match="no axis of the tokens is the inputs'"):
        record(_Packed(), {"x": torch.randn(3, 5, 4)})


def test_frames_are_kept_where_a_layer_adds_in_place():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(_InPlace() for _ in range(2))

        def forward(self, x):
            x = x.clone()
            for layer in self.layers:
                x = layer(x)
            return x

    class _InPlace(nn.Module):
        def forward(self, x):
            x += 1
            return x

    x = torch.randn(1, 3, 4)
    found = record(Adds(), {"x": x}).tokens
    torch.testing.assert_close(found, torch.stack([x, x + 1, x + 2]))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_padding_of_torchs_encoder_is_padding_and_nothing_is_nested():
    model = Own(batch_first=True).eval().encoder
    x = torch.randn(2, 5, 32)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    found = record(model, {"src": x, "src_key_padding_mask": padding})
    assert found.valid.sum(1).tolist() == [5, 3]
    alone = record(model, {"src": x[1:, :3]})
    torch.testing.assert_close(found.tokens[:, 1:, :3], alone.tokens)


@pytest.mark.parametrize(
    "kind",
    slow_but(
        [
            "olmo2",
            "granite",
            "gpt_neox",
            "gemma3_text",
            "bert",
            "dinov2",
            "llama",
            "t5",
            "opt",
            "roberta-prelayernorm",
        ],
        "granite",
        "bert",
        "dinov2",
        "llama",
    ),
)
def test_attention_and_mlp_are_what_is_added_to_the_stream(kind: str):
    model = small_architecture(kind)
    inputs = inputs_of_architecture(model)
    stream = record(model, inputs).tokens
    attention, mlp = (record(model, inputs, view=view).tokens for view in ("attention", "mlp"))
    assert len(attention) == len(mlp) == 3
    if kind != "bert":
        torch.testing.assert_close(stream[:-1] + attention + mlp, stream[1:], atol=1e-4, rtol=1e-4)
        return
    for k, layer in enumerate(find_stacks(model, inputs)[0].modules):
        inner, outer = (layer.get_submodule(f"{name}.LayerNorm") for name in ("attention.output", "output"))
        torch.testing.assert_close(outer(inner(stream[k] + attention[k]) + mlp[k]).detach(), stream[k + 1])


def test_a_granite_adds_its_attention_times_its_multiplier():
    model = small_architecture("granite")
    model.get_submodule("layers.0").residual_multiplier = 0.25  # type: ignore[assignment]
    inputs = inputs_of_architecture(model)
    outputs = []
    hook = model.get_submodule("layers.0.self_attn").register_forward_hook(
        lambda m, a, y: outputs.append(y[0])
    )
    found = record(model, inputs, view="attention").tokens[0]
    hook.remove()
    torch.testing.assert_close(found, 0.25 * outputs[0])


def test_one_frame_is_refused_with_its_reason():
    x = torch.randn(1, 1, 4, 3)
    with pytest.raises(InputError, match="holds one frame"):
        observe_arrays("made", Trajectory(torch.zeros(1), x, torch.ones(1, 4, dtype=torch.bool)), Question())


@pytest.mark.parametrize("kind", slow_but(["deit", "beit", "vit_mae"], "deit"))
def test_class_tokens_that_start_at_zero_have_a_null(kind: str):
    model = small_architecture(kind)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "token" in name or "position" in name:
                p.normal_()
    found = observe_model(Subject(kind, model, None), [inputs_of_architecture(model)], Question(beta=1.0))
    assert set(found.nulls) == {"random-weights", "shuffled-tokens"}


def test_longformers_own_padding_is_padding():
    from transformers import LongformerConfig, LongformerModel

    model = LongformerModel(
        LongformerConfig(
            vocab_size=60, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
            attention_window=8, max_position_embeddings=64,
        )
    ).eval()  # fmt: skip
    ids = torch.randint(3, 60, (2, 12))
    found = record(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    assert found.tokens.shape[2] == 16
    assert found.valid.sum(1).tolist() == [12, 12]


class _Tokenizer:
    unk_token_id, unk_token, all_special_ids, mask_token_id = 7, "[UNK]", [], 8

    def decode(self, ids: list[int]) -> str:
        return "x"


def test_an_unknown_text_is_said_to_be_one_in_the_first_line():
    model, ids = small("BertForMaskedLM"), torch.randint(9, 50, (1, 32))
    said = observed(model, ids).summary[0]
    assert "UNK" not in said
    ids[0, 1:31] = 7
    said = observed(model, ids).summary[0]
    assert said.startswith("30 of 32 tokens are [UNK]")


def observed(model: nn.Module, ids: Tensor, **options: Any) -> ObservationResult:
    subject = Subject("bert", model, _Tokenizer(), **options)
    return observe_model(subject, [{"input_ids": ids}], Question(beta=1.0, nulls=()))


def test_a_fresh_head_has_no_loss_of_the_models_own(tmp_path: Path):
    from transformers import BertModel

    from spinodal.watch import open_model

    model = small("BertForMaskedLM")
    model.bert.save_pretrained(tmp_path)  # type: ignore[operator]
    assert isinstance(open_model(tmp_path).model, BertModel)
    config = model.config
    config.architectures = ["BertForMaskedLM"]
    config.save_pretrained(tmp_path)
    opened = open_model(tmp_path)
    assert type(opened.model).__name__ == "BertForMaskedLM"
    assert opened.fresh
    inputs = inputs_of("BertForMaskedLM")
    subject = opened._replace(tokenizer=_Tokenizer())
    assert loss(subject, inputs, 0) is None
    assert loss(subject._replace(fresh=()), inputs, 0) is not None
    said = observe_model(subject, [inputs], Question(beta=1.0, nulls=())).summary[0]
    assert said.startswith("The head is not trained")


def test_different_betas_and_inputs_are_said_to_be():
    x = np.random.default_rng(0).standard_normal((3, 1, 6, 4))
    way = Trajectory(torch.arange(3.0), torch.from_numpy(x), torch.ones(1, 6, dtype=torch.bool))
    a, b = (observe_arrays("made", way, Question(beta=beta)) for beta in (1.0, 2.0))
    assert unlike({"a": a, "also": a}) == []
    [said] = unlike({"a": a, "b": b})
    assert "a 1, b 2" in said
    texts = [{"config": {"source": {"inputs": {"lines": [line]}}}} for line in ("one", "two")]
    [said] = unlike({"a": a, "also": a}, dict(zip("ab", texts, strict=True)))
    assert "different inputs" in said


def test_lines_end_where_an_editor_has_them_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "lines.txt"
    file.write_bytes("\ufeffone\u2028still one\x0cand on\r\ntwo\rthree\n\n".encode())
    expected = ("one\u2028still one\x0cand on", "two", "three")
    assert lines_of(str(file)) == expected
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffone\ntwo\n"))
    assert lines_of("-") == ("one", "two")


@pytest.mark.parametrize("name", ["nofile.txt", "my notes.txt", "/tmp/no/such/thing", "./none", "~/notes"])
def test_a_path_that_does_not_exist_is_no_text(name: str):
    with pytest.raises(InputError, match="there is no such file"):
        lines_of(name)


@pytest.mark.parametrize(
    "text", ["To be or not", "CC(=O)O.OCC>>CC(=O)OCC", "C/C=C/C", "yes/no", "e.g. this."]
)
def test_a_text_is_a_text(text: str):
    assert lines_of(text) == (text,)


@pytest.mark.filterwarnings("ignore")
def test_wavlm_is_observed_and_what_its_attention_reads_is_refused():
    from transformers import WavLMConfig, WavLMModel

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
        "conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    }  # fmt: skip
    subject = Subject("wavlm", WavLMModel(WavLMConfig(**sizes)).eval(), None)
    inputs = {"input_values": torch.randn(2, 200)}
    seen = observe_model(subject, [inputs], Question(nulls=()))
    assert len(seen.layers) == 4
    assert "WavLMAttention computes its attention in its own code" in seen.attention_reason
    with pytest.raises(InputError, match="no tokens"):
        observe_model(subject, [inputs], Question(view="read", nulls=()))


def _picture(folder: Path) -> Path:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "seen.png")
    return folder / "seen.png"


@pytest.mark.filterwarnings("ignore")
def test_a_picture_is_observed_and_of_clip_the_vision_tower(tmp_path: Path):
    from transformers import CLIPConfig, CLIPModel, ViTImageProcessorPil

    sides = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    }  # fmt: skip
    text = sides | {"vocab_size": 60, "max_position_embeddings": 64}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=sides | {"image_size": 16, "patch_size": 4}))
    model.save_pretrained(tmp_path / "clip")
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "clip")
    question = Question(beta=1.0)
    source = source_named(str(tmp_path / "clip"), image=_picture(tmp_path))
    seen = observe(Observation(source, question))
    assert seen.architecture == "CLIPVisionModel"
    assert (seen.inputs, seen.tokens, len(seen.layers)) == (1, 17, 4)
    assert set(seen.nulls) == {"random-weights", "shuffled-tokens"}


def test_what_is_no_picture_is_refused(tmp_path: Path):
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(InputError, match="is no picture"):
        source_named("any", image=tmp_path / "no.png")
    with pytest.raises(InputError, match="a model reads one thing"):
        source_named("any", image=_picture(tmp_path), text="and this")


def test_rwkvs_list_is_shifted_and_ours_is_not():
    """The library's k-th entry is what layer k returned, ours what it received: docs/observe.md."""
    model = small_architecture("rwkv")
    inputs = inputs_of_architecture(model)
    ours = record(model, inputs).tokens
    embed = cast(Any, model).get_input_embeddings()
    torch.testing.assert_close(ours[0], embed(inputs["input_ids"]).detach())
    with torch.no_grad():
        theirs = model(**inputs, output_hidden_states=True).hidden_states
    torch.testing.assert_close(theirs[0], ours[1])
