"""Effective beta, symmetry and alignment are those of the call of attention: against the architectures' own code."""

from typing import Any

import numpy as np
import pytest
import torch
from marks import slow_but
from reference_attention import Seen, beta, call_of, conditions
from small_architectures import inputs_of_architecture, small_architecture

from spinodal.models import interaction, interaction_text
from spinodal.watch import Question, Subject, attention_layers, observe_model, one_stack

INTERLEAVED = ("gpt_neox", "persimmon", "codegen", "falcon", "phi3")
SCALED = ("gemma2", "gemma3_text", "granite", "mt5")
NORMED = ("qwen3", "olmo2")


@pytest.mark.parametrize(
    "kind",
    slow_but([*INTERLEAVED, *SCALED, *NORMED, "bert", "llama", "vit"], "phi3", "granite", "olmo2", "bert"),
)
def test_betas_and_conditions_are_the_architectures_own(kind: str):
    model = small_architecture(kind)
    inputs = inputs_of_architecture(model)
    stack = one_stack(model, inputs)
    layers, reason = attention_layers(model, inputs, stack)
    assert reason == ""
    assert len(layers) == 3
    for layer in (layers[0], layers[-1]):
        module = stack.modules[layer.layer - 1]
        if kind != "falcon":  # calls torch's kernel itself
            call, x = call_of(model, inputs, module)
            assert layer.effective_beta_of_heads == pytest.approx(beta(call, x), rel=1e-4, abs=1e-6)
            symmetry, alignment = conditions(model, inputs, module)
            assert layer.symmetry == pytest.approx(symmetry.mean(), abs=1e-4)
            assert layer.alignment == pytest.approx(alignment.mean(), abs=1e-4)
        assert layer.reason == ""


def test_falcons_heads_are_grouped_as_its_own_code_groups_them():
    model: Any = small_architecture("falcon")
    inputs = inputs_of_architecture(model)
    stack = one_stack(model, inputs)
    attention: Any = stack.modules[0].get_submodule("self_attention")
    x = model.get_submodule("h.0.input_layernorm")(model.get_input_embeddings()(inputs["input_ids"]))
    with torch.no_grad():
        q, k, _ = attention._split_heads(attention.query_key_value(x))
        q, k = q.transpose(1, 2), k.transpose(1, 2)
        cos, sin = model.rotary_emb(x, torch.arange(12)[None])

        def turn(y):
            a, b = y.chunk(2, -1)
            return y * cos[:, None] + torch.cat([-b, a], -1) * sin[:, None]

        seen = Seen(attention, turn(q), turn(k).expand(-1, 4, -1, -1), k, q.shape[-1] ** -0.5)
    layers, _ = attention_layers(model, inputs, stack)
    assert layers[0].effective_beta_of_heads == pytest.approx(beta(seen, x.detach()), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", slow_but(["deberta-v2", "bloom", "mpnet"], "bloom"))
def test_a_model_that_makes_no_call_says_so_and_is_observed(kind: str):
    model = small_architecture(kind)
    inputs = inputs_of_architecture(model)
    seen = observe_model(Subject(kind, model, None), [inputs], Question(nulls=()))
    assert seen.attention == ()
    assert "computes its attention in its own code" in seen.attention_reason
    assert any(seen.attention_reason in sentence for sentence in seen.summary)
    assert len(seen.layers) == 4


def test_the_energys_beta_is_the_median_of_these():
    model = small_architecture("gpt_neox")
    inputs = inputs_of_architecture(model)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "query_key_value.weight" in name:
                p.mul_(3)
                q, k, _ = p.view(4, 3, 8, 32).unbind(1)
                k.copy_(q)
    stack = one_stack(model, inputs)
    seen = observe_model(Subject("neox", model, None), [inputs], Question(nulls=()))
    own = [np.mean(beta(*call_of(model, inputs, module))) for module in stack.modules]
    assert min(own) > 0.1
    assert seen.beta == pytest.approx(np.median(own), rel=1e-4)


def test_low_rank_keys_have_a_beta_and_a_reason():
    model = small_architecture("deepseek_v2")
    layers, reason = attention_layers(
        model, inputs := inputs_of_architecture(model), one_stack(model, inputs)
    )
    assert reason == ""
    assert layers[0].effective_beta is not None
    assert layers[0].symmetry is None
    assert "keys are no linear map" in layers[0].reason


@pytest.mark.parametrize(
    "name",
    slow_but(
        ["spinodal_beta:3", "spinodal_usa:3", "spinodal_threshold:1e9", "spinodal_sin"], "spinodal_usa:3"
    ),
)
def test_the_beta_of_a_stored_interaction_is_part_of_the_effective_beta(name: str):
    model: Any = small_architecture("bert")
    inputs = inputs_of_architecture(model)
    stack = one_stack(model, inputs)
    own, _ = attention_layers(model, inputs, stack)
    model.set_attn_implementation(name)
    seen = observe_model(Subject("bert", model, None), [inputs], Question(nulls=()))
    first, factor = seen.attention[0], 3.0 if name.endswith(":3") else 1.0
    assert own[0].effective_beta_of_heads == pytest.approx(
        np.array(first.effective_beta_of_heads) / factor, rel=1e-4
    )
    assert first.interaction == interaction_text(interaction(name))
    assert any(f"attends by {first.interaction}" in sentence for sentence in seen.summary)
    if name == "spinodal_sin":
        assert first.symmetry is None
        assert "the conditions are those of softmax attention" in first.reason
    else:
        assert first.symmetry == pytest.approx(own[0].symmetry, rel=1e-4)
    assert own[0].interaction == ""


def test_an_interaction_without_a_beta_is_said_to_have_none():
    model: Any = small_architecture("bert")
    model.set_attn_implementation("spinodal_graph")
    seen = observe_model(Subject("bert", model, None), [inputs_of_architecture(model)], Question(nulls=()))
    assert seen.attention == ()
    assert "its attention is spinodal_graph:1.0:4" in seen.attention_reason


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_reads_the_same_betas(mode: Any):
    """Which projection a query comes from is told by slopes, also where whoever watches computes none."""
    model = small_architecture("bert")
    inputs = inputs_of_architecture(model)
    stack = one_stack(model, inputs)
    layers, reason = attention_layers(model, inputs, stack)
    with mode():
        found, said = attention_layers(model, inputs, stack)
    assert (reason, said) == ("", "")
    assert found == layers
