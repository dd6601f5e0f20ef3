"""What the hooks keep is what the layers did: against the library's own hidden states, and against arithmetic."""

import pytest
import torch
from small_models import KINDS, inputs_of, small
from torch import nn
from typed import modules

from spinodal.errors import InputError
from spinodal.models import SpinodalConfig, SpinodalForMaskedLM
from spinodal.watch import find_stacks, one_stack, record

LAST_IS_NORMED = {
    "LlamaForCausalLM",
    "GPT2LMHeadModel",
    "T5ForConditionalGeneration",
    "WhisperForConditionalGeneration",
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("Mamba")])
def test_agrees_with_the_library_where_the_library_is_right(kind: str):
    model, inputs = small(kind), inputs_of(kind)
    with torch.no_grad():  # as the probe does: another attention kernel rounds differently
        output = model(**inputs, output_hidden_states=True)
    theirs = output.get("hidden_states") or output.get("encoder_hidden_states")
    ours = record(model, inputs).tokens
    right = len(theirs) - (kind in LAST_IS_NORMED)
    torch.testing.assert_close(ours[:right], torch.stack(theirs[:right]), rtol=0, atol=0)
    assert len(ours) == len(theirs)
    if kind in LAST_IS_NORMED:
        assert not torch.allclose(ours[-1], theirs[-1])


def test_a_decoders_stack_is_chosen_by_name():
    kind = "T5ForConditionalGeneration"
    model, inputs = small(kind), inputs_of(kind)
    assert [(s.name, s.calls) for s in find_stacks(model, inputs)] == [
        ("encoder.block", 3),
        ("decoder.block", 2),
    ]
    theirs = model(**inputs, output_hidden_states=True).decoder_hidden_states
    torch.testing.assert_close(record(model, inputs, layers="decoder").tokens[:2], torch.stack(theirs[:2]))


def test_the_librarys_list_is_shifted_for_mamba_and_ours_is_not():
    kind = "MambaForCausalLM"
    model, inputs = small(kind), inputs_of(kind)
    ours = record(model, inputs).tokens
    x = model.get_input_embeddings()(inputs["input_ids"])
    torch.testing.assert_close(ours[0], x)
    for k, layer in enumerate(modules(model, "backbone.layers")):
        x = layer(x)
        torch.testing.assert_close(ours[k + 1], x)


def test_a_tied_layer_is_iterated_deeper_than_it_was_made_for():
    kind = "AlbertForMaskedLM"
    model, inputs = small(kind), inputs_of(kind)
    stack = one_stack(model, inputs)
    assert (stack.tied, len(stack.modules), stack.calls) == (True, 1, 3)
    model.config.num_hidden_layers = 9
    deep = record(model, inputs).tokens
    assert len(deep) == 10
    layer = stack.modules[0]
    torch.testing.assert_close(deep[9], layer(deep[8], None))
    model.config.num_hidden_layers = 3
    torch.testing.assert_close(record(model, inputs).tokens, deep[:4])


def test_views_are_what_they_are_called():
    kind = "LlamaForCausalLM"
    model, inputs = small(kind), inputs_of(kind)
    stream, read, attention = (
        record(model, inputs, view=view).tokens for view in ("residual", "read", "attention")
    )
    layers = modules(model, "model.layers")
    assert len(stream) == 4
    assert len(read) == len(attention) == 3
    for k, layer in enumerate(layers):
        torch.testing.assert_close(read[k], layer.get_submodule("input_layernorm")(stream[k]))
        middle = stream[k] + attention[k]
        mlp, norm = layer.get_submodule("mlp"), layer.get_submodule("post_attention_layernorm")
        torch.testing.assert_close(stream[k + 1], middle + mlp(norm(middle)))


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "AlbertForMaskedLM"])
def test_a_post_norm_stream_is_what_attention_reads(kind: str):
    model, inputs = small(kind), inputs_of(kind)
    torch.testing.assert_close(record(model, inputs, view="read").tokens, record(model, inputs).tokens[:-1])


def test_our_own_models_are_seen_too():
    model = SpinodalForMaskedLM(SpinodalConfig(vocab_size=50, width=16, depth=3, heads=2, mixer="attention"))
    inputs = {"input_ids": torch.randint(0, 50, (2, 7))}
    theirs = torch.stack(model.eval()(**inputs, output_hidden_states=True).hidden_states)
    ours = record(model, inputs).tokens
    torch.testing.assert_close(ours[: len(theirs) - 1], theirs[:-1])
    torch.testing.assert_close(model.model.norm(ours[-1]), model.model(**inputs).last_hidden_state)


def test_padding_is_told_and_changes_nothing_that_is_valid():
    kind = "BertForMaskedLM"
    model, inputs = small(kind), inputs_of(kind)
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    padded = record(model, inputs | {"attention_mask": mask})
    alone = record(model, {"input_ids": inputs["input_ids"][1:, :4]})
    assert padded.valid.sum(1).tolist() == [7, 4]
    torch.testing.assert_close(padded.tokens[:, 1:, :4], alone.tokens)


def test_a_mask_of_finer_steps_is_read_at_the_tokens_steps():
    kind = "WhisperForConditionalGeneration"
    mask = torch.ones(2, 20, dtype=torch.long)
    mask[0, 12:] = 0
    found = record(small(kind), inputs_of(kind) | {"attention_mask": mask})
    assert found.valid.sum(1).tolist() == [6, 10]


def test_a_plain_torch_model_is_seen():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    x = torch.randn(2, 5, 16)
    tokens = record(model, {"src": x}).tokens
    torch.testing.assert_close(tokens[0], x)
    torch.testing.assert_close(tokens[-1], model(x))


class _Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x):
        for k, layer in enumerate(self.layers):
            x = layer(x) / (0 if k == 1 else 1)
        return x


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (nn.Linear(4, 4), {}, "no recognisable layers"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), {"layers": "third"}, "no one stack 'third'"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), {"view": "read"}, "has no attention"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), {"view": "normed"}, "one of residual, read, attention"),
        (_Broken(), {}, "what layer 3 returns is not finite"),
    ],
)  # fmt: skip
def test_refusals(model: nn.Module, options: dict, said: str):
    with pytest.raises(InputError, match=said):
        record(model, {"x" if isinstance(model, _Broken) else "input": torch.randn(1, 3, 4)}, **options)


def test_nothing_stays_behind():
    kind = "BertForMaskedLM"
    model = small(kind).train()
    record(model, inputs_of(kind))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
