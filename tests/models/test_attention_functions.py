"""Attention functions: attention itself where they must be, masks kept to the last digit, and silence refused."""

from typing import Any

import pytest
import torch
from small_architectures import inputs_of_architecture, small_architecture
from small_models import inputs_of, small
from transformers import Gemma2Config, Gemma2ForCausalLM, GptOssConfig, GptOssForCausalLM

from spinodal.errors import InputError
from spinodal.models import (
    INTERACTIONS,
    SinFlow,
    Temperature,
    Threshold,
    Unnormalised,
    interaction,
    replaced_attention,
)

FAMILIES = [
    "BertForMaskedLM",
    "LlamaForCausalLM",
    "GPT2LMHeadModel",
    "T5ForConditionalGeneration",
    "WhisperForConditionalGeneration",
]
ITSELF = [Temperature(), Threshold(1e9)]


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("what", ITSELF, ids=lambda w: w.name)
def test_the_neutral_parameter_is_the_models_own_attention(kind: str, what):
    model, inputs = small(kind), inputs_of(kind)
    own = logits(model, inputs)
    with replaced_attention(model, what, inputs) as calls:
        torch.testing.assert_close(logits(model, inputs), own, atol=1e-5, rtol=1e-4)
        assert calls.count >= 6  # three layers at least, twice
    torch.testing.assert_close(logits(model, inputs), own, atol=0, rtol=0)


@pytest.mark.parametrize("name", INTERACTIONS)
def test_causal_masks_leak_nothing(name: str):
    kind = "LlamaForCausalLM"
    model, inputs = small(kind), inputs_of(kind)
    other = {"input_ids": inputs["input_ids"].clone()}
    other["input_ids"][:, -1] = 4
    with replaced_attention(model, INTERACTIONS[name](), inputs):
        a, b = logits(model, inputs), logits(model, other)
    torch.testing.assert_close(a[:, :-1], b[:, :-1], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(a[:, -1], b[:, -1])


@pytest.mark.parametrize("name", INTERACTIONS)
def test_padding_changes_nothing_that_is_valid(name: str):
    kind = "BertForMaskedLM"
    model, inputs = small(kind), inputs_of(kind)
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 4:] = 0
    with replaced_attention(model, INTERACTIONS[name](), inputs):
        padded = logits(model, inputs | {"attention_mask": mask})
        alone = logits(model, {"input_ids": inputs["input_ids"][1:, :4]})
    torch.testing.assert_close(padded[1:, :4], alone, atol=1e-5, rtol=1e-4)


def test_weights_are_their_definitions():
    torch.manual_seed(0)
    e = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    allowed = torch.ones(5, 5, dtype=torch.bool).tril()[None, None]
    most = e.abs() + 1
    usa = Unnormalised(2.0).weights(e, most, allowed)
    near = Threshold(0.7).weights(e, most, allowed)
    for h in range(2):
        for i in range(5):
            row = e[0, h, i, : i + 1]
            torch.testing.assert_close(
                usa[0, h, i, : i + 1], (2 * (row - most[0, h, i, : i + 1])).exp() / (i + 1)
            )
            kept = torch.where(row >= row.max() - 0.7, row.exp(), 0.0)
            torch.testing.assert_close(near[0, h, i, : i + 1], kept / kept.sum())
    assert usa.triu(1).abs().max() == near.triu(1).abs().max() == 0


def test_the_sin_flow_is_its_sum_and_rests_at_consensus():
    torch.manual_seed(0)
    w = torch.rand(1, 1, 4, 4, dtype=torch.float64).softmax(-1)
    v = torch.randn(1, 1, 4, 3, dtype=torch.float64)
    naive = v + torch.einsum("bhnm,bhnmc->bhnc", w, (v[:, :, None] - v[:, :, :, None]).sin())
    torch.testing.assert_close(SinFlow().output(w, v), naive)
    torch.testing.assert_close(SinFlow().output(w, 1e-6 * v), 1e-6 * (w @ v), atol=1e-15, rtol=1e-9)
    same = v[:, :, :1].expand_as(v)
    torch.testing.assert_close(SinFlow().output(w, same), same)
    with pytest.raises(InputError, match="cross-attention"):
        SinFlow().output(w[..., :3], v[:, :, :3])


def test_names_work_where_the_library_takes_names():
    kind = "BertForMaskedLM"
    model, inputs = small(kind), inputs_of(kind)
    own = logits(model, inputs)
    model.set_attn_implementation("spinodal_beta")
    torch.testing.assert_close(logits(model, inputs), own, atol=1e-5, rtol=1e-4)
    model.set_attn_implementation("spinodal_usa")
    assert not torch.allclose(logits(model, inputs), own, atol=1e-2)


def test_what_never_asks_is_refused():
    for kind in ("DebertaV2ForMaskedLM", "MambaForCausalLM"):
        model, inputs = small(kind), inputs_of(kind)
        with (
            pytest.raises(InputError, match="ignores attention plug-ins"),
            replaced_attention(model, Temperature(2.0), inputs),
        ):
            pass


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("longt5", "LongT5LocalAttention"),
        ("pegasus_x", "PegasusXGlobalLocalAttention"),
        ("bigbird_pegasus", "BigBirdPegasusSelfAttention"),
    ],
)
def test_layers_that_keep_an_attention_of_their_own_are_named(kind: str, own: str):
    model: Any = small_architecture(kind)
    inputs = inputs_of_architecture(model)
    before = model(**inputs)
    with (
        pytest.raises(InputError, match=f"in some layers alone: {own} would keep"),
        replaced_attention(model, Temperature(2.0), inputs),
    ):
        pass
    assert torch.equal(model(**inputs).last_hidden_state, before.last_hidden_state)


def test_a_head_that_pools_is_no_layer():
    model: Any = small_architecture("aimv2_vision_model")
    with replaced_attention(model, Temperature(2.0), inputs_of_architecture(model)) as calls:
        assert calls.count == 3


def test_interactions_by_name():
    assert interaction("spinodal_beta:2.5") == Temperature(2.5)
    assert interaction("spinodal_sin") == SinFlow()
    with pytest.raises(InputError, match="no interaction"):
        interaction("spinodal_gamma")
    with pytest.raises(InputError, match="beta of spinodal_usa is a number"):
        interaction("spinodal_usa:hot")
    assert INTERACTIONS.keys() >= {
        "spinodal_beta",
        "spinodal_usa",
        "spinodal_threshold",
        "spinodal_sin",
    }


def test_soft_caps_are_kept_and_sinks_refused():
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4,
    }  # fmt: skip
    ids = {"input_ids": torch.randint(3, 50, (2, 7))}
    capped = Gemma2ForCausalLM(Gemma2Config(**shape, attn_logit_softcapping=0.01)).eval()
    capped.set_attn_implementation("eager")
    for p in capped.parameters():
        p.data *= 5
    own = logits(capped, ids)
    with replaced_attention(capped, Temperature(), ids):
        torch.testing.assert_close(logits(capped, ids), own, atol=1e-5, rtol=1e-4)
    sinking = GptOssForCausalLM(GptOssConfig(**shape, num_local_experts=2, num_experts_per_tok=1)).eval()
    with pytest.raises(InputError, match="learned sinks"), replaced_attention(sinking, Temperature(), ids):
        pass


@pytest.mark.parametrize("text", ["spinodal_beta:nan", "spinodal_beta:-2", "spinodal_threshold:inf"])
def test_parameters_that_make_no_weights_are_refused(text: str):
    with pytest.raises(InputError, match="a number >= 0"):
        interaction(text)
