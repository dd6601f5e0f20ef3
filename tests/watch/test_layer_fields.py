"""A trained layer's attention as a field: the model's own sublayer to rounding, with biases and norms."""

import numpy as np
import pytest
import torch
from small_models import inputs_of, small

from spinodal.errors import InputError
from spinodal.flows import AttentionField, Head
from spinodal.watch import field_of_layer, one_stack, record
from spinodal.watch.stacks import first_input


@pytest.mark.parametrize(
    ("kind", "layer", "causal"),
    [("AlbertForMaskedLM", 2, False), ("BertForMaskedLM", 1, False), ("BertForMaskedLM", 3, False),
     ("GPT2LMHeadModel", 2, True), ("ViTModel", 1, False)],
)  # fmt: skip
def test_a_field_is_the_attention_of_its_layer_to_rounding(kind: str, layer: int, causal: bool):
    exact = {"layer_norm_epsilon": 1e-12} if kind.startswith("GPT2") else {}  # as the others have it
    model = small(kind, **exact).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # biases and norms that a fresh model does not have
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(0.3 * torch.randn(p.shape, generator=generator))
    inputs = first_input(inputs_of(kind))
    inputs = {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}
    found = field_of_layer(model, inputs, one_stack(model, inputs), layer)
    n, d = found.tokens.shape
    own = record(model, inputs, view="attention").tokens[layer - 1, 0].numpy() / np.sqrt(d)
    output = found.field.attention_output(found.tokens, np.full(n, 1 / n))
    A = output.tangent + output.radial[:, None] * found.tokens
    assert found.field.causal == causal
    assert np.linalg.norm(A - own) < 1e-8 * np.linalg.norm(own)
    assert np.linalg.norm(found.tokens, axis=1) == pytest.approx(np.ones(n))
    plain = AttentionField(
        found.field.beta, heads=tuple(Head(h.queries, h.keys, h.values) for h in found.field.heads)
    )
    without = plain.attention_output(found.tokens, np.full(n, 1 / n))
    assert np.linalg.norm(without.tangent - output.tangent) > 0.05 * np.linalg.norm(
        output.tangent
    )  # biases do matter


@pytest.mark.parametrize(
    ("kind", "layer", "said"),
    [
        ("AlbertForMaskedLM", 1, "no norm made"),
        ("AlbertForMaskedLM", 9, "has layers 1 to 3"),
        ("LlamaForCausalLM", 2, "positions enter it"),
        ("DebertaV2ForMaskedLM", 1, "own code"),
    ],
)
def test_layers_that_are_no_field_are_refused(kind: str, layer: int, said: str):
    model, inputs = small(kind), first_input(inputs_of(kind))
    with pytest.raises(InputError, match=said):
        field_of_layer(model, inputs, one_stack(model, inputs), layer)
